"""Decides which routes are served and with what, and what is wrong with the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelroute_operator.core import checks, credentials, questions
from modelroute_operator.core.checks import Claim, Local, Shared
from modelroute_operator.core.conditions import Condition, Problem, Reason
from modelroute_operator.core.credentials import Credentials
from modelroute_operator.core.modelroute import FunctionCalling, ModelRouteSpec
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Published, Route, Secrets, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One route judged alone: its problems, and its claim if it may be served. Compared by identity."""

    problems: tuple[Problem, ...]
    claim: Claim | None = None
    mode: str | None = None
    """None where the spec cannot be read."""
    function_calling: FunctionCalling = FunctionCalling.UNKNOWN
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    """Backend → its credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One route as the proxies shall serve it."""

    judged: Judged
    claim: Claim
    fallbacks: frozenset[str]
    """Those of the spec's fallbacks that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The verdict on every route this release covers."""

    covered: tuple[str, ...]
    """Keys of the routes this operator reports on, sorted."""
    served: Mapping[str, Served]
    problems: Mapping[str, tuple[Problem, ...]]
    modes: Mapping[str, str]
    credentials: Mapping[str, Sealed]
    """Every value the served routes refer to."""
    vectors: Mapping[str, str]
    """Alias → embedding model: what was known, and what is new."""
    claimed_elsewhere: Mapping[str, str]
    """Routes that another release serves, and this one would cover: key → that release."""


class Memo:
    """Remembers how each route was judged, for as long as it and its Secrets are the very same objects."""

    def __init__(self) -> None:
        """Starts empty."""
        self._judged: dict[str, tuple[Route, tuple[object, ...], Judged]] = {}

    def judge(self, route: Route, snapshot: Snapshot) -> Judged:
        """`_judge`, or what it said last time."""
        secrets = tuple(snapshot.secrets.get(name) for name in _secrets_of(route))
        known = self._judged.get(route.key)
        if known and known[0] is route and len(known[1]) == len(secrets) and all(a is b for a, b in zip(known[1], secrets, strict=True)):
            return known[2]
        judged = _judge(route, snapshot)
        # What was decided from the published configuration must be decided again: that changes.
        if not any(p.condition is Condition.RESOLVED_REFS for p in judged.problems):
            self._judged[route.key] = (route, secrets, judged)
        else:
            self._judged.pop(route.key, None)
        return judged

    def forget_all_but(self, keys: Mapping[str, Route]) -> None:
        """Drops routes that are gone."""
        if len(self._judged) > len(keys):
            self._judged = {key: value for key, value in self._judged.items() if key in keys}


def resolve(snapshot: Snapshot, memo: Memo | None = None) -> Resolution:
    """Judges every route. The order in which they are given does not matter."""
    memo = memo or Memo()
    memo.forget_all_but(snapshot.routes)
    covered, claimed_elsewhere = _coverage(snapshot)
    judged = {key: memo.judge(snapshot.routes[key], snapshot) for key in covered}
    problems = {key: list(j.problems) for key, j in judged.items()}
    winners, vectors = _share_names(judged, problems, snapshot.published.vectors)
    names = {name: claim for claim in winners.values() for name in claim.names}
    served: dict[str, Served] = {}
    for key in sorted(winners):
        claim = winners[key]
        good = set()
        for name in questions.fallback_names(claim.spec):
            if problem := checks.fallback_problem(claim, name, names):
                problems[key].append(problem)
            else:
                good.add(name)
        served[key] = Served(judged=judged[key], claim=claim, fallbacks=frozenset(good))
    return Resolution(
        covered=tuple(covered),
        served=served,
        problems={key: tuple(found) for key, found in problems.items() if found},
        modes={key: j.mode for key, j in judged.items() if j.mode},
        credentials=_values(served.values()),
        vectors=vectors,
        claimed_elsewhere=claimed_elsewhere,
    )


def _coverage(snapshot: Snapshot) -> tuple[list[str], dict[str, str]]:
    """The routes that are this release's to serve, and those it leaves to another that claimed them."""
    covered, elsewhere, release = [], {}, snapshot.release
    for key in sorted(snapshot.routes):
        route = snapshot.routes[key]
        wanted = route.spec.proxy_name if route.spec else None
        claimed = snapshot.statuses.get(key, {}).get("proxy")
        if route.deleting or (wanted and wanted != release.name):
            continue
        if not wanted and any(route.labels.get(k) != v for k, v in release.route_selector.items()):
            continue
        if not wanted and claimed and claimed != release.id:
            elsewhere[key] = claimed
            continue
        covered.append(key)
    return covered, elsewhere


def _values(served: Iterable[Served]) -> dict[str, Sealed]:
    """Every value of the routes' credentials. Where one route lives on with an old one and another has the new, the new one stands."""
    held = [credentials for one in served for credentials in one.judged.credentials.values()]
    return {key: value for last_good in (True, False) for one in held if one.last_good is last_good for key, value in one.values.items()}


def _share_names(judged: Mapping[str, Judged], problems: dict[str, list[Problem]], known: Mapping[str, str]) -> tuple[dict[str, Claim], dict[str, str]]:
    """Names go to the oldest claim; a claim that loses one is left out, and takes none of its others from anybody."""
    owners: dict[str, Claim] = {}
    winners: dict[str, Claim] = {}
    vectors = dict(known)
    claims = [j.claim for j in judged.values() if j.claim]
    for claim in sorted(claims, key=lambda c: (c.route.created, c.route.key)):
        key = claim.route.key
        if problem := first(checks.SHARED, Shared(claim=claim, owners=owners, vectors=vectors)):
            problems[key].insert(0, problem)
            continue
        if any(p.costs_route for p in problems[key]):
            owners.update((name, claim) for name in claim.names)  # Its Secret is missing: it keeps its names for when that comes.
            continue
        winners[key] = claim
        owners.update((name, claim) for name in claim.names)
        if embedding := claim.vectors:
            vectors.update((alias, embedding) for alias in claim.spec.aliases)
    return winners, vectors


def _secrets_of(route: Route) -> list[tuple[str, str]]:
    refs = [b.credentials_secret_ref or b.api_key_secret_ref for b in route.spec.backends] if route.spec else []
    return [(route.namespace, ref.name) for ref in refs if ref]


def _judge(route: Route, snapshot: Snapshot) -> Judged:
    spec = route.spec
    if spec is None:
        return Judged(problems=(Problem(reason=Reason.INVALID_SPEC, message=route.unreadable),))
    mode, calling = _mode(route, spec, snapshot), _function_calling(route, spec, snapshot)
    claim = Claim(route=route, spec=spec, mode=mode)
    at = Local(route=route, spec=spec, mode=mode, release=snapshot.release, cost_map=snapshot.cost_map, credentials={})
    if problem := first(checks.LOCAL, at):
        return Judged(problems=(problem,), mode=mode)
    held, problems = _credentials(route, spec, snapshot.secrets, snapshot.published)
    if any(p.costs_route for p in problems):
        return Judged(problems=tuple(problems), claim=claim, mode=mode)
    at = Local(route=route, spec=spec, mode=mode, release=snapshot.release, cost_map=snapshot.cost_map, credentials={b: c.keys for b, c in held.items()})
    if problem := first(checks.AFTER_CREDENTIALS, at):
        return Judged(problems=(problem, *problems), mode=mode)
    return Judged(problems=tuple(problems), claim=claim, mode=mode, function_calling=calling, credentials=held)


def _credentials(route: Route, spec: ModelRouteSpec, secrets: Secrets, published: Published) -> tuple[dict[str, Credentials], list[Problem]]:
    """Each backend's credentials; where they are missing, the last good ones of an unchanged route, with the problem said."""
    held, problems = {}, []
    for backend in spec.backends:
        found = credentials.of(backend, route.namespace, secrets)
        if isinstance(found, Problem):
            last = _last_good(route, backend.name, published)
            if last is None:
                problems.append(found)
                continue
            message = f"{found.message}; served meanwhile with the credentials it had"
            problems.append(Problem(reason=found.reason, message=message, costs_route=False))
            found = last
        held[backend.name] = found
    return held, problems


def _last_good(route: Route, backend: str, published: Published) -> Credentials | None:
    line = json.loads(published.lines.get(route.key, "{}"))
    if line.get("generation") != route.generation:
        return None
    for deployment in line["deployments"]:
        keys: dict[str, str] = deployment.get("credentials", {})
        if deployment["model_info"]["id"] == f"{route.key}/{backend}" and keys and all(key in published.credentials for key in keys.values()):
            return Credentials(keys=keys, values={key: published.credentials[key] for key in keys.values()}, last_good=True)
    return None


def _mode(route: Route, spec: ModelRouteSpec, snapshot: Snapshot) -> str:
    backend = spec.backends[0]
    known = snapshot.cost_map.of(backend.provider, questions.model_of(backend, route.model_name))
    return spec.mode or known.mode or "chat"


def _function_calling(route: Route, spec: ModelRouteSpec, snapshot: Snapshot) -> FunctionCalling:
    """What the route says, else the weakest of its backends by the cost map."""
    if spec.capabilities and spec.capabilities.function_calling:
        return spec.capabilities.function_calling
    known = [snapshot.cost_map.of(b.provider, questions.model_of(b, route.model_name)).function_calling for b in spec.backends]
    if any(k is False for k in known):
        return FunctionCalling.UNSUPPORTED
    return FunctionCalling.SUPPORTED if all(known) else FunctionCalling.UNKNOWN


def first(predicates: Iterable[Callable[[Any], Problem | None]], at: object) -> Problem | None:
    """The first problem that one of the predicates finds."""
    return next((problem for predicate in predicates if (problem := predicate(at))), None)
