"""Rows that take LiteLLM processes only: with the plugin and stock, side by side, interleaved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from local import GENERATIONS, Server, Simulator, load, warm
from rows import Row, Scale, at_least, at_most, milliseconds, p, p50, shown

FAMILIES = ("boot", "throughput", "added", "guide", "list", "memory")
CLIENTS = 16
BATCH = 100
"""Routes that change in one publication, every tenth of them in use."""


class Servers:
    """The processes of one LiteLLM generation. The first generation is compared in full, the other one at the bars."""

    def __init__(self, generation: str, azure: str, scale: Scale, wanted: set[str], say: Callable[[str], None]) -> None:
        """Nothing is started."""
        self.generation, self.azure, self.scale, self.wanted, self.say = generation, azure, scale, wanted, say
        self.full = generation == GENERATIONS[0]
        self.running: list[Server] = []
        self.boots: dict[str, float] = {}
        self.series: dict[str, dict[int, float]] = {}
        """Requests a second: kind → models → median of the rounds. For the plot."""

    async def rows(self) -> AsyncIterator[Row]:
        """All of them."""
        try:
            async for row in self._boot_and_memory():
                yield row
            if self.wanted & {"throughput", "added", "guide", "list", "memory"}:
                ours = next(iter(self.running), None) or await self._start("ours", self.scale.sizes[-1], plugin=True)
                stock = await self._start("stock", self.scale.used)
                await warm((ours, stock), self.scale.used)
                if self.wanted & {"throughput", "guide"}:
                    for row in await self._throughput(ours, stock):
                        yield row
                if "added" in self.wanted:
                    for row in await self._added(ours, stock):
                        yield row
                if "list" in self.wanted and self.full:
                    for row in await self._list(ours):
                        yield row
                if "memory" in self.wanted:
                    yield await self._churn(ours)
        finally:
            await asyncio.gather(*(server.stop() for server in self.running))

    def _name(self, text: str) -> str:
        return f"{text} (LiteLLM {self.generation})"

    async def _start(self, kind: str, models: int, *, plugin: bool = False, arguments: tuple[str, ...] = ()) -> Server:
        server = Server(f"{kind} with {models:,}", self.generation, self.azure, models, plugin=plugin, arguments=arguments)
        self.running.append(server)
        self.boots[server.label] = await server.start()
        if plugin:
            await server.confirmed()
        self.say(f"{self.generation}: {server.label} booted in {self.boots[server.label]:.1f} s")
        return server

    async def _stop(self, server: Server) -> None:
        self.running.remove(server)
        await server.stop()

    async def _boot_and_memory(self) -> AsyncIterator[Row]:
        if not self.wanted & {"boot", "memory"}:
            return
        many = self.scale.sizes[-1]
        boots: dict[int, list[float]] = {0: [], many: []}
        memory: dict[int, list[float]] = {0: [], many: []}
        processor: dict[int, list[float]] = {0: [], many: []}
        rounds = self.scale.boots if self.full else 1 + self.scale.boots // 2
        for number in reversed(range(rounds)):
            for models in (many, 0) if number % 2 else (0, many):
                server = await self._start("ours", models, plugin=True)
                boots[models].append(self.boots[server.label])
                processor[models].append(server.cpu_seconds())
                memory[models].append(server.megabytes())
                if number or not models:  # the last one is measured further
                    await self._stop(server)
        count = len(boots[0])
        if "boot" in self.wanted:
            detail = {"seconds": boots, "processor_seconds": processor}
            yield at_most("boot", self._name(f"boot to Ready with {many:,} routes ÷ with none"), p50(boots[many]) / p50(boots[0]), 1.1, count, **detail)
        if "memory" in self.wanted:
            yield at_most("memory", self._name(f"memory with {many:,} routes ÷ with none"), p50(memory[many]) / p50(memory[0]), 1.15, count, megabytes=memory)

    async def _throughput(self, ours: Server, stock: Server) -> list[Row]:
        few, some, many = self.scale.used, self.scale.sizes[1], self.scale.sizes[-1]
        servers, starting = {"ours": ours, "stock": stock}, {}
        if self.full and "guide" in self.wanted:
            starting["guide"] = self._start("the guide's settings", few, arguments=("--detailed_debug",))
        if self.full and "throughput" in self.wanted:
            starting["ours, few"] = self._start("ours", few, plugin=True)
        servers |= dict(zip(starting, await asyncio.gather(*starting.values()), strict=True))
        if self.full and "throughput" in self.wanted:
            for models in sorted({some, many}):  # one after the other, because their boots are shown
                servers[f"stock {models}"] = await self._start("stock", models)
        await warm((server for name, server in servers.items() if name not in {"ours", "stock"}), few)
        rates: dict[str, list[float]] = {name: [] for name in servers}
        processor = {name: -server.cpu_seconds() for name, server in servers.items()}
        requests = dict.fromkeys(servers, 0.0)
        for number in range(self.scale.rounds):
            for name in list(servers) if number % 2 else reversed(servers):
                rates[name].append(await load(servers[name], few, CLIENTS, self.scale.round_seconds))
                requests[name] += rates[name][-1] * self.scale.round_seconds
        median = {name: p50(values) for name, values in rates.items()}
        cost = {name: round(1000 * (server.cpu_seconds() + processor[name]) / requests[name], 2) for name, server in servers.items()}

        def against(name: str, of: str) -> float:
            return p50([a / b for a, b in zip(rates[name], rates[of], strict=True)])

        # Processor time says the same without the noise of whatever else runs.
        detail = {"requests_per_second": {name: round(value, 1) for name, value in median.items()}, "processor_ms_per_request": cost}
        rows, rounds = [], self.scale.rounds
        if "throughput" in self.wanted:
            name = self._name(f"requests/s, {many:,} routes of which {few} in use ÷ stock with those {few}")
            rows.append(at_least("throughput", name, against("ours", "stock"), 0.95, rounds, **detail))
        if self.full and "throughput" in self.wanted:
            rows += [
                shown("throughput", self._name(f"requests/s, stock with {models:,} ÷ stock with {few}"), against(f"stock {models}", "stock"), rounds)
                for models in sorted({some, many})
            ]
            boots = {label: round(seconds, 1) for label, seconds in self.boots.items()}
            name = self._name(f"boot of stock with {many:,} models ÷ ours with {many:,} routes")
            rows.append(shown("throughput", name, self.boots[f"stock with {many:,}"] / self.boots[ours.label], 1, seconds=boots))
            self.series["ours"] = {few: median["ours, few"], many: median["ours"]}
            self.series["stock"] = {few: median["stock"], some: median[f"stock {some}"], many: median[f"stock {many}"]}
            await self._stop(servers["ours, few"])
            if some != many:
                await self._stop(servers[f"stock {some}"])
        if "guide" in servers:
            name = self._name(f"requests/s, the guide's --detailed_debug with {few} models ÷ ours with {many:,} routes")
            rows.append(shown("guide", name, against("guide", "ours"), rounds, **detail))
            await self._stop(servers["guide"])
        return rows

    async def _added(self, ours: Server, stock: Server) -> list[Row]:
        """One client; the two take turns request by request, each first every other time."""
        seconds: dict[str, list[float]] = {"ours": [], "stock": []}
        pairs = self.scale.pairs
        for number in range(pairs):
            pair = (("ours", ours), ("stock", stock))
            for name, server in pair if number % 2 else reversed(pair):
                seconds[name].append(await server.chat(number % self.scale.used))
        detail = {name: {**milliseconds(values), "p99_ms": round(1000 * p(99, values), 1)} for name, values in seconds.items()}
        return [
            at_most("added", self._name(f"added to a request, {name}"), 100 * (of(seconds["ours"]) / of(seconds["stock"]) - 1), 2, pairs, unit="%", **detail)
            for name, of in (("p50", p50), ("p99", lambda values: p(99, values)))
        ]

    async def _list(self, ours: Server) -> list[Row]:
        models = self.scale.sizes[-1]
        stock = next((server for server in self.running if server.label == f"stock with {models:,}"), None) or await self._start("stock", models)
        seconds: dict[str, list[float]] = {"ours": [], "stock": []}
        for _ in range(self.scale.lists):
            seconds["ours"] += [await ours.list_models() for _ in range(3)]
            seconds["stock"].append(await stock.list_models())
        await self._stop(stock)
        detail = {name: milliseconds(values) for name, values in seconds.items()}
        ratio = p50(seconds["ours"]) / p50(seconds["stock"])
        name = self._name(f"/v1/models with {ours.models:,} routes ÷ stock with {models:,}")
        return [at_most("list", name, ratio, 0.05, self.scale.lists, **detail)]

    async def _churn(self, ours: Server) -> Row:
        """Changes every route in turn, those in use ten times as often, with requests in between."""
        scale, versions = self.scale, dict[int, str]()
        await warm((ours,), scale.used)
        before = ours.megabytes()
        began, unused, used = time.monotonic(), scale.used, 0
        for batch in range(scale.churn // BATCH):
            for place in range(BATCH):
                if place % 10:
                    number, unused = unused, scale.used + (unused + 1 - scale.used) % (ours.models - scale.used)
                else:
                    number, used = used, (used + 1) % scale.used
                versions[number] = f"version-{batch}"
            ours.write(versions)
            await ours.confirmed()
            for place in range(5):
                await ours.chat((used - 1 - place) % scale.used)
        await warm((ours,), scale.used)
        after = ours.megabytes()
        self.say(f"{self.generation}: {scale.churn:,} changes in {time.monotonic() - began:.0f} s, {before:.0f} → {after:.0f} MB")
        name = self._name(f"memory after {scale.churn:,} changes ÷ before, {ours.models:,} routes")
        return at_most("memory", name, after / before, 1.03, 1, megabytes={"before": round(before, 1), "after": round(after, 1)})


async def rows(scale: Scale, wanted: set[str], say: Callable[[str], None], series: dict[str, Any]) -> list[Row]:
    """Of both generations; `series` gets what the plot shows."""
    found: list[Row] = []
    async with Simulator() as simulator:
        for generation in GENERATIONS[: scale.generations]:
            servers = Servers(generation, simulator.azure, scale, wanted, say)
            found += [row async for row in servers.rows()]
            if servers.series:
                series["throughput"] = servers.series
    return found
