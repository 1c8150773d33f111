"""Rows that take a cluster: how fast a change arrives, at each number of routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import cluster
from rows import Row, Scale, at_least, at_most, milliseconds, p, p50, shown

FAMILIES = ("change", "rotation", "restart", "burst", "rest")
CALM_SECONDS = 10
CLIENTS = 4
"""That keep asking while something changes."""
STAGES = ("accepted", "written", "index", "news", "served", "programmed", "first_request", "request")


def column(samples: list[dict[str, float]], name: str) -> list[float]:
    """One measurement of every sample."""
    return [each[name] for each in samples]


def since(samples: list[dict[str, float]], what: str, accepted: str, less: float = 0.0) -> list[float]:
    """Seconds from the API server's answer; an event may overtake that."""
    return [max(0.0, each[what] - each[accepted] - less) for each in samples]


class Ladder:
    """One namespace that grows from few routes to many; each step is measured where it stands."""

    def __init__(self, scale: Scale, wanted: set[str], say: Callable[[str], None]) -> None:
        """`wanted`: the families to measure."""
        self.scale, self.wanted, self.say = scale, wanted, say
        self.served: dict[int, tuple[float, float]] = {}
        """Routes → p50 and p95 of the seconds from a change to the last replica, less a request's own."""
        self.floor: dict[int, tuple[float, float]] = {}
        self.rotated: dict[int, float] = {}
        self.deleted: dict[int, float] = {}
        self.restart_seconds = 0.0

    def rows(self) -> Iterator[Row]:
        """All of them."""
        with cluster.deployed():
            sizes = self.scale.sizes if self.wanted & {"change", "rotation"} else (self.scale.sizes[0],)
            for size in (*sizes, *((self.scale.sizes[-1],) if "rest" in self.wanted and len(sizes) == 1 else ())):
                grown = self._measure("grow", to=size - 1)  # and the route `steady`
                if grown["created"] >= self.scale.burst:
                    yield from self._grown(size, grown)
                    time.sleep(CALM_SECONDS)  # what so many at once leave to the API server is not a change's
                if "change" in self.wanted and size in sizes:
                    yield from self._change(size)
                if "rotation" in self.wanted and size in sizes:
                    yield from self._rotation(size)
                if size == self.scale.sizes[0]:
                    if "restart" in self.wanted:
                        yield from self._restart(size)
                    if "burst" in self.wanted:
                        yield from self._burst()
            yield from self._flatness()
            if "rest" in self.wanted:
                yield from self._rest()

    def _measure(self, what: str, **arguments: Any) -> Any:
        began = time.monotonic()
        found = cluster.measure(what, **arguments)
        shown_arguments = " ".join(f"{name}={value}" for name, value in arguments.items() if name != "env")
        self.say(f"{what} {shown_arguments}: {time.monotonic() - began:.0f} s")
        return found

    def _against_floor(self, family: str, what: str, size: int, seconds: list[float], floors: list[float], bars: tuple[float, float], **detail: Any) -> Iterator[Row]:
        detail = {"routes": size, "floor": milliseconds(floors), "measured": milliseconds(seconds), **detail}
        for name, of, bar in (("p50", p50, bars[0]), ("p95", lambda values: p(95, values), bars[1])):
            yield at_most(family, f"{what}, {size:,} routes, {name} ÷ floor", of(seconds) / of(floors), bar, len(seconds), **detail)

    def _change(self, size: int) -> Iterator[Row]:
        found = self._measure("change", count=self.scale.changes)
        floors, request, refusal = column(found, "floor"), p50(column(found, "request")), p50(column(found, "refusal"))
        stages = {stage: round(1000 * p50(column(found, stage)), 1) for stage in STAGES}
        served = since(found, "served", "accepted", less=request)
        self.served[size], self.floor[size] = (p50(served), p(95, served)), (p50(floors), p(95, floors))
        detail = {"from_sending": milliseconds([each["served"] - request for each in found]), "median_ms_of_stage_from_sending": stages}
        yield from self._against_floor("change", "change accepted → every replica answers", size, served, floors, (3, 4), **detail)
        programmed = since(found, "programmed", "accepted")
        yield from list(self._against_floor("change", "change accepted → Programmed", size, programmed, floors, (6, 6)))[1:]
        deleted = since(found, "deleted", "deletion_accepted", less=refusal)
        self.deleted[size] = p50(deleted)
        detail = {"from_sending": milliseconds([each["deleted"] - refusal for each in found])}
        yield from self._against_floor("change", "deletion accepted → 404 on every replica", size, deleted, floors, (3, 4), **detail)

    def _rotation(self, size: int) -> Iterator[Row]:
        found = self._measure("rotation", count=self.scale.rotations)
        rotated, floors = since(found, "rotated", "rotation_accepted"), column(found, "floor")
        self.rotated[size] = p50(column(found, "rotated"))  # from sending: the old key is often gone before the answer is here
        failed = int(sum(column(found, "failed")))
        detail = {"from_sending": milliseconds(column(found, "rotated")), "failed": failed}
        yield from self._against_floor("rotation", "key accepted → last request with the old one", size, rotated, floors, (3, 4), **detail)
        yield at_most("rotation", f"requests that failed while keys were rotated, {size:,} routes", failed, 0, len(found), unit="")

    def _restart(self, size: int) -> Iterator[Row]:
        ours = self._measure("load", count=self.scale.under_load, clients=CLIENTS)
        environment = cluster.environment_of_proxy()
        today = self._measure("rollout", env=environment, count=self.scale.restarts, models=size, clients=CLIENTS)
        self.restart_seconds = p50(today["seconds"])
        failed, stock_failed = sum(ours["failures"].values()), sum(today["failures"].values())
        detail = {"ours_under_load": milliseconds(ours["seconds"]), "stock_seconds": today["seconds"]}
        # Ours is the whole of it, a request's own time included, and under load as the restart is.
        ratio = self.restart_seconds / p50(ours["seconds"])
        yield at_least("restart", "rolling restart of stock LiteLLM ÷ our change, both under load", ratio, 100, len(today["seconds"]), **detail)
        yield at_most("restart", f"requests that failed during our changes, of {ours['requests']:,}", failed, 0, len(ours["seconds"]), unit="", causes=ours["failures"])
        name = f"requests that failed during stock's restarts, of {today['requests']:,}"
        yield shown("restart", name, stock_failed, len(today["seconds"]), unit="", causes=today["failures"])

    def _burst(self) -> Iterator[Row]:
        found = []
        for _ in range(self.scale.bursts):
            found.append(self._measure("grow", to=self.scale.burst, label="burst"))
            self._measure("clear", label="burst")
        ratios = [each["programmed"] / each["accepted"] for each in found]
        yield at_most("burst", f"{self.scale.burst:,} routes at once → all Programmed ÷ accepted", p50(ratios), 1.5, len(ratios), runs=found)

    def _grown(self, size: int, grown: dict[str, float]) -> Iterator[Row]:
        ratio = grown["programmed"] / grown["accepted"]
        yield shown("burst", f"{grown['created']:,} more at once, to {size:,} → all Programmed ÷ accepted", ratio, 1, runs=[grown])

    def _flatness(self) -> Iterator[Row]:
        few, many = self.scale.sizes[0], self.scale.sizes[-1]
        for family, what, found in (
            ("change", "change", {size: served[0] for size, served in self.served.items()}),
            ("change", "deletion", self.deleted),
            ("rotation", "key rotation from sending", self.rotated),
        ):
            if many in found:
                yield at_most(family, f"{what}, p50 at {many:,} routes ÷ at {few}", found[many] / found[few], 1.5, 2)

    def _rest(self) -> Iterator[Row]:
        size, operator = self.scale.sizes[-1], f"{cluster.RELEASE}-operator"
        time.sleep(5)  # what the last change left to do is not rest
        versions, asked, (cpu, _) = cluster.written(), cluster.requests_to_write(), cluster.usage(operator)
        began = time.monotonic()
        time.sleep(self.scale.rest_seconds)
        seconds = time.monotonic() - began
        (cpu_after, megabytes), asked_after, after = cluster.usage(operator), cluster.requests_to_write(), cluster.written()
        changed = [name for name in {*versions, *after} if versions.get(name) != after.get(name)]
        yield at_most("rest", f"operator with {size:,} routes: memory", megabytes, 300, 1, unit="MB")
        yield at_most("rest", f"operator with {size:,} routes, nothing changes: CPU", 100 * (cpu_after - cpu) / seconds, 1, 1, unit="% of a core", seconds=round(seconds))
        detail = {"changed": changed[:10], "write_requests_by_operators_of_all_releases": asked_after - asked}
        yield at_most("rest", f"operator with {size:,} routes, nothing changes: objects written", len(changed), 0, 1, unit="", **detail)
