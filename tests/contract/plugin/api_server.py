"""A Kubernetes API server as far as the plugin can tell: objects by name, watches, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contract.plugin.world import Configuration

NAMESPACE = "llm"


class ApiServer:
    """Runs in a thread of its own; everything public may be called from the test's."""

    def __init__(self, account: Path) -> None:
        self.account = account
        self.forbidden = True
        self.down = False
        self.token = "first-token"
        self.held: set[str] = set()  # kinds whose watches stay silent
        self.stale: dict[str, int] = {}  # ConfigMap -> how many more times it is read as it was before
        self.reads: list[str] = []
        self.watches: list[dict[str, str]] = []
        self._objects: dict[str, dict[str, Any]] = {}
        self._before: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, str, dict[str, Any]]] = []
        self._version = 100
        self._oldest = 100  # versions before this one are compacted
        self._changed = asyncio.Event()
        self._open: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        (account / "token").write_text(self.token)
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)

    def environment(self) -> dict[str, str]:
        """What a pod in this cluster has."""
        return {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.port),
            "MODELROUTE_SERVICE_ACCOUNT": str(self.account),
            "MODELROUTE_NAMESPACE": NAMESPACE,
            "MODELROUTE_ROUTES": "litellm-routes",
            "MODELROUTE_CREDENTIALS": "litellm-credentials",
        }

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # -- what tests do

    def write(self, configuration: Configuration, credentials: dict[str, str]) -> None:
        """As the operator does: the Secret, then shards, then the index; what is equal is left alone."""
        self._do(lambda: self._write(configuration, credentials))

    def write_secret(self, credentials: dict[str, str]) -> None:
        self._do(lambda: self._put("secrets", "litellm-credentials", encoded(credentials)))

    @property
    def watchers(self) -> int:
        return len(self._open)

    def cut(self) -> None:
        """Drop every watch's connection, as a load balancer or a restarting server does."""
        self._do(lambda: [task.cancel() for task in self._open])

    def compact(self) -> None:
        """Forget old versions: who wants to go on from one is told that it is gone."""
        self._do(lambda: setattr(self, "_oldest", self._version + 1))

    def bookmark(self) -> None:
        """Send every watch the present version, without an object."""

        def send() -> None:
            self._version += 1
            self._events.append((self._version, "", {}))
            self._wake()

        self._do(send)

    # -- how it does it

    def _do(self, what: Callable[[], object]) -> None:
        async def run() -> None:
            what()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _write(self, configuration: Configuration, credentials: dict[str, str]) -> None:
        self._put("secrets", "litellm-credentials", encoded(credentials))
        index = json.loads(configuration.index)
        data = {"index.json": configuration.index}
        for file, shard in index["shards"].items():
            if shard["configMap"] == "litellm-routes":
                data[file] = configuration.texts[file]
            else:
                self._put("configmaps", shard["configMap"], {file: configuration.texts[file]})
        self._put("configmaps", "litellm-routes", data)

    def _put(self, kind: str, name: str, data: dict[str, str]) -> None:
        old = self._objects.get(f"{kind}/{name}")
        if old and old["data"] == data:
            return
        self._version += 1
        item = {"metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": str(self._version)}, "data": data}
        if old:
            self._before[f"{kind}/{name}"] = old
        self._objects[f"{kind}/{name}"] = item
        self._events.append((self._version, f"{kind}/{name}", {"type": "MODIFIED" if old else "ADDED", "object": item}))
        self._wake()

    async def _start(self) -> int:
        app = web.Application()
        app.router.add_get(f"/api/v1/namespaces/{NAMESPACE}/{{kind}}", self._watch)
        app.router.add_get(f"/api/v1/namespaces/{NAMESPACE}/{{kind}}/{{name}}", self._get)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certify(self.account))
        await site.start()
        port: int = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return port

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.down:
            return web.json_response({"message": "etcd is away"}, status=503)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        if self.forbidden:
            return web.json_response({"message": "forbidden"}, status=403)
        return None

    async def _get(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        name = request.match_info["name"]
        key = f"{request.match_info['kind']}/{name}"
        self.reads.append(key)
        if self.stale.get(name, 0) > 0:
            self.stale[name] -= 1
            return web.json_response(self._before[key])
        if key not in self._objects:
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response(self._objects[key])

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        kind = request.match_info["kind"]
        selector = request.query["fieldSelector"]
        assert selector.startswith("metadata.name=")
        assert request.query["watch"] == "true"
        key = f"{kind}/{selector.partition('=')[2]}"
        self.watches.append({"key": key, **request.query})
        response = web.StreamResponse()
        await response.prepare(request)
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        with contextlib.suppress(ConnectionError):
            try:
                await self._send_events(response, key, request.query["resourceVersion"])
            finally:
                self._open.discard(task)
        return response

    async def _send_events(self, response: web.StreamResponse, key: str, version: str) -> None:
        kind = key.partition("/")[0]
        if version and int(version) + 1 < self._oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": f"too old resource version: {version}"}
            await self._send(response, {"type": "ERROR", "object": gone})
            return
        seen = int(version) if version else self._version
        if not version and key in self._objects:
            await self._send(response, {"type": "ADDED", "object": self._objects[key]})
        while True:
            changed = self._changed
            for at, what, event in list(self._events):
                if at > seen and kind not in self.held:
                    seen = at
                    if what == key:
                        await self._send(response, event)
                    elif not what:
                        bookmark = {"metadata": {"resourceVersion": str(at)}}
                        await self._send(response, {"type": "BOOKMARK", "object": bookmark})
            await changed.wait()

    @staticmethod
    async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
        text = json.dumps(event).encode() + b"\n"
        half = len(text) // 2  # large events come in pieces
        await response.write(text[:half])
        await response.write(text[half:])


def certify(account: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1, which is its own authority; that goes to `account` as a pod's does."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (account / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (account / "server.pem").write_bytes(key.private_bytes(*pem) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "server.pem")
    return context


def encoded(values: dict[str, str]) -> dict[str, str]:
    """The values as a Secret holds them."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
