"""What the watches have told so far: the mutable side of a `Snapshot`, and the bell that rings when it changed."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelroute_operator.core import judge, objects, parse, plan
from modelroute_operator.core.cost_map import CostMap
from modelroute_operator.core.ollama import Ollama
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Changes, Proxy, Published, Release, Route, SecretId, Snapshot

SecretData = Mapping[str, Sealed]
"""A Secret's data, decoded."""


class World:
    """Routes, the Secrets they refer to, and the managed objects. Changed by handlers, read by the reconciler."""

    def __init__(self, release: str) -> None:
        """Knows nothing yet. `release`: namespace/name of our own, whose claims are no news."""
        self._release = release
        self.dirty = asyncio.Event()
        self.changed = True
        """Is there more to do than to report what the proxies said?"""
        self._changed_routes: set[str] = set()
        self._changed_secrets: set[SecretId] = set()
        self._doubted = True
        self.routes: dict[str, Route] = {}
        self.statuses: dict[str, Mapping[str, Any]] = {}
        self.secrets: dict[SecretId, SecretData] = {}
        self._absent: set[SecretId] = set()
        self._references: Counter[SecretId] = Counter()
        self._awaited: set[SecretId] = set()
        self.restated: set[str] = set()
        """Routes whose stored status is not what was last known of it."""
        self.config_maps: dict[str, dict[str, str]] = {}
        self.credentials: Mapping[str, Sealed] | None = None
        self.expected = plan.Observed()
        """The managed objects as they are being written: their events are no news, though they may come before the answer."""

    def touch(self) -> None:
        """Something changed."""
        self.changed = True
        self.dirty.set()

    def doubt(self) -> None:
        """Something went wrong half-way: everything is compared anew."""
        self._doubted = True
        self.touch()

    def changes(self) -> Changes | None:
        """What changed since this was last asked; None: anything may have."""
        doubted, self._doubted = self._doubted, False
        routes, self._changed_routes = self._changed_routes, set()
        secrets, self._changed_secrets = self._changed_secrets, set()
        return None if doubted else Changes(routes=routes, secrets=secrets)

    def ring(self) -> None:
        """A proxy said something, or it is time to look again."""
        self.dirty.set()

    def saw_route(self, body: Mapping[str, Any], *, deleted: bool = False) -> None:
        """A ModelRoute appeared, changed or went. What only repeats what is known rings no bell."""
        new = parse.route(body)
        old = self.routes.get(new.key)
        if deleted:
            self.statuses.pop(new.key, None)
            self._refer(self.routes.pop(new.key, None), None)
            if old:
                self._changed_routes.add(new.key)
                self.touch()
            return
        stored = shared(body.get("status") or {})
        same = old is not None and self._identity(old) == self._identity(new)
        if not same:
            self.routes[new.key] = new
            self._changed_routes.add(new.key)
            self._refer(old, new)
        if not same or self.statuses.get(new.key) != stored:
            self.statuses[new.key] = stored
            self.restated.add(new.key)
            self.touch()

    def _refer(self, old: Route | None, new: Route | None) -> None:
        """Counts the references to Secrets: what nobody refers to is forgotten, what somebody does for the first time is awaited."""
        for name in judge.secrets_of(new) if new else ():
            self._references[name] += 1
            if name not in self.secrets and name not in self._absent:
                self._awaited.add(name)
        for name in judge.secrets_of(old) if old else ():
            self._references[name] -= 1
            if not self._references[name]:
                del self._references[name]
                self._keep(name, None)
                self._absent.discard(name)
                self._awaited.discard(name)

    def _keep(self, name: SecretId, data: SecretData | None) -> None:
        """Remembers a Secret's data, or that there is none."""
        if data is None:
            self.secrets.pop(name, None)
            self._absent.add(name)
        else:
            self.secrets[name] = data
            self._absent.discard(name)
        self._changed_secrets.add(name)

    def _identity(self, route: Route) -> tuple[object, ...]:
        claim = "" if route.claimed_by == self._release else route.claimed_by
        return (route.uid, route.generation, route.labels, route.annotations, route.deleting, route.held, claim)

    def saw_secret(self, body: Mapping[str, Any], *, deleted: bool = False) -> None:
        """A Secret appeared, changed or went: kept only if a route refers to it."""
        name = (body["metadata"]["namespace"], body["metadata"]["name"])
        if name not in self.secrets and name not in self._absent and name not in self._awaited:
            return
        new = None if deleted else texts(body.get("data") or {})
        if name in self._awaited or self.secrets.get(name) != new:
            self._awaited.discard(name)
            self._keep(name, new)
            self.touch()

    def wanted_secrets(self) -> list[SecretId]:
        """Secrets that routes refer to and that were never looked at. Their events are kept meanwhile."""
        return sorted(self._awaited)

    def looked_up(self, name: SecretId, body: Mapping[str, Any] | None) -> None:
        """The answer to a look-up; an event that came meanwhile is newer and stays."""
        if name in self._awaited:
            self._awaited.discard(name)
            self._keep(name, None if body is None else texts(body.get("data") or {}))

    def saw_config_map(self, name: str, data: Mapping[str, str] | None) -> None:
        """A managed ConfigMap as stored; None: it is gone."""
        if data == self.config_maps.get(name):
            return
        if data is None:
            self.config_maps.pop(name, None)
        else:
            self.config_maps[name] = dict(data)
        if data is None or data != self.expected.config_maps.get(name):
            self.touch()

    def saw_credentials(self, data: Mapping[str, Sealed] | None) -> None:
        """The managed Secret as stored."""
        if data != self.credentials:
            self.credentials = data
            if data is None or data != self.expected.credentials:
                self.touch()

    def observed(self) -> plan.Observed:
        """The managed objects as last seen."""
        return plan.Observed(config_maps=self.config_maps, credentials=self.credentials)

    def snapshot(
        self, release: Release, cost_map: CostMap, published: Published, proxies: tuple[Proxy, ...], ollama: Ollama | None = None, changes: Changes | None = None
    ) -> Snapshot:
        """Everything at once. It does not copy, so it holds until the next await."""
        return Snapshot(
            now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            release=release,
            cost_map=cost_map,
            routes=self.routes,
            secrets=self.secrets,
            published=published,
            statuses=self.statuses,
            proxies=proxies,
            ollama=ollama or Ollama(),
            changes=changes,
        )


def shared(value: Any) -> Any:
    """The same value, with one string for all equal ones: 10,000 statuses say mostly the same."""
    if isinstance(value, Mapping):
        return {sys.intern(key): shared(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shared(inner) for inner in value]
    return sys.intern(value) if isinstance(value, str) else value


def texts(data: Mapping[str, str]) -> dict[str, Sealed]:
    """A Secret's data, decoded. What is no text is no credential; a line break at the end is an accident of `echo`."""
    found = {}
    for key, value in data.items():
        try:
            found[key] = Sealed(base64.b64decode(value).decode().strip())
        except ValueError:
            continue
    return found


def published(config_maps: Mapping[str, Mapping[str, str]], credentials: Mapping[str, Sealed] | None, index: objects.Index | None, memo: objects.Memo) -> Published:
    """What the managed objects hold, read back: an operator that starts goes on from there, and so does `memo`."""
    if index is None:
        return Published(credentials=credentials or {})
    lines = memo.resume({file: config_maps.get(home, {}).get(file, "") for file, home in index.shards.items()})
    count = len(index.shards) - (objects.RECENT in index.shards)
    return Published(shard_count=count, lines=lines, credentials=credentials or {}, vectors=index.vectors)
