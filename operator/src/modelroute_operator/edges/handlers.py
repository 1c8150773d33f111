"""kopf's handlers: doors, not rooms. They tell the world what was seen; the reconciler does the work.

Two kopf operators run side by side, so that each asks for no more than it may read: one over the users' namespaces
(ModelRoutes, Secrets), one over the release's own (proxy pods, managed objects). All are coroutines: kopf runs plain
functions in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from modelroute_operator.core.modelroute import GROUP, PLURAL, VERSION
from modelroute_operator.edges.cluster import PAGE, Cluster
from modelroute_operator.edges.world import World, texts

IDLE_WORKER_SECONDS = 0.2


def of_users(world: World) -> kopf.OperatorRegistry:
    """ModelRoutes and Secrets in the watched namespaces."""
    registry = _registry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def route(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  kopf's name
        world.saw_route(body, deleted=type == "DELETED")

    @kopf.on.event("", "v1", "secrets", registry=registry)
    async def secret(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  kopf's name
        world.saw_secret(body, deleted=type == "DELETED")

    return registry


def of_release(world: World, cluster: Cluster, pods: Callable[[Mapping[str, Any], bool], None]) -> kopf.OperatorRegistry:
    """The release's pods, and the objects the operator writes: whoever else changes them is corrected."""
    registry = _registry()

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def pod(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  kopf's name
        pods(body, type == "DELETED")

    @kopf.on.event("", "v1", "configmaps", registry=registry)
    async def config_map(type: str | None, name: str, body: kopf.Body, **_: Any) -> None:  # noqa: A002  kopf's name
        world.saw_config_map(name, None if type == "DELETED" else dict(body.get("data") or {}))

    @kopf.on.event("", "v1", "secrets", registry=registry)
    async def secret(type: str | None, name: str, body: kopf.Body, **_: Any) -> None:  # noqa: A002  kopf's name
        if name == cluster.credentials_name:
            world.saw_credentials(None if type == "DELETED" else texts(body.get("data") or {}))

    return registry


def settings_of_users() -> kopf.OperatorSettings:
    """Helm keeps its releases in Secrets, which are large and none of ours."""
    settings = _settings()
    settings.watching.field_selectors["", "v1", "secrets"] = "type!=helm.sh/release.v1"
    return settings


def settings_of_release(cluster: Cluster) -> kopf.OperatorSettings:
    """Only what is this release's own crosses the wire."""
    settings = _settings()
    settings.watching.label_selectors["", "v1", "pods"] = cluster.pod_selector
    settings.watching.label_selectors["", "v1", "configmaps"] = cluster.selector
    settings.watching.label_selectors["", "v1", "secrets"] = cluster.selector
    return settings


class NoDiff(kopf.DiffBaseStorage):
    """kopf compares each object with what it was, for handlers of changes. There are none here, and it takes longer than ours do."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Nothing is kept."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


def _registry() -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    return registry


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # Events are the core's to decide.
    settings.scanning.disabled = True  # Namespaces are given; no right to list CRDs is needed.
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = NoDiff()
    # What kopf holds of many objects while it starts: pages instead of all, and each no longer than it is looked at.
    settings.watching.chunk_size = PAGE
    settings.queueing.idle_timeout = IDLE_WORKER_SECONDS
    return settings
