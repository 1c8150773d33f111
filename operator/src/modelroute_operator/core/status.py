"""What a route's status says, from its problems and from what the proxies confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelroute_operator.core import proxy_config, pulls
from modelroute_operator.core.conditions import TRUE_REASON, Condition, Problem, Reason
from modelroute_operator.core.objects import text_digest
from modelroute_operator.core.publication import History
from modelroute_operator.core.pulls import PullState
from modelroute_operator.core.routes import Resolution
from modelroute_operator.core.snapshot import Proxy, Route, Snapshot

Verdict = tuple[str, str, str]
"""A condition's status, reason and message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A Kubernetes Event about a route."""

    kind: str
    """Normal or Warning."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One route's new status, whole, and the Events that tell of it."""

    route: Route
    status: Mapping[str, Any]
    events: tuple[Event, ...]


UNREPORTED = 2**62
"""In place of a publication's number, while no proxy has reported: whatever the first one says then concerns all."""


class Memo:
    """Which routes' statuses are worth a look: those that changed, those the proxies have not confirmed, and those a proxy speaks of.

    All of them only when the proxies are others than they were in a way that concerns all: the first is ready, the
    last is gone, or one serves less than every one did before.
    """

    def __init__(self) -> None:
        """Everything is worth a look."""
        self.open: set[str] = set()
        """Routes that were not confirmed when last looked at."""
        self._floor: int | None = None
        self._spoken_of: frozenset[str] = frozenset()

    def worth_a_look(self, touched: Iterable[str], proxies: Iterable[Proxy], covered: Mapping[str, object]) -> Iterable[str]:
        """The keys to look at, of those covered."""
        proxies = list(proxies)
        reported = [proxy.sequence for proxy in proxies if proxy.sequence is not None]
        floor = min(reported, default=UNREPORTED) if proxies else -1
        spoken_of = frozenset(key for proxy in proxies for key in proxy.refused)
        concerns_all = self._floor is None or floor < self._floor or (floor >= 0) != (self._floor >= 0)
        keys = set(covered) if concerns_all else {*touched, *self.open, *self._spoken_of, *spoken_of} & covered.keys()
        self._floor, self._spoken_of, self.open = floor, spoken_of, set()
        return sorted(keys)


def of(snapshot: Snapshot, resolution: Resolution, history: History, *, settled: int, memo: Memo | None = None, touched: Iterable[str] = ()) -> tuple[list[Report], bool]:
    """The reports that differ from the statuses as stored, and whether some were held back. With a memo, of `touched` and of what is open.

    A route that only waits for the proxies is held back while its publication is newer than `settled`: they answer
    within milliseconds, and a status that says Pending first would cost every change a second write.
    """
    memo, held_back = memo or Memo(), False
    reports = [Report(route=resolution.routes[key], status={}, events=()) for key in sorted(resolution.released) if snapshot.statuses.get(key)]
    for key in memo.worth_a_look(touched, snapshot.proxies, resolution.covered):
        route, problems, stored = resolution.routes[key], resolution.problems.get(key, ()), snapshot.statuses.get(key, {})
        since = history.since(key) if key in resolution.served else None
        was_true = _was_confirmed(stored, history.line(key))
        judged = resolution.covered[key]
        pull = pulls.state_of(judged.uses, snapshot.ollama) if judged.uses and judged.claim else None
        verdicts = _verdicts(key, problems, since, snapshot.proxies, was_true=was_true, pull=pull)
        if verdicts[Condition.PROGRAMMED][0] != "True":
            memo.open.add(key)
        if since and since > settled and verdicts[Condition.PROGRAMMED][1] == Reason.PENDING:
            held_back = True
            continue
        status = _status(snapshot, resolution, history, route, stored, verdicts)
        if pull and pull.summary:
            status["pullSummary"] = pull.summary
        if status != stored:
            reports.append(Report(route=route, status=status, events=tuple(_events(stored, verdicts))))
    return reports, held_back


def programmed(key: str, since: int | None, proxies: Iterable[Proxy], *, was_true: bool) -> Verdict:
    """Does every ready proxy serve this very line? A proxy that has not reported yet leaves a route as it was."""
    proxies = list(proxies)
    if since is None:
        return "False", Reason.PENDING, "left out of the proxies' configuration"
    if not proxies:
        return "False", Reason.NO_READY_PROXY, "no proxy replica is ready; see kubectl get pods -l app.kubernetes.io/component=proxy"
    for proxy in proxies:
        if key in proxy.refused and (proxy.sequence or 0) >= since:
            return "False", Reason.REJECTED_BY_PROXY, f"proxy {proxy.name} refused the route: {proxy.refused[key]}"
    late = [p for p in proxies if (p.sequence or 0) < since]
    if was_true and all(p.sequence is None for p in late):
        late = []
    if late:
        return "False", Reason.PENDING, f"{len(proxies) - len(late)} of {len(proxies)} ready proxy replicas have it; waiting for {late[0].name}"
    return "True", TRUE_REASON[Condition.PROGRAMMED], "served by every ready proxy replica"


