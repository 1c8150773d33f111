"""The one task that does the work: read, decide, write, confirm, report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from modelroute_operator.core import objects, plan, proxy_config, pulls, routes, status
from modelroute_operator.core.cost_map import CostMap
from modelroute_operator.core.delta import take_over
from modelroute_operator.core.publication import History
from modelroute_operator.core.routes import Resolution
from modelroute_operator.core.snapshot import Changes, Published, Release, Snapshot
from modelroute_operator.edges.api import FAILURES, cause
from modelroute_operator.edges.cluster import Cluster
from modelroute_operator.edges.ollama import OllamaServers
from modelroute_operator.edges.proxies import Proxies
from modelroute_operator.edges.reporter import Reporter
from modelroute_operator.edges.world import World, published

logger = logging.getLogger("modelroute.reconciler")
QUIET_SECONDS, AT_MOST_SECONDS = 0.02, 0.25
"""In a burst: wait until nothing came for so long, but no longer than this."""
BURST = 3
"""So many publications within AT_MOST_SECONDS make a burst. Single changes are served at once."""
CALM_SECONDS = 1.0
"""Without a publication, until recent lines move into their shards."""
SETTLE_SECONDS = 1.0
"""How long the proxies get before a status says Pending."""
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0
LOOKUPS_AT_ONCE = 32


class Reconciler:
    """Keeps the managed objects and the statuses as the routes want them."""

    def __init__(self, world: World, cluster: Cluster, proxies: Proxies, reporter: Reporter, release: Release, cost_map: CostMap, ollama: OllamaServers | None = None) -> None:
        """Nothing is read before `run`. `ollama`: the chart's own, where it has one."""
        self._ollama = ollama
        self._world, self._cluster, self._proxies, self._reporter = world, cluster, proxies, reporter
        self._release, self._cost_map = release, cost_map
        self._routes_memo, self._objects_memo, self._status_memo, self._history = routes.Memo(), objects.Memo(), status.Memo(), History()
        self._touched: set[str] = set()
        self._lines: dict[str, str] = {}
        self._written: dict[str, str] = {}
        self._unpublished: set[str] | None = None
        """Routes whose lines may differ from those published; None: any may."""
        self._decided: Resolution | None = None
        """The last verdict: a status speaks of the routes as they were then, whatever came since."""
        self._published = Published()
        self._published_at: dict[int, float] = {}
        self._recent: deque[float] = deque(maxlen=BURST)
        self._calm = False
        self._tidying: asyncio.TimerHandle | None = None
        self._told: set[tuple[str, str]] = set()
        self._said = ""

    async def run(self) -> None:
        """For ever. What fails is logged once, and tried again with backoff; the proxies keep what they have."""
        self._resume()
        backoff = FIRST_BACKOFF
        while True:
            await self._world.dirty.wait()
            if sum(time.monotonic() - at < AT_MOST_SECONDS for at in self._recent) == BURST:
                await self._quiet()
            self._world.dirty.clear()
            try:
                await self._once()
            except (*FAILURES, objects.FullError) as error:
                self._say(f"could not bring the configuration up to date: {cause(error)}; the proxies keep the one they have, and it is tried again")
                self._world.doubt()
                self._unpublished = None
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, LAST_BACKOFF)
            else:
                if self._said:
                    logger.info("the configuration is up to date again")
                self._said, backoff = "", FIRST_BACKOFF

    def _resume(self) -> None:
        """Goes on from what the managed objects hold: nothing is rewritten because the operator restarted."""
        index = objects.read_index(self._world.config_maps.get(self._cluster.index_name, {}).get(objects.INDEX, ""))
        self._published = published(self._world.config_maps, self._world.credentials, index, self._objects_memo)
        if index:
            self._history.publish(index.digest, self._published.lines)

    async def _quiet(self) -> None:
        """Lets a burst pass."""
        deadline = time.monotonic() + AT_MOST_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self._world.dirty.clear()
            try:
                async with asyncio.timeout(min(QUIET_SECONDS, left)):
                    await self._world.dirty.wait()
            except TimeoutError:
                return

    async def _once(self) -> None:
        changed, self._world.changed = self._world.changed, False
        if not changed and self._decided:
            self._report(self._decided)
            return
        await self._look_up_secrets()
        snapshot = self._snapshot(self._world.changes())
        resolution = self._decided = routes.resolve(snapshot, self._routes_memo)
        self._touched |= resolution.touched | resolution.watched
        self._render(resolution)
        await self._publish(resolution)
        if self._ollama:
            self._ollama.want(resolution.uses)
        self._report(resolution)
        for route, present in pulls.finalizers(resolution.routes, resolution.uses, resolution.leaving, snapshot.ollama):
            await self._cluster.hold(route, present=present)

    def _snapshot(self, changes: Changes | None = None) -> Snapshot:
        ollama = self._ollama.state() if self._ollama else None
        return self._world.snapshot(self._release, self._cost_map, self._published, self._proxies.reports(self._history), ollama, changes)

    async def _look_up_secrets(self) -> None:
        gate = asyncio.Semaphore(LOOKUPS_AT_ONCE)

        async def look_up(name: tuple[str, str]) -> None:
            async with gate:
                self._world.looked_up(name, await self._cluster.secret(name))

        await asyncio.gather(*(look_up(name) for name in self._world.wanted_secrets()))

    def _render(self, resolution: Resolution) -> None:
        """Each served route's line; what was not looked at again keeps its text."""
        for key in resolution.touched:
            if served := resolution.served.get(key):
                self._lines[key] = proxy_config.line(served, self._release)
            else:
                self._lines.pop(key, None)
        if self._unpublished is not None:
            self._unpublished |= resolution.touched

    async def _publish(self, resolution: Resolution) -> None:
        desired = objects.of(
            self._lines,
            resolution.credentials,
            resolution.vectors,
            name=self._cluster.index_name,
            before=self._published.shard_count,
            key=self._release.digest_key,
            memo=self._objects_memo,
            changed=self._unpublished,
            calm=self._calm,
        )
        self._calm = False
        # Noted before it is written: a proxy may confirm before the last write has returned.
        self._note(desired)
        writes = plan.writes(desired, self._world.observed())
        if writes:
            started = time.monotonic()
            self._recent.append(started)
            self._world.expected = plan.Observed(config_maps=desired.config_maps, credentials=desired.credentials)
            await self._cluster.write(writes)
            self._world.config_maps = {name: dict(data) for name, data in desired.config_maps.items()}
            self._world.credentials = desired.credentials
            logger.info(
                "published %s: %d routes, %d objects written, %.0f ms",
                desired.digest,
                len(self._lines),
                len(writes.config_maps) + (writes.credentials is not None),
                1000 * (time.monotonic() - started),
            )
        take_over(self._written, self._lines, self._unpublished)
        self._published = Published(shard_count=desired.shard_count, lines=self._written, credentials=desired.credentials, vectors=resolution.vectors)
        self._unpublished = set()
        if self._tidying:
            self._tidying.cancel()
        self._tidying = None if desired.tidy else asyncio.get_running_loop().call_later(CALM_SECONDS, self._tidy)

    def _tidy(self) -> None:
        self._calm = True
        self._world.touch()

    def _note(self, desired: objects.Objects) -> None:
        number = self._history.publish(desired.digest, self._lines, self._unpublished)
        self._published_at.setdefault(number, time.monotonic())

    def _report(self, resolution: Resolution) -> None:
        snapshot = self._snapshot()
        touched, self._touched = self._touched | self._world.restated, set()
        self._world.restated = set()
        reports, held_back = status.of(snapshot, resolution, self._history, settled=self._settled(), memo=self._status_memo, touched=touched)
        self._reporter.submit(reports)
        if held_back:
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._world.ring)
        for key, owner in resolution.claimed_elsewhere.items():
            if (key, owner) not in self._told:
                self._told.add((key, owner))
                message = f"release {owner} serves this route; release {self._release.id} leaves it alone. Set spec.proxyName to choose"
                self._reporter.tell(resolution.routes[key], status.Event(kind="Normal", reason="ClaimedElsewhere", message=message))

    def _settled(self) -> int:
        """The newest publication that has had its time."""
        old = [number for number, at in self._published_at.items() if time.monotonic() - at >= SETTLE_SECONDS]
        for number in old[:-1]:
            del self._published_at[number]
        return max(old, default=0)

    def _say(self, sentence: str) -> None:
        """Once, until it is different or over."""
        if sentence != self._said:
            logger.error("%s", sentence)
            self._said = sentence
