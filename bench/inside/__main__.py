"""Runs in a pod of the cluster: `python bench.pyz '{"do": "change", …}'` prints one JSON document.

In a pod, because from there the API server and every replica are one virtual hop away, on any cluster and without root.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import burst
import change
import load
import rollout
import rotation
from kube import Kube
from routes import KEY, SECRET, create_all, route


async def prepare(kube: Kube, simulator: str) -> dict[str, float]:
    """The Secret that all routes name, and the route that serves as the measure of LiteLLM's own time."""
    await kube.put_secret(SECRET, {"api_key": KEY})
    await create_all(kube, [route("steady", "steady", simulator, label="steady")])
    return {}


COMMANDS = {
    "prepare": prepare,
    "grow": burst.grow,
    "clear": burst.clear,
    "change": change.samples,
    "rotation": rotation.samples,
    "load": load.changes,
    "rollout": rollout.restarts,
}


async def main(task: dict[str, Any]) -> Any:
    """One command with its arguments."""
    async with Kube() as kube:
        return await COMMANDS[task.pop("do")](kube, **task)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
