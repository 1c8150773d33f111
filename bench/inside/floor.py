"""The floor: what any design with two objects costs. Write A, its watch event, write B, its watch event; nothing else."""

from __future__ import annotations

import asyncio
import itertools
import time

from kube import MERGE, Kube, Watch

LABEL = "bench-floor"
_numbers = itertools.count(time.time_ns())


class Floor:
    """Use as `async with Floor(kube) as floor`; the same connection as the changes that are measured beside it."""

    def __init__(self, kube: Kube) -> None:
        """Nothing is written yet."""
        self._kube = kube
        self._writes: list[asyncio.Task[object]] = []

    async def __aenter__(self) -> Floor:
        """Makes the two ConfigMaps, and watches them."""
        for name in ("floor-a", "floor-b"):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {LABEL: "yes"}}}
            await self._kube.call("PATCH", self._kube.core("configmaps", name), body, "application/apply-patch+yaml", fieldManager="bench", force="true")
        self._watch: Watch = await self._kube.watch(self._kube.core("configmaps"), labelSelector=LABEL).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closed."""
        await self._watch.__aexit__()

    async def two_hops(self) -> float:
        """Seconds from sending the first write to the second event."""
        began = time.perf_counter()
        await self._hop("floor-a")
        ended = await self._hop("floor-b")
        await asyncio.gather(*self._writes)
        self._writes.clear()
        return ended - began

    async def _hop(self, name: str) -> float:
        number = str(next(_numbers))
        event = self._watch.expect(lambda _, item: item["metadata"]["name"] == name and (item.get("data") or {}).get("n") == number)
        write = self._kube.call("PATCH", self._kube.core("configmaps", name), {"data": {"n": number}}, MERGE)
        self._writes.append(asyncio.create_task(write))  # its answer is not waited for: the event is what counts
        return (await event)[0]
