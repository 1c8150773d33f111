"""What a person sees with kubectl: columns, Events, explanations."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cluster.harness import Proxies, Routes, backend, until
from kubectl import NAMESPACE, get, kubectl

pytestmark = pytest.mark.usefixtures("neighbours")


def table(*arguments: str) -> dict[str, dict[str, str]]:
    """Row by name: column → cell, some of them empty."""
    header, *rows = kubectl("get", *arguments).splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    cells = [[row[start:end].strip() for start, end in spans] for row in rows]
    return {row[0]: dict(zip(header.split(), row, strict=True)) for row in cells}


def test_columns(guide: dict[str, Any], routes: Routes) -> None:
    broken = routes.apply("broken", backend("x", "nosuchprovider"))
    two = routes.ready("two", backend("x", name="one"), backend("y", name="two"), modelName=routes.name("two-models"))
    routes.until(broken, "UnknownProvider")
    rows = table("modelroutes")
    assert rows.keys() >= guide.keys()
    assert list(rows[broken]) == ["NAME", "MODEL", "MODE", "BACKENDS", "READY", "REASON", "AGE"]
    assert [*rows["openai-gpt41"].values()][1:-1] == ["openai-gpt41", "chat", "1/1", "True", "Ready"]
    assert [*rows["mistral-embedding"].values()][1:-1] == ["mistral-embedding", "embedding", "1/1", "True", "Ready"]
    assert [*rows[two].values()][1:-1] == [routes.name("two-models"), "chat", "2/2", "True", "Ready"]
    assert [*rows[broken].values()][1:-1] == [broken, "chat", "0/1", "False", "UnknownProvider"]


def test_wide_columns(guide: dict[str, Any]) -> None:
    row = table("modelroutes", "-o", "wide")["openai-gpt41"]
    assert list(row)[7:] == ["ACCEPTED", "RESOLVEDREFS", "MODELSPULLED", "PROGRAMMED", "PULL", "DIGEST"]
    assert [row[column] for column in ("ACCEPTED", "RESOLVEDREFS", "PROGRAMMED")] == ["True"] * 3
    assert len(row["DIGEST"]) == 16


@pytest.mark.parametrize("name", ["mroute", "modelroutes.modelroute.dev", "litellm", "llm"])
def test_other_names(guide: dict[str, Any], name: str) -> None:
    assert "openai-gpt41" in kubectl("get", name, "-o", "name").replace("modelroute.modelroute.dev/", "").split()


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("spec", ["One model that clients can name", "backends\t<[]Object> -required-", "aliases\t<[]string>"]),
        ("spec.backends.weight", ["FIELD: weight <integer>", "Share of the requests among the backends of the same priority."]),
        ("spec.backends.apiVersion", ["A string: quote it."]),
        ("spec.backends.params", ["verbatim", "api_key"]),
        ("spec.fallbacks.onError", ["Tried when the request fails on every backend."]),
        ("spec.capabilities.functionCalling", ["Supported", "Limited", "Unsupported", "x-modelroute-warning"]),
        ("status.conditions", ["FIELD: conditions"]),
    ],
)
def test_explain(field: str, says: list[str]) -> None:
    text = " ".join(kubectl("explain", f"modelroute.{field}").split())
    assert [said for said in says if " ".join(said.split()) not in text] == [], text


def test_describe_tells_the_story(routes: Routes, proxies: Proxies) -> None:
    """One Event when Ready changes its status or its reason, and none for waiting."""
    name = routes.apply("story", backend("x", credentialsSecretRef={"name": routes.name("story")}))
    routes.until(name, "SecretNotFound")
    routes.secret("story", AZURE_API_KEY="sim-azure-key", AZURE_API_BASE="http://simulator.simulator:8080/azure", AZURE_API_VERSION="2024-10-21")
    routes.wait(name)

    def events() -> list[tuple[str, str]]:
        found = get("events", "", "--field-selector", f"involvedObject.kind=ModelRoute,involvedObject.name={name}")["items"]
        return sorted((event["type"], event["reason"]) for event in found)

    until("both Events", lambda: len(events()) >= 2)
    assert events() == [("Normal", "Ready"), ("Warning", "SecretNotFound")]
    described = kubectl("describe", "modelroute", name)
    for said in (
        "Conditions:",
        "Deployment ID:",
        f"{NAMESPACE}/{name}/default",
        "azure/x",
        "Events:",
        "SecretNotFound",
        f"Secret {NAMESPACE}/{name} does not exist",
        "modelroute-operator",
    ):
        assert said in described
