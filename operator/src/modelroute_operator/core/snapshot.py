"""The world at one moment, as the operator sees it: all that the core decides from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelroute_operator.core.cost_map import CostMap
from modelroute_operator.core.modelroute import ModelRouteSpec
from modelroute_operator.core.ollama import Ollama
from modelroute_operator.core.sealed import Sealed

SecretId = tuple[str, str]
"""Namespace and name of a Secret."""
Secrets = Mapping[SecretId, Mapping[str, Sealed]]
"""The Secrets that exist, by (namespace, name): key → text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One ModelRoute object as stored. Compared by identity: a new event makes a new one."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    """RFC 3339: strings sort as times do."""
    spec: ModelRouteSpec | None
    """None where what is stored cannot be read; `unreadable` then says why."""
    unreadable: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    held: bool = False
    """Does the operator's finalizer keep it until its models are deleted?"""
    claimed_by: str = ""
    """Namespace/name of the release that serves it, as its status says."""

    @property
    def key(self) -> str:
        """Namespace/name."""
        return f"{self.namespace}/{self.name}"

    @property
    def model_name(self) -> str:
        """What clients send as "model"."""
        return (self.spec.model_name if self.spec else None) or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The Helm release this operator serves, and what its values allow."""

    name: str
    namespace: str
    allowed_namespaces: tuple[str, ...] = ()
    """fnmatch patterns; empty allows every watched namespace."""
    route_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels a route without spec.proxyName must have."""
    ollama_api_base: str = ""
    digest_key: Sealed
    """Key of the digest that names the credentials (the status token)."""

    @property
    def id(self) -> str:
        """Namespace/name, as written to status.proxy."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The configuration as last written: what the managed objects hold now."""

    shard_count: int = 0
    lines: Mapping[str, str] = field(default_factory=dict)
    """Route key → its line (JSON)."""
    credentials: Mapping[str, Sealed] = field(default_factory=dict)
    vectors: Mapping[str, str] = field(default_factory=dict)
    """Alias → the embedding model it has stood for, since ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One ready proxy pod, and the last thing it reported; `sequence` None: it has not reported yet."""

    name: str
    sequence: int | None = None
    """Number of the publication it serves; 0 for one this operator does not know."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Route key → the proxy's sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What may be other than it was: so that a change costs itself, whatever number of routes there are."""

    routes: Collection[str] = ()
    secrets: Collection[SecretId] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything at once, the clock included. Its mappings are the world's own, so it holds for one decision."""

    now: str
    release: Release
    cost_map: CostMap
    routes: Mapping[str, Route]
    secrets: Secrets
    published: Published
    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Route key → its status as stored, in the API's own shape."""
    proxies: tuple[Proxy, ...] = ()
    ollama: Ollama = field(default_factory=Ollama)
    """The chart's own Ollama servers."""
    changes: Changes | None = None
    """Since the last snapshot that was resolved with the same memo; None: anything may have changed."""
