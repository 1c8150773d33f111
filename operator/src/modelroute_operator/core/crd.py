"""The CustomResourceDefinition, from the types in `modelroute.py`: Kubernetes' dialect of what pydantic knows.

`crds/generate.py` writes it; `edges/manifests.py` checks files against the same schema and rules.
"""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel

from modelroute_operator.core import modelroute, modelroute_status

DROPPED = {"title", "default", "$defs", "additionalProperties", "prefixItems"}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models inside a field's annotation: `tuple[Backend, ...] | None` → [Backend]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, typing.Annotated):
        return [m for arg in typing.get_args(annotation) for m in models_in(arg)]
    return []


def structural(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's JSON Schema → Kubernetes' structural schema: references inlined, `T | None` → T, const → enum."""
    if "$ref" in schema:
        target = defs[schema["$ref"].rsplit("/", 1)[1]]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    if "anyOf" in schema:
        (kept,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return structural({**kept, **{k: v for k, v in schema.items() if k != "anyOf"}}, defs)
    out: dict[str, Any] = {k: v for k, v in schema.items() if k not in DROPPED}
    if schema.get("default") not in (None, [], "", False):
        out["default"] = schema["default"]
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if isinstance(out.get("description"), str):
        out["description"] = " ".join(out["description"].split())
    if "items" in out:
        out["items"] = structural(out["items"], defs)
    if "properties" in out:
        out["properties"] = {name: structural(prop, defs) for name, prop in out["properties"].items()}
    return out


def with_rules(schema: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Adds each class's CEL rules at its place in the tree."""
    rules: tuple[modelroute.Rule, ...] = getattr(model, "rules", ())
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    if model is modelroute.Params:
        schema["x-kubernetes-preserve-unknown-fields"] = True
        # CEL sees only declared properties, so what is refused must be declared.
        schema["properties"] = {name: {"type": "string", "maxLength": 4096} for name in modelroute.REFUSED_PARAMS}
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            prop = schema["properties"][field.alias or name]
            with_rules(prop["items"] if prop.get("type") == "array" else prop, inner)
    return schema


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of one API type, rules included."""
    raw = model.model_json_schema(by_alias=True)
    return with_rules(structural(raw, raw.get("$defs", {})), model)


def condition(kind: str) -> str:
    """The JSONPath of one condition's status."""
    return f'.status.conditions[?(@.type=="{kind}")].status'


def columns() -> list[dict[str, Any]]:
    """What `kubectl get modelroutes` prints; priority 1 only with -o wide."""
    short = [
        ("Model", ".status.modelName", "string"),
        ("Mode", ".status.mode", "string"),
        ("Backends", ".status.summary", "string"),
        ("Ready", condition("Ready"), "string"),
        ("Reason", '.status.conditions[?(@.type=="Ready")].reason', "string"),
        ("Age", ".metadata.creationTimestamp", "date"),
    ]
    wide = [
        *((kind, condition(kind), "string") for kind in ("Accepted", "ResolvedRefs", "ModelsPulled", "Programmed")),
        ("Pull", ".status.pullSummary", "string"),
        ("Digest", ".status.digest", "string"),
    ]
    return [{"name": n, "type": t, "jsonPath": p} for n, p, t in short] + [{"name": n, "type": t, "jsonPath": p, "priority": 1} for n, p, t in wide]


def crd() -> dict[str, Any]:
    """The whole CustomResourceDefinition."""
    root = {
        "type": "object",
        "description": "A model that clients of the LiteLLM proxy can name, and where its requests go.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{modelroute.GROUP}/{modelroute.VERSION}."},
            "kind": {"type": "string", "description": f"{modelroute.KIND}."},
            "metadata": {"type": "object"},
            "spec": schema_of(modelroute.ModelRouteSpec),
            "status": schema_of(modelroute_status.ModelRouteStatus),
        },
    }
    names = {
        "kind": modelroute.KIND,
        "listKind": "ModelRouteList",
        "plural": modelroute.PLURAL,
        "singular": "modelroute",
        "shortNames": ["mroute"],
        "categories": ["litellm", "llm"],
    }
    version = {
        "name": modelroute.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns(),
        "schema": {"openAPIV3Schema": root},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{modelroute.PLURAL}.{modelroute.GROUP}",
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {"group": modelroute.GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
