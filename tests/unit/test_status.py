"""When a route is Programmed, when a report is held back, and which Events are told."""

from __future__ import annotations

from typing import Any

import pytest
from modelroute_operator.core import objects, routes, status
from modelroute_operator.core.publication import History
from modelroute_operator.core.snapshot import Proxy
from modelroute_operator.core.status import Report
from unit import make

SERVES = {"newest": 5, "older": 4, "unknown": 0, "silent": None}
PROGRAMMED = {
    "a route that is in no publication is left out": (None, ["newest"], False, "Pending"),
    "without a ready proxy nobody serves it": (5, [], True, "NoReadyProxy"),
    "every proxy serves it": (5, ["newest", "newest"], False, "Programmed"),
    "a proxy that serves a later publication has it too": (3, ["older", "newest"], False, "Programmed"),
    "one proxy lags behind": (5, ["newest", "older"], True, "Pending"),
    "a proxy serves something nobody knows": (5, ["newest", "unknown"], True, "Pending"),
    "a proxy that has not reported keeps a new route waiting": (5, ["newest", "silent"], False, "Pending"),
    "a proxy that has not reported changes nothing about a confirmed route": (5, ["newest", "silent"], True, "Programmed"),
    "an operator that starts believes what was confirmed until proxies report": (1, ["silent", "silent"], True, "Programmed"),
    "a silent proxy does not excuse a late one": (5, ["silent", "older"], True, "Pending"),
    "a refusal of this line counts": (5, ["newest", "newest refuses"], True, "RejectedByProxy"),
    "a refusal of a line before this one does not": (5, ["newest", "older refuses"], False, "Pending"),
    "a refusal by an unknown configuration does not": (5, ["unknown refuses"], False, "Pending"),
}


def proxies(kinds: list[str]) -> list[Proxy]:
    """Proxies by what they serve."""
    return [Proxy(name=f"p{i}", sequence=SERVES[kind.split()[0]], refused={"ai/r": "no"} if "refuses" in kind else {}) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize("sentence", PROGRAMMED)
def test_programmed(sentence: str) -> None:
    since, kinds, was_true, reason = PROGRAMMED[sentence]
    state, found, message = status.programmed("ai/r", since, proxies(kinds), was_true=was_true)
    assert (state, found) == ("True" if reason == "Programmed" else "False", reason)
    assert message


def test_waiting_says_how_many_have_it_and_who_has_not() -> None:
    assert status.programmed("ai/r", 5, proxies(["newest", "older"]), was_true=False)[2] == "1 of 2 ready proxy replicas have it; waiting for p1"


def test_a_refusal_is_the_proxys_own_sentence() -> None:
    assert status.programmed("ai/r", 5, proxies(["newest refuses"]), was_true=False)[2] == "proxy p0 refused the route: no"


class Scene:
    """One route over several turns."""

    def __init__(self) -> None:
        self.history, self.statuses = History(), {}

    def turn(self, *, line: str = "line", serves: int | None = 1, settled: int = 99, generation: int = 1, suspend: bool = False, **world: Any) -> tuple[list[Report], bool]:
        route = make.route("r", suspend=suspend, meta={"generation": generation})
        found = (Proxy(name="p", sequence=serves),) if "proxies" not in world else world["proxies"]
        snapshot = make.snapshot([route], statuses=self.statuses, proxies=found)
        self.history.publish(f"digest of {line}", {} if suspend else {"ai/r": line})
        reports, held_back = status.of(snapshot, routes.resolve(snapshot), self.history, settled=settled)
        self.statuses |= {report.route.key: report.status for report in reports}
        return reports, held_back

    @property
    def programmed(self) -> str:
        return next(c["status"] for c in self.statuses["ai/r"]["conditions"] if c["type"] == "Programmed")


def test_a_new_route_is_not_called_pending_before_the_proxies_had_time() -> None:
    scene = Scene()
    assert scene.turn(serves=0, settled=0) == ([], True)
    (report,), held_back = scene.turn(serves=0, settled=1)
    assert not held_back
    assert [c["reason"] for c in report.status["conditions"]][2:] == ["Pending", "Pending"]


def test_a_problem_is_reported_at_once() -> None:
    scene = Scene()
    (report,), _ = scene.turn(suspend=True, settled=0)
    assert report.status["conditions"][-1]["reason"] == "Suspended"


def test_a_status_as_it_was_is_not_reported_again() -> None:
    scene = Scene()
    assert len(scene.turn()[0]) == 1
    assert scene.turn() == ([], False)


def test_one_replica_more_or_less_rewrites_no_status() -> None:
    scene = Scene()
    scene.turn()
    assert scene.turn(proxies=(Proxy(name="p", sequence=1), Proxy(name="q", sequence=1))) == ([], False)


def test_an_operator_that_starts_after_a_change_does_not_believe_the_old_confirmation() -> None:
    scene = Scene()
    scene.turn(line="before")
    scene.history = History()
    scene.turn(line="after", generation=2, serves=None)
    assert scene.programmed == "False"


def test_an_operator_that_starts_believes_the_confirmation_of_the_same_line() -> None:
    scene = Scene()
    scene.turn()
    scene.history = History()
    assert scene.turn(serves=None) == ([], False)


def test_the_digest_is_the_lines_and_stays_while_a_change_waits() -> None:
    scene = Scene()
    scene.turn(line="before")
    assert scene.statuses["ai/r"]["digest"] == objects.text_digest("before")
    scene.turn(line="after", generation=2, serves=1)
    assert (scene.programmed, scene.statuses["ai/r"]["digest"]) == ("False", objects.text_digest("before"))
    scene.turn(line="after", generation=2, serves=2)
    assert scene.statuses["ai/r"]["digest"] == objects.text_digest("after")
    scene.turn(suspend=True, generation=3)
    assert "digest" not in scene.statuses["ai/r"]


def test_events_tell_of_ready_and_of_why_not_but_not_of_waiting() -> None:
    scene, turns = Scene(), ({"serves": 0}, {}, {}, {"proxies": ()}, {}, {"suspend": True, "generation": 2})
    told = [[(event.kind, event.reason) for report in scene.turn(**turn)[0] for event in report.events] for turn in turns]
    assert told == [[], [("Normal", "Ready")], [], [("Warning", "NoReadyProxy")], [("Normal", "Ready")], [("Warning", "Suspended")]]


def test_a_release_that_may_not_serve_a_route_leaves_it_to_one_that_may() -> None:
    stranger = make.route("r", namespace="b")
    first = make.snapshot([stranger], release=make.release(name="one", allowed_namespaces=("a",)))
    (report,), _ = status.of(first, routes.resolve(first), History(), settled=0)
    assert "proxy" not in report.status
    statuses = {"b/r": report.status}
    assert routes.resolve(make.snapshot([stranger], release=make.release(name="two", allowed_namespaces=("b",)), statuses=statuses)).served


def test_a_route_that_left_the_release_says_so_no_longer() -> None:
    """Its status would go on to say Ready, though nobody serves it."""
    left = make.route("r", proxyName="another")
    snapshot = make.snapshot([left], statuses={"ai/r": {"proxy": "ai/litellm", "conditions": []}})
    reports, _ = status.of(snapshot, routes.resolve(snapshot), History(), settled=0)
    assert [(report.route.key, report.status) for report in reports] == [("ai/r", {})]
