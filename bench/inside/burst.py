"""Many routes at once: how long the API server takes to accept them, and how long until all are Programmed."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from kube import Kube
from routes import LABEL, all_names, create_all, fresh, programmed, route


async def grow(kube: Kube, simulator: str, to: int, label: str = "fill") -> dict[str, float]:
    """Creates routes until there are `to` with this label; seconds until accepted, and until all are Programmed."""
    before = await all_names(kube, label)
    names = list(itertools.islice(fresh(label, before), max(0, to - len(before))))
    if not names:
        return {"created": 0, "accepted": 0.0, "programmed": 0.0}
    missing = set(names)

    def done(_: str, item: dict[str, Any]) -> bool:
        if programmed(item):
            missing.discard(item["metadata"]["name"])
        return not missing

    # Events are parsed by another client than the one that writes, as they are in life.
    async with Kube() as watching, watching.watch(watching.routes(), labelSelector=f"{LABEL}={label}") as watch:
        finished = watch.expect(done)
        began = time.perf_counter()
        await create_all(kube, (route(name, name, simulator, label=label) for name in names))
        accepted = time.perf_counter()
        try:
            ended, _ = await asyncio.wait_for(finished, 600)
        except TimeoutError:
            raise RuntimeError(f"{len(missing)} of {len(names)} routes are not Programmed, such as {next(iter(missing))}") from None
    return {"created": len(names), "accepted": accepted - began, "programmed": ended - began}


async def clear(kube: Kube, label: str) -> dict[str, float]:
    """Deletes all routes with this label."""
    began = time.perf_counter()
    await kube.call("DELETE", kube.routes(), labelSelector=f"{LABEL}={label}")  # it answers when all are gone
    return {"seconds": time.perf_counter() - began}
