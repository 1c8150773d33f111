"""A key rotated while requests run: when did the last one with the old key reach the provider?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from floor import Floor
from kube import Kube
from replicas import Replicas
from routes import KEY, programmed, route

CALM = 0.4
OLD_AND_NEW = ("bench-azure-key-one-0123456789", "bench-azure-key-two-9876543210")
SECRET = "rotating"


async def samples(kube: Kube, release: str, simulator: str, count: int) -> list[dict[str, float]]:
    """`count` rotations: seconds from sending the Secret to the last arrival with the old key, and what failed.

    The provider takes both keys, so that a late request is seen as late. Its clock is ours: the pods are on one machine.
    """
    async with Replicas(kube, release) as replicas, Floor(kube) as floor:
        await _control(replicas, "PUT", simulator, "keys/azure", {"keys": {"shared": KEY, "0": OLD_AND_NEW[0], "1": OLD_AND_NEW[1]}})
        await kube.put_secret(SECRET, {"api_key": OLD_AND_NEW[0]})
        await _route(kube, simulator)
        found = []
        await _control(replicas, "PUT", simulator, "recording", {"on": True})
        for number in range(1, count + 2):
            hops = await floor.two_hops()
            await _control(replicas, "DELETE", simulator, "requests")
            rotated = await _rotate(kube, replicas, simulator, number % 2)
            await asyncio.sleep(CALM)
            if number > 1:
                found.append({"floor": hops, **rotated})
        await _control(replicas, "PUT", simulator, "recording", {"on": False})
        await kube.call("DELETE", kube.routes(SECRET))
        return found


async def _route(kube: Kube, simulator: str) -> None:
    async with kube.watch(kube.routes(), fieldSelector=f"metadata.name={SECRET}") as watch:
        ready = watch.expect(lambda _, item: programmed(item))
        await kube.call("POST", kube.routes(), route(SECRET, SECRET, simulator, label="rotation", secret=SECRET))
        await asyncio.wait_for(ready, 60)


async def _rotate(kube: Kube, replicas: Replicas, simulator: str, to: int) -> dict[str, float]:
    stop = asyncio.Event()
    clients = [asyncio.create_task(_ask(replicas, url, stop)) for url in replicas.urls]
    versions = [int((await replicas.news(url, 0, 0))["version"]) for url in replicas.urls]
    await asyncio.sleep(CALM)
    began = time.time()
    await kube.put_secret(SECRET, {"api_key": OLD_AND_NEW[to]})
    accepted = time.time()
    await asyncio.gather(*(replicas.news(url, version, 30) for url, version in zip(replicas.urls, versions, strict=True)))
    await asyncio.sleep(0.3)  # requests that began before are over, and some have begun after
    stop.set()
    failed = sum(await asyncio.gather(*clients))
    seen = (await _control(replicas, "GET", simulator, "requests"))["requests"]
    late = [each["at"] - began for each in seen if each["model"] == SECRET and each["keyName"] == str(1 - to)]
    early = [each["at"] - began for each in seen if each["model"] == SECRET and each["keyName"] == str(to)]
    if not early:
        raise RuntimeError("the new key was never used")
    return {"rotated": max([0.0, *late]), "rotation_accepted": accepted - began, "failed": float(failed)}


async def _ask(replicas: Replicas, url: str, stop: asyncio.Event) -> int:
    """Asks one question after the other; the number of those that failed."""
    failed = 0
    while not stop.is_set():
        failed += (await replicas.chat(url, SECRET)).status != 200
    return failed


async def _control(replicas: Replicas, method: str, simulator: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    async with replicas.session.request(method, f"{simulator}/_sim/{what}", json=body) as response:
        response.raise_for_status()
        return dict(await response.json()) if method == "GET" else {}
