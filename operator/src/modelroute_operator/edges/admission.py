"""What the API server decides at admission, decided for a file: schema, unknown fields, CEL rules. One sentence a fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import celpy
import jsonschema
from celpy.adapter import json_to_cel

from modelroute_operator.core import crd
from modelroute_operator.core.modelroute import ModelRouteSpec

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong: where (path from the object's root), and the sentence."""

    path: Path
    sentence: str
    unknown: str = ""
    """The field under `path` that there is not."""


def faults(spec: Any) -> list[Fault]:
    """Everything the API server would refuse in this spec, by path."""
    found = [Fault(path=path, sentence=f"{dotted(path)}: Duplicate value") for path in _repeated(spec, _schema(), ("spec",))]
    for error in _validator().iter_errors(spec):
        path = ("spec", *error.absolute_path)
        unknown = _unknown(error)
        found.append(Fault(path=path, sentence=f"{dotted(path)}: {_plain(error)}", unknown=unknown[0] if unknown else ""))
    if not found:
        found = [Fault(path=path, sentence=f"{dotted(path)}: {message}") for path, message in _broken_rules(spec, _schema(), ("spec",))]
    return sorted(found, key=lambda fault: [str(step) for step in fault.path])


def dotted(path: Path) -> str:
    """("spec", "backends", 0, "weight") → spec.backends[0].weight, as kubectl writes it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


@cache
def _schema() -> dict[str, Any]:
    return crd.schema_of(ModelRouteSpec)


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(_closed(_schema()))


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuses unknown fields, as `kubectl apply` does by its strict validation."""
    out = dict(schema)
    if "properties" in out:
        out["properties"] = {name: _closed(prop) for name, prop in out["properties"].items()}
        if not out.get("x-kubernetes-preserve-unknown-fields"):
            out["additionalProperties"] = False
    if "items" in out:
        out["items"] = _closed(out["items"])
    if out.get("x-kubernetes-list-type") == "set":
        out["uniqueItems"] = True
    return out


def _unknown(error: Any) -> list[str]:
    return sorted(error.instance.keys() - error.schema["properties"].keys()) if error.validator == "additionalProperties" else []


def _plain(error: Any) -> str:
    match error.validator:
        case "additionalProperties":
            return f"unknown field {', '.join(_unknown(error))}; known are {', '.join(sorted(error.schema['properties']))}"
        case "enum":
            return f"{error.instance!r} is none of {', '.join(map(str, error.validator_value))}"
        case _:
            return str(error.message)


def _repeated(value: Any, schema: dict[str, Any], path: Path) -> Iterator[Path]:
    """Items of a keyed list (x-kubernetes-list-type: map) that repeat an earlier one's key."""
    if schema.get("x-kubernetes-list-type") == "map" and isinstance(value, list):
        seen = set()
        for position, item in enumerate(value):
            key = tuple(str(item.get(name)) for name in schema["x-kubernetes-list-map-keys"]) if isinstance(item, dict) else ()
            if key in seen:
                yield (*path, position)
            seen.add(key)
    for name, prop in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _repeated(value[name], prop, (*path, name))


@cache
def _program(rule: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def _broken_rules(value: Any, schema: dict[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _program(rule["rule"]).evaluate({"self": json_to_cel(value)}):
            yield path, rule["message"]
    for name, prop in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _broken_rules(value[name], prop, (*path, name))
    if "items" in schema and isinstance(value, list):
        for position, item in enumerate(value):
            yield from _broken_rules(item, schema["items"], (*path, position))
