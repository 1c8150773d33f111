"""Requests through a Service, without a pause: which of them fail while something changes?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from kube import MERGE, Kube
from replicas import Replicas, arrival
from routes import programmed, route, says

CALM = 0.3


class Load:
    """`clients` that ask `models` in turn at `url`; each failed answer is counted by its cause."""

    def __init__(self, ask: Callable[[str], Awaitable[tuple[int, str]]], models: list[str], clients: int) -> None:
        """`ask(model)` gives (status, text)."""
        self.requests, self.failures = 0, Counter[str]()
        self._ask, self._models, self._clients, self._stop = ask, models, clients, asyncio.Event()

    async def __aenter__(self) -> Load:
        """Started."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ended; what was in flight is finished and counted."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        while not self._stop.is_set():
            model = self._models[number % len(self._models)]
            status, text = await self._ask(model)
            number += 1
            self.requests += 1
            if status != 200:
                self.failures[f"{status} {text[:80]}"] += 1
                await asyncio.sleep(0.01)  # a refused connection takes no time: a client would not ask 10,000 times a second


async def changes(kube: Kube, release: str, simulator: str, count: int, clients: int) -> dict[str, Any]:
    """Changes the upstream of a route `count` times while `clients` use it and another one, through the Service."""
    async with Replicas(kube, release) as replicas, kube.watch(kube.routes(), fieldSelector="metadata.name=changing") as watch:
        ready = watch.expect(lambda _, item: programmed(item))
        await kube.call("POST", kube.routes(), route("changing", "version-0", simulator, label="load"))
        await asyncio.wait_for(ready, 60)

        async def ask(model: str) -> tuple[int, str]:
            answer = await replicas.chat(replicas.service, model)
            return answer.status, answer.text

        seconds = []
        async with Load(ask, ["changing", "steady"], clients) as load:
            for number in range(1, count + 1):
                await asyncio.sleep(CALM)
                upstream = f"version-{number}"
                arrivals = [asyncio.create_task(arrival(replicas, url, "changing", 200, says(upstream))) for url in replicas.urls]
                await asyncio.sleep(0.1)
                began = time.perf_counter()
                spec = route("changing", upstream, simulator, label="load")["spec"]
                await kube.call("PATCH", kube.routes("changing"), {"spec": spec}, MERGE)
                came = await asyncio.wait_for(asyncio.gather(*arrivals), 60)
                seconds.append(max(each.answer.ended for each in came) - began)
        await kube.call("DELETE", kube.routes("changing"))
        return {"seconds": seconds, "requests": load.requests, "failures": dict(load.failures)}
