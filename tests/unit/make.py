"""Small values for the unit tests: one line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from modelroute_operator.core import parse
from modelroute_operator.core.cost_map import CostMap, ModelFacts
from modelroute_operator.core.modelroute import Backend
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Proxy, Published, Release, Route, SecretId, Snapshot

NOW = "2026-07-01T12:00:00Z"
COSTS = CostMap(
    litellm_version="1.108.7",
    providers=frozenset({"openai", "azure", "mistral", "ollama", "ollama_chat", "bedrock"}),
    models={
        "gpt-4.1": ModelFacts(mode="chat", function_calling=True),
        "azure/gpt-4.1": ModelFacts(mode="chat", function_calling=True),
        "openai/tool-less": ModelFacts(mode="chat", function_calling=False),
        "text-embedding-3-large": ModelFacts(mode="embedding"),
        "ollama/llama3.1": ModelFacts(mode="chat", function_calling=True),
    },
)


def backend(name: str = "default", **fields: Any) -> dict[str, Any]:
    """A backend as the API has it."""
    return {"name": name, "provider": "openai", "model": "gpt-4.1", **fields}


def backend_of(**fields: Any) -> Backend:
    """A backend as the core has it."""
    return Backend.model_validate(backend(**fields))


def route(name: str, *backends: dict[str, Any], namespace: str = "ai", created: str = "2026-07-01T10:00:00Z", meta: Mapping[str, Any] | None = None, **spec: Any) -> Route:
    """A route that needs no Secret, unless its backends say so."""
    metadata = {"namespace": namespace, "name": name, "creationTimestamp": created, "generation": 1, **(meta or {})}
    return parse.route({"metadata": metadata, "spec": {"backends": list(backends or (backend(),)), **spec}})


def release(**fields: Any) -> Release:
    """The release ai/litellm."""
    return Release(**{"name": "litellm", "namespace": "ai", "digest_key": Sealed("token"), **fields})


def secrets(**named: Mapping[str, str]) -> dict[SecretId, Mapping[str, Sealed]]:
    """Secrets in namespace ai."""
    return {("ai", name): {key: Sealed(value) for key, value in data.items()} for name, data in named.items()}


def snapshot(
    routes: Iterable[Route] = (),
    *,
    secrets: Mapping[SecretId, Mapping[str, Sealed]] | None = None,
    published: Published | None = None,
    statuses: Mapping[str, Mapping[str, Any]] | None = None,
    proxies: tuple[Proxy, ...] = (),
    release: Release | None = None,
) -> Snapshot:
    """A world with these routes."""
    claims = {key: status.get("proxy", "") for key, status in (statuses or {}).items()}
    routes = [replace(r, claimed_by=claims[r.key]) if r.key in claims else r for r in routes]
    return Snapshot(
        now=NOW, release=release or globals()["release"](), cost_map=COSTS, routes={r.key: r for r in routes}, secrets=secrets or {},
        published=published or Published(), statuses=statuses or {}, proxies=proxies,
    )  # fmt: skip
