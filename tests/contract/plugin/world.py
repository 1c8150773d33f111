"""What the plugin's tests are made of: routes as the operator writes them, where they are read from, and the proxy."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from contract.plugin.provider import CREDENTIALS, MISTRAL_KEY, OPENAI_KEY, REPOSITORY, Simulator

PLUGIN = REPOSITORY / "charts/litellm-proxy/files/hot_reload.py"
MASTER_KEY = "sk-contract-master-key"
STATUS_TOKEN = "contract-status-token"
IDLE_SECONDS = 2.0

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def eventually(claim: Any, seconds: float = 10) -> Any:
    """The claim's value as soon as it is true; a claim may raise until then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := claim():
                return value
        except (httpx.HTTPError, AssertionError):
            pass
        assert time.monotonic() < deadline, f"not so within {seconds} s: {claim}"
        time.sleep(0.02)


# -- routes, as the operator writes them ------------------------------------------------------------------------


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def credentials_digest_of(values: dict[str, str]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hmac.new(STATUS_TOKEN.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def line_of(key: str, route: dict[str, Any] | None) -> str:
    value = route and {name: content for name, content in route.items() if name != "key"}
    return f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, separators=(',', ':'))}"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Shards and index of some routes, byte for byte as the contract has them."""

    texts: dict[str, str]
    index: str
    digest: str

    @classmethod
    def of(cls, routes: list[dict[str, Any]], credentials: dict[str, str], shards: int = 1, recent: dict[str, dict[str, Any] | None] | None = None) -> Configuration:
        """`recent`: what changed since the shards were written, by key; None where the route is gone."""
        lines: list[list[str]] = [[] for _ in range(shards)]
        for key, route in sorted((route.get("key", f"ai/{route['modelName']}"), route) for route in routes):
            shard = int(digest_of(key), 16) % shards
            lines[shard].append(line_of(key, route))
        texts = {f"routes-{n:02}.json": "{\n" + ",\n".join(shard) + ("\n" if shard else "") + "}\n" for n, shard in enumerate(lines)}
        if recent is not None:
            texts["recent.json"] = "{\n" + ",\n".join(line_of(key, route) for key, route in sorted(recent.items())) + "\n}\n"
        named = {
            file: {"configMap": "litellm-routes" if shards == 1 or file == "recent.json" else f"litellm-{file.removesuffix('.json')}", "digest": digest_of(text)}
            for file, text in texts.items()
        }
        credentials_digest = credentials_digest_of(credentials)
        parts = [f"{file} {shard['digest']}" for file, shard in sorted(named.items())]
        digest = digest_of("\n".join([*parts, f"credentials {credentials_digest}"]))
        index = {"version": 1, "shards": named, "credentials": credentials_digest, "digest": digest, "vectors": {}}
        return cls(texts=texts, index=json.dumps(index, sort_keys=True, separators=(",", ":")), digest=digest)


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A plain directory as `modelroute serve` writes it: files replaced by renaming, the index last."""

    path: Path

    def write(self, configuration: Configuration, credentials: dict[str, str]) -> None:
        self.write_credentials(credentials)
        for file, text in configuration.texts.items():
            self.replace(f"routes/{file}", text)
        self.replace("routes/index.json", configuration.index)

    def write_credentials(self, credentials: dict[str, str]) -> None:
        folder = self.path / "credentials"
        folder.mkdir(parents=True, exist_ok=True)
        for key, value in credentials.items():
            if not (folder / key).exists() or (folder / key).read_text() != value:
                self.replace(f"credentials/{key}", value)
        for gone in {path.name for path in folder.iterdir()} - credentials.keys():
            (folder / gone).unlink()

    def replace(self, name: str, text: str) -> None:
        """In one step; the new file lies outside until then, so that no reader takes it for a credential."""
        target, new = self.path / name, self.path / ".new"
        target.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text)
        new.replace(target)


# -- LiteLLM ----------------------------------------------------------------------------------------------------


def python_of(generation: str) -> Path:
    """The interpreter of LiteLLM's `generation`."""
    variable, folder = {
        "1.108": ("LITELLM_1108_PYTHON", ".venv"),
        "1.110": ("LITELLM_1110_PYTHON", ".venv-litellm-1110"),
    }[generation]
    python = Path(os.environ.get(variable) or REPOSITORY / folder / "bin/python")
    assert python.exists(), f"{python} is missing: set {variable} to a Python that has LiteLLM {generation} with its proxy."
    return python


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@dataclass(kw_only=True)
class Proxy:
    """A LiteLLM with the plugin, configured as the chart does it, and what a client asks of it."""

    generation: str
    directory: Directory
    simulator: Simulator
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.directory.path
        (home / "etc").mkdir(parents=True)
        (home / "etc/hot_reload.py").symlink_to(PLUGIN)
        (home / "etc/config.yaml").write_text(json.dumps(self._settings()))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log_file = home / "log"
        environment = os.environ | {
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_SALT_KEY": "sk-contract-salt-key",
            "MODELROUTE_STATUS_TOKEN": STATUS_TOKEN,
            "MODELROUTE_DIR": str(home),
            "MODELROUTE_IDLE_SECONDS": str(IDLE_SECONDS),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
            "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
            "LITELLM_TELEMETRY_DISABLED": "true",
            "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
            "NO_DOCS": "True",
            "NO_REDOC": "True",
            "NO_OPENAPI": "True",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [python_of(self.generation).with_name("litellm"), "--config", home / "etc/config.yaml", "--host", "127.0.0.1", "--port", str(port)]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=home, env=environment | self.environment, stdout=log, stderr=log)
        self.client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {MASTER_KEY}"}, timeout=60)

    def _settings(self) -> dict[str, Any]:
        through = {"path": "/passed-through", "target": f"{self.simulator.openai}/chat/completions", "headers": {"Authorization": f"Bearer {OPENAI_KEY}"}}
        static = {"model": "mistral/mistral-small-latest", "api_base": self.simulator.mistral, "api_key": MISTRAL_KEY}
        return {
            "model_list": [{"model_name": "from-config", "litellm_params": static}],
            "litellm_settings": {"callbacks": ["hot_reload.instance"], "drop_params": True, "json_logs": True, "suppress_startup_output": True},
            "router_settings": {"num_retries": 0},
            "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY", "disable_model_info_refresh": True, "pass_through_endpoints": [through]},
        }

    def wait_until_ready(self) -> None:
        try:
            eventually(lambda: self.process.poll() is not None or self.ready().status_code == 200, 120)
            assert self.process.poll() is None
        except AssertionError:
            raise AssertionError(f"LiteLLM {self.generation} did not get ready: {self.ready_or_log()}") from None

    def ready_or_log(self) -> str:
        return self.log()[-3000:] if self.process.poll() is not None else self.ready().text

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    # -- what the operator asks

    def ready(self) -> httpx.Response:
        return self.client.get("/modelroutes/ready")

    def status(self, after: int = 0, wait: float = 0) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {STATUS_TOKEN}"}
        response = self.client.get("/modelroutes/status", params={"after": after, "wait": wait}, headers=headers)
        assert response.status_code == 200, response.text
        status: dict[str, Any] = response.json()
        return status

    def serve(
        self,
        *routes: dict[str, Any],
        credentials: dict[str, str] | None = None,
        shards: int = 1,
        recent: dict[str, dict[str, Any] | None] | None = None,
    ) -> dict[str, Any]:
        """Make these the routes and wait, as the operator does, until the plugin confirms; return its status."""
        credentials = CREDENTIALS if credentials is None else credentials
        configuration = Configuration.of(list(routes), credentials, shards, recent)
        self.directory.write(configuration, credentials)
        return self.confirmed(configuration.digest)

    def confirmed(self, digest: str) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        status = self.status()
        while status["digest"] != digest:
            assert time.monotonic() < deadline, f"{digest} is not confirmed: {status}"
            status = self.status(after=status["version"], wait=2)
        return status

    # -- what a client asks

    def chat(self, model: str, question: str = "Hello", **body: Any) -> httpx.Response:
        return self.client.post("/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": question}], **body})

    def answer(self, model: str, question: str = "Hello", **body: Any) -> str:
        response = self.chat(model, question, **body)
        assert response.status_code == 200, response.text
        answer: str = response.json()["choices"][0]["message"]["content"]
        return answer

    def names(self) -> list[str]:
        return [model["id"] for model in self.client.get("/v1/models").json()["data"]]
