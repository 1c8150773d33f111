"""LiteLLM processes on this machine, stock ones and ones with the plugin, alike in all but what is compared."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from contract.plugin.provider import route  # noqa: E402
from contract.plugin.world import MASTER_KEY, PLUGIN, STATUS_TOKEN, Configuration, Directory, free_port, python_of  # noqa: E402

KEY = "sim-azure-key"
SECRETS = {"ai.azure.api_key": KEY}
SHARDS = 32
PARAMS = {"api_version": "2024-10-21", "timeout": 30.0}
GENERATIONS = ("1.108", "1.110")
BOOT_SECONDS = 600
LOOK_SECONDS = 0.02
TICKS_PER_SECOND = 100


def name_of(number: int) -> str:
    """Model names, as clients send them."""
    return f"model-{number:05d}"


class Simulator:
    """`tests/simulator` as a process of its own, without its record. Use as `async with`."""

    async def __aenter__(self) -> Simulator:
        """Listening."""
        command = (sys.executable, str(ROOT / "tests/simulator"), "--port", "0", "--no-record")
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout
        line = (await self._process.stdout.readline()).decode()
        self.azure = line.split(" listens on ")[1].split(": ")[0] + "/azure"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ended."""
        self._process.terminate()
        await self._process.wait()


class Server:
    """One LiteLLM. Made by `stock` or `ours`; `start` it, and `stop` it."""

    def __init__(self, label: str, generation: str, azure: str, models: int, *, plugin: bool, arguments: tuple[str, ...] = ()) -> None:
        """`models` of the plugin's are routes; `azure` is the upstream."""
        self.label, self.generation, self.models, self.plugin = label, generation, models, plugin
        self._azure, self._arguments = azure, arguments
        self._keep = tempfile.TemporaryDirectory(prefix="bench-")
        self.home = Path(self._keep.name)
        self.digest = ""

    def write(self, versions: dict[int, str] | None = None) -> None:
        """The plugin's directory. `versions`: upstream of a model where it is not the model's own name."""
        routes = [self._route(number, (versions or {}).get(number, name_of(number))) for number in range(self.models)]
        configuration = Configuration.of(routes, SECRETS, SHARDS if self.models > 200 else 1)
        Directory(path=self.home).write(configuration, SECRETS)
        self.digest = configuration.digest

    def _route(self, number: int, upstream: str) -> dict[str, Any]:
        params = {"model": f"azure/{upstream}", "api_base": self._azure, **PARAMS}
        return route(name_of(number), params, credentials={"api_key": "ai.azure.api_key"})

    def _settings(self) -> dict[str, Any]:
        """The chart's own, for both; the plugin and the models are the difference."""
        chart = yaml.safe_load((PLUGIN.parent.parent / "values.yaml").read_text())
        settings: dict[str, Any] = {key: value for key, value in chart["config"].items() if key.endswith("_settings")}
        settings["general_settings"]["master_key"] = "os.environ/LITELLM_MASTER_KEY"
        if self.plugin:
            settings["litellm_settings"]["callbacks"] = ["hot_reload.instance"]
            return settings
        entries = [{"model": f"azure/{name_of(n)}", "api_base": self._azure, "api_key": KEY, **PARAMS} for n in range(self.models)]
        return settings | {"model_list": [{"model_name": name_of(n), "litellm_params": entry} for n, entry in enumerate(entries)]}

    async def start(self) -> float:
        """Boots it; seconds until it is ready, and (with the plugin) serves all of its routes."""
        etc = self.home / "etc"
        etc.mkdir()
        if self.plugin:
            (etc / "hot_reload.py").write_text(PLUGIN.read_text())
            self.write()
        (etc / "config.yaml").write_text(yaml.dump(self._settings(), Dumper=yaml.CSafeDumper))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        chart = yaml.safe_load((PLUGIN.parent.parent / "values.yaml").read_text())
        environment = os.environ | chart["proxy"]["env"] | {
            "LITELLM_MASTER_KEY": MASTER_KEY, "LITELLM_SALT_KEY": "sk-bench-salt", "MODELROUTE_STATUS_TOKEN": STATUS_TOKEN, "MODELROUTE_DIR": str(self.home),
            "MODELROUTE_IDLE_SECONDS": "3600",
            "PYTHONHASHSEED": "0",  # or two processes of one program differ by some percent
        }  # fmt: skip
        self.session = aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {MASTER_KEY}"}, connector=aiohttp.TCPConnector(limit=0))
        command = (str(python_of(self.generation).with_name("litellm")), "--config", str(etc / "config.yaml"), "--host", "127.0.0.1", "--port", str(port))
        began = time.perf_counter()
        with (self.home / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(*command, *self._arguments, env=environment, cwd=self.home, stdout=log, stderr=log)
        path = "/modelroutes/ready" if self.plugin else "/health/readiness"
        while await self._status(path) != 200:
            if self.process.returncode is not None or time.perf_counter() - began > BOOT_SECONDS:
                raise RuntimeError(f"{self.label} did not get ready: " + (self.home / "log").read_text(errors="replace")[-2000:])
            await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter() - began

    async def stop(self) -> None:
        """Ended, its files removed."""
        await self.session.close()
        if self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
        self._keep.cleanup()

    async def _status(self, path: str) -> int:
        try:
            async with self.session.get(path) as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def chat(self, number: int) -> float:
        """Asks one model; seconds. Raises where the answer is not that model's."""
        body = {"model": name_of(number), "messages": [{"role": "user", "content": "Hello"}]}
        began = time.perf_counter()
        async with self.session.post("/v1/chat/completions", json=body) as response:
            text = await response.text()
        seconds = time.perf_counter() - began
        if response.status != 200:
            raise RuntimeError(f"{self.label} answered {response.status} {text[:300]}")
        return seconds

    async def list_models(self) -> float:
        """Seconds of GET /v1/models; raises where it lists another number."""
        began = time.perf_counter()
        async with self.session.get("/v1/models", timeout=aiohttp.ClientTimeout(total=120)) as response:
            found = await response.json()
        if len(found["data"]) != self.models:
            raise RuntimeError(f"{self.label} lists {len(found['data'])} models, not {self.models}")
        return time.perf_counter() - began

    async def confirmed(self) -> None:
        """Returns once the plugin serves what `write` wrote last."""
        version, headers = 0, {"Authorization": f"Bearer {STATUS_TOKEN}"}
        while True:
            async with self.session.get("/modelroutes/status", params={"after": version, "wait": 20}, headers=headers) as response:
                status = await response.json()
            if status["digest"] == self.digest:
                return
            version = status["version"]

    def megabytes(self) -> float:
        """Memory of its own (private pages), whatever else runs the same libraries."""
        fields = dict(line.split(":") for line in (Path("/proc") / str(self.process.pid) / "smaps_rollup").read_text().splitlines()[1:])
        return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024

    def cpu_seconds(self) -> float:
        """Used so far."""
        fields = (Path("/proc") / str(self.process.pid) / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def load(server: Server, models: int, clients: int, seconds: float) -> float:
    """Requests a second of `clients` that ask `models` models in turn, each as soon as it has its answer."""
    until = time.perf_counter() + seconds
    done = 0

    async def client(number: int) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await server.chat(number % models)
            number += 1
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(client(number * models // clients) for number in range(clients)))
    return done / (time.perf_counter() - began)


async def warm(servers: Iterable[Server], models: int) -> None:
    """Every model in use is asked twice, so that clients, activation and caches are there."""

    async def ask(server: Server) -> None:
        for number in range(2 * models):
            await server.chat(number % models)

    await asyncio.gather(*map(ask, servers))
