"""Asks each ready proxy pod what it serves: one long poll a pod, so that a confirmation arrives as an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from modelroute_operator.core.publication import History
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Proxy
from modelroute_operator.edges.api import cause

logger = logging.getLogger("modelroute.proxies")
PORT = 4000
WAIT_SECONDS = 50
FIRST_BACKOFF, LAST_BACKOFF = 0.1, 5.0


@dataclass(slots=True)
class _Pod:
    address: str
    task: asyncio.Task[None] | None = None
    digest: str | None = None
    sequence: int | None = None
    """The latest publication it is known to serve; None before its first report."""
    refused: Mapping[str, str] = field(default_factory=dict)


class Proxies:
    """The ready proxy pods and their latest reports. `changed` is called when any of it moves."""

    def __init__(self, token: Sealed, changed: Callable[[], None]) -> None:
        """`token` opens the status endpoint."""
        self._token, self._changed = token, changed
        self._pods: dict[str, _Pod] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Stops asking."""
        for pod in self._pods.values():
            if pod.task:
                pod.task.cancel()
        if self._session:
            await self._session.close()

    def saw_pod(self, body: Mapping[str, Any], *, deleted: bool = False) -> None:
        """A proxy pod appeared, changed or went: only the ready ones count."""
        name, status = body["metadata"]["name"], body.get("status") or {}
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
        address = status.get("podIP") or ""
        serving = ready and address and not deleted and not body["metadata"].get("deletionTimestamp")
        known = self._pods.get(name)
        if known and (not serving or known.address != address):
            self._pods.pop(name)
            if known.task:
                known.task.cancel()
            self._changed()
        if serving and name not in self._pods:
            pod = self._pods[name] = _Pod(address=address)
            pod.task = asyncio.create_task(self._listen(name, pod), name=f"listen to {name}")
            self._changed()

    def reports(self, history: History) -> tuple[Proxy, ...]:
        """What every ready pod serves, by name."""
        for pod in self._pods.values():
            if pod.digest is not None:
                # On its way from one publication to the next (the Secret has come, the index not yet) it serves no less than before.
                pod.sequence = history.number_of(pod.digest) or pod.sequence or 0
        return tuple(Proxy(name=name, sequence=pod.sequence, refused=pod.refused) for name, pod in sorted(self._pods.items()))

    async def _listen(self, name: str, pod: _Pod) -> None:
        version, backoff, said = 0, FIRST_BACKOFF, False
        while True:
            try:
                report = await self._ask(pod.address, version)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                if not said:
                    logger.warning("proxy %s does not answer %s; asked again until it does: %s", name, "/modelroutes/status", cause(error))
                    said = True
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, LAST_BACKOFF)
                version = 0
                continue
            backoff, said = FIRST_BACKOFF, False
            version = report["version"]
            if (pod.digest, pod.refused) != (report["digest"], report["refused"]):
                pod.digest, pod.refused = report["digest"], report["refused"]
                self._changed()

    async def _ask(self, address: str, version: int) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)
        host = f"[{address}]" if ":" in address else address
        async with self._session.get(
            f"http://{host}:{PORT}/modelroutes/status",
            params={"after": str(version), "wait": str(WAIT_SECONDS)},
            headers={"Authorization": f"Bearer {self._token.reveal()}"},
            timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS + 15, connect=3),
        ) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer
