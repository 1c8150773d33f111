"""Decides which routes are served and with what, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from modelroute_operator.core import checks, credentials, judge, pulls, questions
from modelroute_operator.core.checks import Claim
from modelroute_operator.core.conditions import Problem
from modelroute_operator.core.delta import take_over
from modelroute_operator.core.judge import Judged
from modelroute_operator.core.names import Names
from modelroute_operator.core.ollama import Ollama
from modelroute_operator.core.pulls import Use
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Release, Route, SecretId, Snapshot
from modelroute_operator.core.values import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One route as the proxies shall serve it."""

    judged: Judged
    claim: Claim
    fallbacks: frozenset[str]
    """Those of the spec's fallbacks that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The verdict on every route this release covers. Its mappings are the memo's own: they hold until its next resolution."""

    routes: Mapping[str, Route]
    """All routes as they were when this was decided."""
    covered: Mapping[str, Judged]
    """The routes this operator reports on."""
    served: Mapping[str, Served]
    problems: Mapping[str, tuple[Problem, ...]]
    credentials: Mapping[str, Sealed]
    """Every value the served routes refer to."""
    vectors: Mapping[str, str]
    """Alias → embedding model: what was known, and what is new."""
    claimed_elsewhere: Mapping[str, str]
    """Routes that another release serves, and this one would cover: key → that release."""
    released: Collection[str]
    """Routes whose status says that this release serves them, which it does no longer."""
    uses: tuple[Use, ...]
    """The models that all routes want on the chart's own Ollama."""
    watched: frozenset[str]
    """Routes whose models may have moved on since the memo's last resolution."""
    leaving: Mapping[str, Route]
    """Routes that are being deleted and wait for their models to go."""
    touched: frozenset[str]
    """Routes looked at since the memo's last resolution; the others are as they were."""


def resolve(snapshot: Snapshot, memo: Memo | None = None) -> Resolution:
    """Judges every route; with a memo, what changed since its last resolution. The order of the routes does not matter."""
    return (memo or Memo()).resolve(snapshot)


class Memo:
    """What was decided last. A change costs what it touches: itself, routes that share a name with it, and those that fall back to it."""

    def __init__(self) -> None:
        """Knows nothing, so that everything is new."""
        self._routes: dict[str, Route] = {}
        self._secrets: dict[SecretId, Mapping[str, Sealed]] = {}
        self._judged: dict[str, Judged] = {}
        self._served: dict[str, Served] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._elsewhere: dict[str, str] = {}
        self._released: set[str] = set()
        self._lacking: set[str] = set()
        self._uses: dict[str, tuple[Use, ...]] = {}
        self._users: frozenset[str] = frozenset()
        self._wishes: tuple[Use, ...] = ()
        self._leaving: dict[str, Route] = {}
        self._ollama = Ollama()
        self._names, self._values = Names(), Values()
        self._readers: dict[SecretId, set[str]] = {}
        self._fallers: dict[str, set[str]] = {}

    def resolve(self, snapshot: Snapshot) -> Resolution:
        """The verdict on the snapshot. A route or Secret that is the same object as last time counts as unchanged."""
        changed, rotated = self._what_changed(snapshot)
        watched: frozenset[str] = frozenset()
        if snapshot.ollama != self._ollama:
            changed |= self._moved(snapshot.ollama)
            watched, self._ollama = frozenset(self._uses), snapshot.ollama
        names = {name for key in changed for name in self._forget(key)}
        for key in changed & self._routes.keys():
            names.update(self._learn(self._routes[key], snapshot))
        decided, reached = self._names.settle(names, self._judged, snapshot.published.vectors)
        touched = changed | decided | {key for name in reached for key in self._fallers.get(name, ())}
        for key in touched:
            self._conclude(key)
        self._values.update(rotated, snapshot)
        if touched & (self._uses.keys() | self._users):
            self._users = frozenset(self._uses)
            self._wishes = tuple(replace(use, active=use.active and key in self._served) for key, uses in sorted(self._uses.items()) for use in uses)
        return Resolution(
            routes=self._routes,
            covered=self._judged,
            served=self._served,
            problems=self._problems,
            credentials=self._values.now,
            vectors={**snapshot.published.vectors, **self._names.vectors},
            claimed_elsewhere=self._elsewhere,
            released=self._released,
            uses=self._wishes,
            watched=watched & self._judged.keys(),
            leaving=self._leaving,
            touched=frozenset(touched),
        )

    def _what_changed(self, snapshot: Snapshot) -> tuple[set[str], set[SecretId]]:
        """The routes to judge again, and the Secrets that are not what they were."""
        hint = snapshot.changes
        changed = set(take_over(self._routes, snapshot.routes, hint.routes if hint else None))
        before = take_over(self._secrets, snapshot.secrets, hint.secrets if hint else None)
        for name, data in before.items():
            if credentials.shape(data) != credentials.shape(snapshot.secrets.get(name)):
                changed |= self._readers.get(name, set())
        # Without its Secret a route lives on what is published of it, which changes.
        published = snapshot.published.lines
        changed |= {key for key in self._lacking if key in published or not any(p.costs_route for p in self._judged[key].problems)}
        return changed, set(before)

    def _moved(self, ollama: Ollama) -> set[str]:
        """The routes one of whose models is on other replicas than it was, or is known to do other things."""
        return {key for key, uses in self._uses.items() if any(ollama.view(use.model) != self._ollama.view(use.model) for use in uses)}

    def _forget(self, key: str) -> tuple[str, ...]:
        """Takes a route out of everything. Returns the names it claimed."""
        self._elsewhere.pop(key, None)
        self._released.discard(key)
        self._lacking.discard(key)
        self._uses.pop(key, None)
        self._leaving.pop(key, None)
        judged = self._judged.pop(key, None)
        if judged is None:
            return ()
        for secret in judged.secrets:
            self._readers[secret].discard(key)
        if judged.claim is None:
            return ()
        for name in questions.fallback_names(judged.claim.spec):
            self._fallers[name].discard(key)
        self._names.withdraw(judged.claim)
        return judged.claim.names

    def _learn(self, route: Route, snapshot: Snapshot) -> tuple[str, ...]:
        """Judges a route and enters it everywhere. Returns the names it claims."""
        key = route.key
        if route.deleting and route.held and route.claimed_by in {"", snapshot.release.id}:
            self._leaving[key] = route
            self._uses[key] = pulls.uses(route) if snapshot.ollama.service else ()
        if not self._covers(route, snapshot.release):
            return ()
        judged = self._judged[key] = judge.judge(route, snapshot)
        if judged.uses:
            self._uses[key] = judged.uses
        for secret in judged.secrets:
            self._readers.setdefault(secret, set()).add(key)
        if judged.lacks_secrets:
            self._lacking.add(key)
        if judged.claim is None:
            return ()
        for name in questions.fallback_names(judged.claim.spec):
            self._fallers.setdefault(name, set()).add(key)
        self._names.claim(judged.claim)
        return judged.claim.names

    def _covers(self, route: Route, release: Release) -> bool:
        """Is the route this release's to serve? Notes the ones it leaves to another, and those it has just left."""
        wanted = route.spec.proxy_name if route.spec else None
        if route.deleting:
            return False
        if (wanted and wanted != release.name) or (not wanted and any(route.labels.get(k) != v for k, v in release.route_selector.items())):
            if route.claimed_by == release.id:
                self._released.add(route.key)
            return False
        if not wanted and route.claimed_by not in {"", release.id}:
            self._elsewhere[route.key] = route.claimed_by
            return False
        return True

    def _conclude(self, key: str) -> None:
        """From what was judged and who won the names to what is served, and what is wrong."""
        judged, claim = self._judged.get(key), self._names.winners.get(key)
        problems = [*judged.problems] if judged else []
        if lost := self._names.lost.get(key):
            problems.insert(0, lost)
        if judged and claim:
            found = {name: checks.fallback_problem(claim, name, self._names.of) for name in questions.fallback_names(claim.spec)}
            problems += [problem for problem in found.values() if problem]
            self._served[key] = Served(judged=judged, claim=claim, fallbacks=frozenset(name for name, problem in found.items() if not problem))
            self._values.need(key, judged.credentials.values())
        else:
            self._served.pop(key, None)
            self._values.need(key, ())
        if problems:
            self._problems[key] = tuple(problems)
        else:
            self._problems.pop(key, None)
