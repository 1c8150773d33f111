"""The CustomResourceDefinition as generated: current, structural, explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from modelroute_operator.core import crd

ROOT = Path(__file__).parents[3]
CRD = crd.crd()
(VERSION,) = CRD["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
KEYWORDS = {
    "type", "description", "properties", "items", "required", "enum", "default", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of the tree, with its path."""
    yield path, schema
    for name, prop in schema.get("properties", {}).items():
        yield from nodes(prop, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def test_generated_files_are_current_and_alike() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "crds/generate.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (ROOT / "crds/modelroutes.yaml").read_text()
    assert text == (ROOT / "charts/litellm-proxy/files/crds/modelroutes.yaml").read_text()
    assert yaml.safe_load(text) == CRD


@pytest.mark.parametrize(("path", "schema"), [*nodes(SCHEMA)], ids=lambda part: part if isinstance(part, str) else "")
def test_schema_is_structural(path: str, schema: dict[str, Any]) -> None:
    """As https://kubernetes.io/docs asks: a type at every node, no references, no alternatives."""
    assert schema.keys() <= KEYWORDS
    assert schema["type"] in {"object", "array", "string", "integer", "boolean"}
    assert ("items" in schema) == (schema["type"] == "array")
    assert set(schema.get("required", ())) <= schema.get("properties", {}).keys()
    if schema.get("x-kubernetes-list-type") == "map":
        assert set(schema["x-kubernetes-list-map-keys"]) <= set(schema["items"]["required"])
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("path", "schema"), [*nodes(SCHEMA)], ids=lambda part: part if isinstance(part, str) else "")
def test_every_field_explains_itself(path: str, schema: dict[str, Any]) -> None:
    """`kubectl explain` shows it. Items show their list's words; what is there to be refused says so when it is."""
    if path.endswith("[]") or ".params." in path or path == "metadata":
        return
    assert schema.get("description", "").endswith((".", "?", "…")), f"{path} has no sentence"
    assert "\n" not in schema["description"]


@pytest.mark.parametrize(("path", "schema"), [*nodes(SCHEMA["properties"]["spec"], "spec")], ids=lambda part: part if isinstance(part, str) else "")
def test_what_a_user_writes_is_bounded(path: str, schema: dict[str, Any]) -> None:
    """Without bounds the API server cannot tell what a CEL rule costs, and an object may grow without end."""
    match schema["type"]:
        case "string":
            assert "maxLength" in schema or "enum" in schema
        case "array":
            assert "maxItems" in schema


def test_weight_explains_itself_well() -> None:
    weight = dict(nodes(SCHEMA))["spec.backends[].weight"]
    assert weight["description"] == "Share of the requests among the backends of the same priority."
    assert (weight["default"], weight["minimum"]) == (1, 1)


def test_columns_are_those_of_the_issue() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [c["name"].upper() for c in columns if not c.get("priority")] == ["MODEL", "MODE", "BACKENDS", "READY", "REASON", "AGE"]
    assert [c["name"].upper() for c in columns if c.get("priority")] == ["ACCEPTED", "RESOLVEDREFS", "MODELSPULLED", "PROGRAMMED", "PULL", "DIGEST"]
    paths = set(dict(nodes(SCHEMA)))
    for column in columns:
        plain = column["jsonPath"].split("[?")[0].lstrip(".")
        assert plain in paths or plain == "metadata.creationTimestamp"


def test_names_are_those_of_the_design() -> None:
    names = CRD["spec"]["names"]
    assert (CRD["metadata"]["name"], CRD["spec"]["scope"]) == ("modelroutes.modelroute.dev", "Namespaced")
    assert (names["shortNames"], names["categories"]) == (["mroute"], ["litellm", "llm"])
    assert VERSION["subresources"] == {"status": {}}
    assert CRD["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_what_params_refuses_is_declared_so_that_cel_can_see_it() -> None:
    params = dict(nodes(SCHEMA))["spec.backends[].params"]
    rules = {rule["rule"] for rule in params["x-kubernetes-validations"]}
    assert rules == {f"!has(self.{name})" for name in params["properties"]}
    assert params["x-kubernetes-preserve-unknown-fields"] is True
