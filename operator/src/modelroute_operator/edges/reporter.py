"""Writes statuses and Events, many at once, beside the reconciler: a slow status never delays a route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from modelroute_operator.core.snapshot import Route
from modelroute_operator.core.status import Event, Report
from modelroute_operator.edges.api import FAILURES, cause
from modelroute_operator.edges.cluster import Cluster
from modelroute_operator.edges.world import World, shared

logger = logging.getLogger("modelroute.reporter")
AT_ONCE = 16
RETRY_SECONDS = 2.0
EVENTS_AT_ONCE = 2
"""Few: they must not slow the statuses down."""


class Reporter:
    """Holds the newest report of each route until it is written; an older one that still waits is replaced."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        """Writes through `cluster`, and tells `world` what it wrote."""
        self._world, self._cluster = world, cluster
        self._waiting: dict[str, Report] = {}
        self._writing: dict[str, Report] = {}
        self._working = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(EVENTS_AT_ONCE)
        self._said = False

    def submit(self, reports: Iterable[Report]) -> None:
        """Takes reports over, and starts as many workers as it needs."""
        for report in reports:
            key = report.route.key
            # The next verdict is compared with this one: compared with what is stored, one that takes it back would not count as news.
            if key in self._world.statuses:
                self._world.statuses[key] = report.status
            if (under_way := self._writing.get(key)) and under_way.status == report.status:
                self._waiting.pop(key, None)
                continue
            self._waiting[key] = report
        for _ in range(min(AT_ONCE, len(self._waiting)) - self._working):
            self._working += 1
            self._start(self._work())

    def tell(self, route: Route, event: Event) -> None:
        """Posts one Event that belongs to no status."""
        self._start(self._post(route, (event,)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        # A route that is being written is left to its worker, which comes back for the newer report.
        while (key := next((k for k in self._waiting if k not in self._writing), None)) is not None:
            report = self._writing[key] = self._waiting.pop(key)
            try:
                await self._write(report)
            finally:
                del self._writing[key]
        self._working -= 1

    async def _write(self, report: Report) -> None:
        try:
            body = await self._cluster.report(report.route, report.status)
        except FAILURES as error:
            if not self._said:
                logger.error("could not write the status of ModelRoute %s: %s; it is tried again", report.route.key, cause(error))
                self._said = True
            await asyncio.sleep(RETRY_SECONDS)
            self._waiting.setdefault(report.route.key, report)
            return
        self._said = False
        if body is None:
            return  # The route is gone.
        if report.route.key in self._world.statuses and report.route.key not in self._waiting:
            self._world.statuses[report.route.key] = shared(body.get("status") or {})
        if report.events:
            self._start(self._post(report.route, report.events))

    async def _post(self, route: Route, events: Iterable[Event]) -> None:
        for event in events:
            try:
                async with self._gate:
                    await self._cluster.tell(route, event)
            except FAILURES as error:
                logger.warning("could not post an Event for ModelRoute %s: %s", route.key, cause(error))
