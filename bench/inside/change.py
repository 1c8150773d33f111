"""One route created, then deleted, beside the floor: when does every replica answer so, and when does the status say so?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from floor import Floor
from kube import Kube
from replicas import Replicas, arrival
from routes import programmed, route, says

CALM = 0.3
"""Seconds between samples: a change after a calm is what is measured; changes in quick succession are `burst`."""


async def samples(kube: Kube, release: str, simulator: str, count: int) -> list[dict[str, float]]:
    """`count` samples, each a dictionary of seconds."""
    managed = f"modelroute.dev/release={release}"
    async with (
        Replicas(kube, release) as replicas,
        Floor(kube) as floor,
        kube.watch(kube.routes(), labelSelector="bench=probe") as statuses,
        kube.watch(kube.core("configmaps"), metadata_only=True, labelSelector=managed) as writes,
    ):
        found = []
        for number in range(count + 2):
            hops = await floor.two_hops()
            request = await replicas.chat_everywhere("steady")
            name = f"probe-{time.time_ns():x}"
            refusal = await replicas.chat_everywhere(name)
            await asyncio.sleep(CALM)
            created = await _created(kube, replicas, statuses, writes, route(name, name, simulator, label="probe"), release)
            await asyncio.sleep(CALM)
            deleted = await _deleted(kube, replicas, name)
            await asyncio.sleep(CALM)
            if number >= 2:  # the first ones open connections and import what is loaded lazily
                found.append({"floor": hops, "request": request, "refusal": refusal, **created, **deleted})
        return found


async def _created(kube: Kube, replicas: Replicas, statuses: Any, writes: Any, body: dict[str, Any], release: str) -> dict[str, float]:
    name = body["metadata"]["name"]
    arrivals = [asyncio.create_task(arrival(replicas, url, name, 200, says(name))) for url in replicas.urls]
    await asyncio.sleep(0.05)  # until the replicas hold these requests for news
    status = statuses.expect(lambda _, item: item["metadata"]["name"] == name and programmed(item))
    written = writes.expect(lambda kind, _: kind != "BOOKMARK")
    index = writes.expect(lambda kind, item: kind != "BOOKMARK" and item["metadata"]["name"] == f"{release}-routes")
    began = time.perf_counter()
    await kube.call("POST", kube.routes(), body)
    accepted = time.perf_counter()
    came = await asyncio.wait_for(asyncio.gather(*arrivals), 60)
    at = {
        "accepted": accepted,
        "written": (await written)[0],
        "index": (await index)[0],
        "news": max(each.news for each in came),
        "served": max(each.answer.ended for each in came),
        "programmed": (await asyncio.wait_for(status, 60))[0],
    }
    return {stage: moment - began for stage, moment in at.items()} | {"first_request": max(each.answer.seconds for each in came)}


async def _deleted(kube: Kube, replicas: Replicas, name: str) -> dict[str, float]:
    arrivals = [asyncio.create_task(arrival(replicas, url, name, 404, "")) for url in replicas.urls]
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    await kube.call("DELETE", kube.routes(name))
    accepted = time.perf_counter()
    came = await asyncio.wait_for(asyncio.gather(*arrivals), 60)
    return {"deleted": max(each.answer.ended for each in came) - began, "deletion_accepted": accepted - began}
