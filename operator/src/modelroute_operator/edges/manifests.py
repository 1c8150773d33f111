"""Reads ModelRoutes and Secrets from files, as `kubectl apply -f DIR` would, and says file and line of what is wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelroute_operator.core import parse
from modelroute_operator.core.modelroute import GROUP, KIND
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Route, SecretId
from modelroute_operator.edges import admission

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
NAMESPACE = "default"
"""Where an object without a namespace goes."""


@dataclass(slots=True)
class Manifests:
    """What a directory holds. `faults`: "file:line: sentence", one for each object that `kubectl apply` would refuse."""

    routes: dict[str, Route] = field(default_factory=dict)
    secrets: dict[SecretId, Mapping[str, Sealed]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Route key → "file:line"."""
    secret_places: dict[SecretId, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class _Strings(yaml.SafeLoader):
    """YAML as kubectl reads it: 2024-10-21 is a string, not a date."""


_Strings.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def files_in(folder: Path) -> list[Path]:
    """The manifests of a directory, sorted; a single file is its own list."""
    if folder.is_file():
        return [folder]
    return sorted(path for pattern in ("*.yaml", "*.yml", "*.json") for path in folder.glob(pattern))


def read(folder: Path, before: Manifests | None = None) -> Manifests:
    """Reads every file. The order of files and documents stands for age: on a name conflict the first wins.

    `before`: what was read last time. A file that has a fault keeps what it held then, as an object in a cluster stays
    as it was when `kubectl apply` refuses its new manifest.
    """
    found, faulty = Manifests(), set()
    for number, path in enumerate(files_in(folder)):
        known = len(found.faults)
        _read_file(found, path, number)
        if len(found.faults) > known:
            faulty.add(str(path))
    if before and faulty:
        _keep(found, before, faulty)
    return found


def _keep(found: Manifests, before: Manifests, faulty: set[str]) -> None:
    kept = set()
    for key, place in before.places.items():
        file = place.rpartition(":")[0]
        if file in faulty and key not in found.routes:
            found.routes[key], found.places[key] = before.routes[key], place
            kept.add(file)
    for name, place in before.secret_places.items():
        if place.rpartition(":")[0] in faulty and name not in found.secrets:
            found.secrets[name], found.secret_places[name] = before.secrets[name], place
    found.faults += [f"{file}: until that is mended, what the file held before stays served" for file in sorted(kept)]


def _read_file(found: Manifests, path: Path, number: int) -> None:
    try:
        nodes = list(yaml.compose_all(path.read_text(), Loader=_Strings))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        found.faults.append(f"{path}{line}: not readable as YAML: {getattr(error, 'problem', None) or error}")
        return
    for position, node in enumerate(nodes):
        if node is not None:
            _take(found, path, node, age=f"{number:06d}.{position:06d}")


def _take(found: Manifests, path: Path, node: yaml.Node, *, age: str) -> None:
    place = f"{path}:{node.start_mark.line + 1}"
    try:
        body = _construct(node)
    except yaml.YAMLError as error:
        found.faults.append(f"{place}: not readable as YAML: {getattr(error, 'problem', None) or error}")
        return
    if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict) or not body["metadata"].get("name"):
        found.faults.append(f"{place}: no Kubernetes object: apiVersion, kind and metadata.name are needed")
        return
    body["metadata"].setdefault("namespace", NAMESPACE)
    name = (str(body["metadata"]["namespace"]), str(body["metadata"]["name"]))
    if not all(isinstance(body["metadata"][part], str) and NAME.fullmatch(body["metadata"][part]) for part in ("namespace", "name")):
        found.faults.append(f"{place}: metadata.name {body['metadata']['name']!r} is no Kubernetes name: lower-case letters, digits, '-' and '.'")
    elif body.get("kind") == "Secret":
        try:
            found.secrets[name] = _secret(body)
            found.secret_places[name] = place
        except (ValueError, AttributeError):
            found.faults.append(f"{place}: Secret {name[1]}: its data is no base64 of text; write plain text under stringData")
    elif body.get("kind") == KIND and str(body.get("apiVersion", "")).startswith(GROUP + "/"):
        faults = admission.faults(body.get("spec") or {})
        for fault in faults:
            found.faults.append(f"{path}:{_line_of(node, (*fault.path, fault.unknown))}: {KIND} {name[1]}: {fault.sentence}")
        if not faults:
            body["metadata"] |= {"creationTimestamp": age, "generation": 1}
            route = parse.route(body)
            if route.key in found.routes:
                found.faults.append(f"{place}: {KIND} {route.key} is already at {found.places[route.key]}: rename one")
                return
            found.routes[route.key] = route
            found.places[route.key] = place


def _construct(node: yaml.Node) -> Any:
    loader = _Strings("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _secret(body: Mapping[str, Any]) -> dict[str, Sealed]:
    encoded = {key: base64.b64decode(value, validate=True).decode() for key, value in (body.get("data") or {}).items()}
    return {key: Sealed(str(value).strip()) for key, value in {**encoded, **(body.get("stringData") or {})}.items()}


def _line_of(node: yaml.Node, path: admission.Path) -> int:
    """The line of the deepest node that exists on the path."""
    line = node.start_mark.line
    for step in path:
        match node:
            case yaml.MappingNode():
                pair = next(((k, v) for k, v in node.value if k.value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line, pair[1]
            case yaml.SequenceNode() if isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line
            case _:
                break
    return line + 1


def changed_since(folder: Path, before: Mapping[Path, tuple[int, int]]) -> dict[Path, tuple[int, int]] | None:
    """Times and sizes of the manifests, if they differ from `before`."""
    now = dict(_stamps(folder))
    return now if now != before else None


def _stamps(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path in files_in(folder):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        yield path, (stat.st_mtime_ns, stat.st_size)
