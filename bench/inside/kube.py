"""The API server from inside a pod: requests, and watches whose events carry the time at which they came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
URL = "https://kubernetes.default.svc"
MERGE = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
ROUTES = "/apis/modelroute.dev/v1alpha1"

Json = dict[str, Any]


class KubeError(Exception):
    """The API server said no; the text is what it said."""


class Watch:
    """One watch. `expect` before you write: the future ends with the time of the event and its object."""

    def __init__(self, session: aiohttp.ClientSession, path: str, query: dict[str, str], accept: str) -> None:
        """Nothing is opened before `async with`."""
        self._session, self._path, self._query, self._accept = session, path, {"watch": "true", **query}, accept
        self._waiting: list[tuple[Callable[[str, Json], bool], asyncio.Future[tuple[float, Json]]]] = []

    async def __aenter__(self) -> Watch:
        """Opened: every later event is seen."""
        timeout = aiohttp.ClientTimeout(total=None)
        self._response = await self._session.get(self._path, params=self._query, headers={"Accept": self._accept}, timeout=timeout)
        if self._response.status != 200:
            raise KubeError(await self._response.text())
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closed."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await self._task
        self._response.close()

    def expect(self, wanted: Callable[[str, Json], bool]) -> asyncio.Future[tuple[float, Json]]:
        """The first event from now on for which `wanted(type, object)`."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        return future

    async def _read(self) -> None:
        rest = b""
        try:
            async for chunk in self._response.content.iter_any():
                now = time.perf_counter()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    self._waiting = [(wanted, future) for wanted, future in self._waiting if not self._settle(wanted, future, event, now)]
        finally:
            for _, future in self._waiting:
                if not future.done():
                    future.set_exception(KubeError("the watch ended"))

    @staticmethod
    def _settle(wanted: Callable[[str, Json], bool], future: asyncio.Future[tuple[float, Json]], event: Json, now: float) -> bool:
        if not future.done() and wanted(event["type"], event["object"]):
            future.set_result((now, event["object"]))
        return future.done()


class Kube:
    """Use as `async with Kube() as kube`."""

    async def __aenter__(self) -> Kube:
        """Connections are kept, so that no measured write opens one."""
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
        self.namespace = (ACCOUNT / "namespace").read_text()
        self.session = aiohttp.ClientSession(URL, headers=headers, connector=aiohttp.TCPConnector(ssl=context, limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closed."""
        await self.session.close()

    async def call(self, method: str, path: str, body: Json | None = None, content_type: str = "application/json", **query: str) -> Json:
        """One request; raises KubeError unless the answer is 2xx."""
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, path, data=data, params=query, headers={"Content-Type": content_type}) as response:
            text = await response.read()
            if response.status // 100 != 2:
                raise KubeError(f"{method} {path}: {response.status} {text.decode(errors='replace')[:300]}")
            return dict(json.loads(text))

    def watch(self, path: str, *, metadata_only: bool = False, **query: str) -> Watch:
        """Events from the present state on (which comes first, as ADDED)."""
        return Watch(self.session, path, query, METADATA_ONLY if metadata_only else "application/json")

    def core(self, kind: str, name: str = "") -> str:
        """Path of an object, or of a collection, of the core API."""
        return f"/api/v1/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def routes(self, name: str = "") -> str:
        """Path of a ModelRoute, or of all."""
        return f"{ROUTES}/namespaces/{self.namespace}/modelroutes" + (f"/{name}" if name else "")

    async def put_secret(self, name: str, values: dict[str, str]) -> None:
        """Creates or changes a Secret."""
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        await self.call("PATCH", self.core("secrets", name), body, "application/apply-patch+yaml", fieldManager="bench", force="true")