def _verdicts(key: str, problems: tuple[Problem, ...], since: int | None, proxies: tuple[Proxy, ...], *, was_true: bool, pull: PullState | None) -> dict[Condition, Verdict]:
    verdicts: dict[Condition, Verdict] = {}
    for condition in (Condition.ACCEPTED, Condition.RESOLVED_REFS):
        found = [p for p in problems if p.condition is condition]
        if found:
            verdicts[condition] = ("False", found[0].reason, "; ".join(p.message for p in found))
        elif condition is Condition.RESOLVED_REFS and since is None and Condition.ACCEPTED in verdicts and verdicts[Condition.ACCEPTED][0] == "False":
            verdicts[condition] = ("Unknown", Reason.NOT_ACCEPTED, "not looked at: the route is not accepted")
        else:
            good = {Condition.ACCEPTED: "the spec can be served", Condition.RESOLVED_REFS: "every Secret and fallback exists"}
            verdicts[condition] = ("True", TRUE_REASON[condition], good[condition])
    if pull:
        verdicts[Condition.MODELS_PULLED] = ("False" if pull.reason else "True", pull.reason or TRUE_REASON[Condition.MODELS_PULLED], pull.message)
    verdicts[Condition.PROGRAMMED] = programmed(key, since, proxies, was_true=was_true)
    worst = next((v for v in verdicts.values() if v[0] != "True"), None)
    ready: Verdict = ("False", worst[1], worst[2]) if worst else ("True", TRUE_REASON[Condition.READY], verdicts[Condition.PROGRAMMED][2])
    verdicts[Condition.READY] = ready
    return verdicts


def _was_confirmed(stored: Mapping[str, Any], line: str | None) -> bool:
    """Did every replica confirm this very line, as far as the status tells? An operator that starts knows no more than that."""
    programmed_before = _conditions(stored).get(Condition.PROGRAMMED, {}).get("status") == "True"
    return programmed_before and line is not None and stored.get("digest") == text_digest(line)


def _conditions(stored: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {c["type"]: c for c in stored.get("conditions", ())}


def _status(snapshot: Snapshot, resolution: Resolution, history: History, route: Route, stored: Mapping[str, Any], verdicts: Mapping[Condition, Verdict]) -> dict[str, Any]:
    before = _conditions(stored)
    conditions = []
    for condition, (state, reason, message) in verdicts.items():
        old = before.get(condition, {})
        since = old["lastTransitionTime"] if old.get("status") == state else snapshot.now
        conditions.append({
            "type": condition.value, "status": state, "reason": str(reason), "message": message,
            "observedGeneration": route.generation, "lastTransitionTime": since,
        })  # fmt: skip
    line = history.line(route.key)
    confirmed = verdicts[Condition.PROGRAMMED][0] == "True"
    mode = resolution.covered[route.key].mode
    backends = _backends(route, mode, verdicts, served=confirmed)
    status = {
        "observedGeneration": route.generation,
        "modelName": route.model_name,
        "mode": mode,
        # A release that may not serve the route does not claim it: another may.
        "proxy": snapshot.release.id if verdicts[Condition.ACCEPTED][1] != Reason.NAMESPACE_NOT_ALLOWED else None,
        "digest": text_digest(line) if confirmed and line else stored.get("digest") if line else None,
        "summary": f"{len(backends) if confirmed else 0}/{len(backends)}",
        "conditions": conditions,
        "backends": backends,
    }
    return {name: value for name, value in status.items() if value is not None}


def _backends(route: Route, mode: str | None, verdicts: Mapping[Condition, Verdict], *, served: bool) -> list[dict[str, Any]]:
    if route.spec is None:
        return []
    return [
        {
            "name": backend.name,
            "deploymentID": f"{route.key}/{backend.name}",
            "litellmModel": proxy_config.litellm_model(backend, route.model_name, mode or route.spec.mode or "chat"),
            "state": "Served" if served else "NotServed",
            "message": "" if served else verdicts[Condition.READY][2],
        }
        for backend in route.spec.backends
    ]


def _events(stored: Mapping[str, Any], verdicts: Mapping[Condition, Verdict]) -> Iterable[Event]:
    """One Event when a pull begins, ends or fails, and when Ready changes its status or its reason; waiting for the proxies is not worth one."""
    before = _conditions(stored)
    if pulled := verdicts.get(Condition.MODELS_PULLED):
        state, reason, message = pulled
        old = before.get(Condition.MODELS_PULLED, {"reason": str(reason) if state == "True" else ""})
        if old.get("reason") != str(reason):
            yield Event(kind="Normal" if state == "True" or reason == Reason.PULLING else "Warning", reason=str(reason), message=message)
    old = before.get(Condition.READY, {})
    state, reason, message = verdicts[Condition.READY]
    told = reason == Reason.PENDING or (pulled and pulled[0] != "True" and reason == pulled[1])
    if (old.get("status"), old.get("reason")) != (state, str(reason)) and not told:
        yield Event(kind="Normal" if state == "True" else "Warning", reason=str(reason), message=message)
