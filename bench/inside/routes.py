"""The ModelRoutes of the bench: Azure deployments of the simulator, which has every name one asks for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

from kube import Kube

KEY = "sim-azure-key"
SECRET = "azure"
LABEL = "bench"


def route(name: str, upstream: str, simulator: str, *, label: str, secret: str = SECRET) -> dict[str, Any]:
    """One route; it answers `azure <upstream> says: <question>`."""
    backend = {"name": "default", "provider": "azure", "model": upstream, "apiBase": f"{simulator}/azure", "apiVersion": "2024-10-21", "timeout": "30s"}
    return {
        "apiVersion": "modelroute.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name, "labels": {LABEL: label}},
        "spec": {"mode": "chat", "backends": [backend | {"apiKeySecretRef": {"name": secret, "key": "api_key"}}], "capabilities": {"functionCalling": "Supported"}},
    }


def says(upstream: str) -> str:
    """What a route to this upstream answers to Hello."""
    return f"azure {upstream} says: Hello"


def programmed(item: dict[str, Any]) -> bool:
    """Whether the status says that the present generation is served."""
    status = item.get("status") or {}
    states = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    return states.get("Programmed") == "True" and status.get("observedGeneration") == item["metadata"]["generation"]


async def create_all(kube: Kube, routes: Iterable[dict[str, Any]], at_once: int = 32) -> None:
    """Creates them as fast as the API server takes them."""
    todo = iter(routes)

    async def work() -> None:
        for each in todo:
            await kube.call("POST", kube.routes(), each)

    await asyncio.gather(*(work() for _ in range(at_once)))


async def all_names(kube: Kube, label: str) -> list[str]:
    """Names of the routes with the label, in pages."""
    found: list[str] = []
    query = {"labelSelector": f"{LABEL}={label}", "limit": "2000"}
    while True:
        page = await kube.call("GET", kube.routes(), **query)
        found += [item["metadata"]["name"] for item in page["items"]]
        if not (more := page["metadata"].get("continue")):
            return found
        query["continue"] = more


def fresh(prefix: str, taken: Iterable[str]) -> Iterable[str]:
    """Names that are not taken yet."""
    known = set(taken)
    return (name for number in itertools.count() if (name := f"{prefix}-{number:05d}") not in known)
