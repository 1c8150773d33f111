"""A registry with tiny models for the cluster, in Ollama's dialect of the OCI protocol: read-only, and slow or broken on demand.

`python3 registry.py PORT BLOBS_HOST`. A blob is answered with a redirect to BLOBS_HOST, a second name of this very
server, because Ollama insists on fetching blobs from another host. `POST /_control` with JSON changes how it behaves:
`{"bytes_per_second": 100000}` (0: as fast as it goes), `{"down": true}` (503 to everything), `{"cut": 1}` (so many blob
answers end half-way). `GET /_requests` lists the requests so far.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import tiny_model

MEGABYTE = 1 << 20
TOOL_CALL = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
TEMPLATE = """{{- if .Tools }}{{ range .Tools }}{{ . }}{{ end }}{{ end }}{{ range .Messages }}{{ .Content }}\
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}{{ end }}"""
MODELS = {
    "tiny/chat:1": ("Grass is green.", "", 0),
    "tiny/tools:1": (TOOL_CALL, TEMPLATE, 0),
    "tiny/embed:1": ("I embed.", "", 0),
    "tiny/large:1": ("I am large.", "", 24 * MEGABYTE),
    "tiny/second:1": ("I am another.", "", MEGABYTE),
}
"""Name → what it says, its template, and its least size in bytes."""
LAYER = "application/vnd.ollama.image."
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PIECE = 16 * 1024
"""Bytes sent at a time where the speed is limited."""


class State:
    """Blobs, manifests and how to behave; shared by all requests."""

    def __init__(self, blobs_host: str) -> None:
        """Makes the models."""
        self.blobs_host = blobs_host
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.control: dict[str, Any] = {"bytes_per_second": 0, "down": False, "cut": 0}
        self.requests: list[str] = []
        for name, (says, template, size) in MODELS.items():
            self.manifests[name] = self._manifest(tiny_model.model(says, size, embeds="embed" in name), template)

    def _manifest(self, weights: bytes, template: str) -> bytes:
        layers = [self._blob("model", weights)]
        if template:
            layers.append(self._blob("template", template.encode()))
        facts = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1M", "file_type": "F32"}
        roots = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        config = self._blob("config", json.dumps({**facts, "architecture": "amd64", "os": "linux", "rootfs": roots}).encode())
        config["mediaType"] = "application/vnd.docker.container.image.v1+json"
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return {"mediaType": LAYER + kind, "digest": digest, "size": len(content)}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        """Manifests, blobs, the record of requests."""
        state, (path, _, _) = self.server.state, self.path.partition("?")
        if path == "/_requests":
            return self._answer(200, json.dumps(state.requests).encode())
        state.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if state.control["down"]:
            return self._answer(503, b'{"errors":[{"code":"UNAVAILABLE","message":"the registry is down"}]}')
        name, _, last = path.removeprefix("/v2/").rpartition("/")
        name, _, kind = name.rpartition("/")
        if kind == "manifests" and (manifest := state.manifests.get(f"{name}:{last}")):
            return self._answer(200, manifest, {"Content-Type": MANIFEST})
        if kind == "blobs" and last in state.blobs:
            return self._blob(state.blobs[last], path)
        return self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    do_HEAD = do_GET  # noqa: N815  the base class looks for this name

    def do_POST(self) -> None:
        """Control."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.state.control.update(json.loads(body))
        self._answer(200, b"{}")

    def _blob(self, content: bytes, path: str) -> None:
        host = self.headers.get("Host", "")
        blobs_host = self.server.state.blobs_host
        if self.command == "GET" and host != blobs_host:
            return self._answer(307, b"", {"Location": f"http://{blobs_host}{path}"})
        status, more = 200, {}
        if asked := self.headers.get("Range", "").removeprefix("bytes="):
            first, _, final = asked.partition("-")
            end = int(final) + 1 if final else len(content)
            status, more = 206, {"Content-Range": f"bytes {first}-{end - 1}/{len(content)}"}
            content = content[int(first) : end]
        return self._answer(status, content, more)

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send(body, limited=status in {200, 206} and "/blobs/" in self.path)

    def _send(self, body: bytes, *, limited: bool) -> None:
        control = self.server.state.control
        if limited and control["cut"]:
            control["cut"] -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        for start in range(0, len(body), PIECE):
            piece = body[start : start + PIECE]
            if limited and control["down"]:
                self.close_connection = True
                return
            self.wfile.write(piece)
            if limited and (speed := control["bytes_per_second"]):
                time.sleep(len(piece) / speed)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """`GET /_requests` tells."""


class Registry(ThreadingHTTPServer):
    """The server with its state."""

    def __init__(self, port: int, blobs_host: str) -> None:
        """Listens at once."""
        super().__init__(("", port), Handler)
        self.state = State(blobs_host)


if __name__ == "__main__":
    Registry(int(sys.argv[1]), sys.argv[2]).serve_forever()
