"""`modelroute serve DIR`: the same core over a directory of manifests instead of a cluster, and LiteLLM with the plugin beside it."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from modelroute_operator.core import objects, proxy_config, routes, status
from modelroute_operator.core.publication import History
from modelroute_operator.core.routes import Resolution
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Proxy, Published, Release, SecretId, Snapshot
from modelroute_operator.edges import manifests, settings
from modelroute_operator.edges.manifests import Manifests

LOOK_SECONDS = 0.1
"""How often the manifests' times are looked at."""
READY_SECONDS = 120.0
QUIET = {"LITELLM_LOG": "ERROR"}
"""On top of the chart's own environment: people read this log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    folder: Path
    port: int
    master_key: str
    environment: Mapping[str, str]
    """Stands for every Secret that is not among the manifests: its keys are the environment's names."""
    log: Path | None
    """Where LiteLLM's own output goes; None: to this terminal."""


class Standalone:
    """One directory, served. `say` gets each line for the user."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        """Nothing is started before `serve`."""
        self._options, self._say = options, say
        self._work = Path(tempfile.mkdtemp(prefix="modelroute-"))
        self._token = Sealed(secrets.token_urlsafe(24))
        self._release = Release(name="standalone", namespace=manifests.NAMESPACE, digest_key=self._token)
        self._cost_map = settings.cost_map()
        self._history = History()
        self._published = Published()
        self._statuses: dict[str, Mapping[str, Any]] = {}
        self._shown: list[str] = []
        self._stamps: dict[Path, tuple[int, int]] = {}

    async def serve(self, ready: Callable[[], None] = lambda: None) -> int:
        """Serves until LiteLLM ends or the task is cancelled. Returns LiteLLM's exit status, 1 if it never got ready."""
        self._stamps = manifests.changed_since(self._options.folder, {}) or {}
        found = manifests.read(self._options.folder)
        resolution = self._write(found)
        process = await self._start()
        try:
            async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{self._options.port}") as session:
                if not await self._wait_until_ready(session, process):
                    self._say(f"LiteLLM did not get ready in {READY_SECONDS:.0f} s; its output is {self._options.log or 'above'}")
                    return 1
                await self._show(session, found, resolution)
                ready()
                return await self._follow(session, process)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    def _snapshot(self, found: Manifests, proxies: tuple[Proxy, ...]) -> Snapshot:
        return Snapshot(
            now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            release=self._release,
            cost_map=self._cost_map,
            routes=found.routes,
            secrets=self._secrets(found),
            published=self._published,
            statuses=self._statuses,
            proxies=proxies,
        )

    def _secrets(self, found: Manifests) -> dict[SecretId, Mapping[str, Sealed]]:
        environment = {key: Sealed(value) for key, value in self._options.environment.items()}
        referred = {
            (route.namespace, ref.name): environment
            for route in found.routes.values()
            for backend in (route.spec.backends if route.spec else ())
            if (ref := backend.credentials_secret_ref or backend.api_key_secret_ref)
        }
        return {**referred, **found.secrets}

    def _write(self, found: Manifests) -> Resolution:
        """Decides, and writes the plugin's files: values first, the index last, each by an atomic rename."""
        resolution = routes.resolve(self._snapshot(found, ()))
        lines = {key: proxy_config.line(served, self._release) for key, served in resolution.served.items()}
        before = self._published.shard_count
        desired = objects.of(lines, resolution.credentials, resolution.vectors, name="routes", before=before, key=self._token)
        values = {key: value.reveal() for key, value in desired.credentials.items()}
        texts = {file: text for data in desired.config_maps.values() for file, text in data.items()}
        for folder, contents in ((self._work / "credentials", values), (self._work / "routes", texts)):
            folder.mkdir(mode=0o700, exist_ok=True)
            for name in sorted(contents, key=lambda n: (n == objects.INDEX, n)):
                beside = self._work / "new"
                beside.write_text(contents[name])
                beside.replace(folder / name)
        for gone in {path.name for path in (self._work / "credentials").iterdir()} - values.keys():
            (self._work / "credentials" / gone).unlink()
        self._history.publish(desired.digest, lines)
        self._published = Published(shard_count=desired.shard_count, lines=lines, credentials=desired.credentials, vectors=resolution.vectors)
        return resolution

    async def _start(self) -> asyncio.subprocess.Process:
        defaults = yaml.safe_load(chart_file("values.yaml").read_text())
        settings_of = {name: value for name, value in defaults["config"].items() if name.endswith("_settings")}
        settings_of["litellm_settings"] |= {"callbacks": ["hot_reload.instance"], "json_logs": False}
        settings_of["general_settings"] |= {"master_key": "os.environ/LITELLM_MASTER_KEY"}
        (self._work / "config.yaml").write_text(yaml.safe_dump(settings_of))
        (self._work / "hot_reload.py").write_text(chart_file("files/hot_reload.py").read_text())
        quiet = {name: value for name, value in defaults["proxy"]["env"].items() if name != "HOME"}
        environment = {
            **os.environ, **quiet, **QUIET,
            "LITELLM_MASTER_KEY": self._options.master_key, "LITELLM_SALT_KEY": secrets.token_urlsafe(24),
            "MODELROUTE_DIR": str(self._work), "MODELROUTE_STATUS_TOKEN": self._token.reveal(),
        }  # fmt: skip
        output = self._options.log.open("ab") if self._options.log else None
        try:
            return await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("litellm")), "--config", str(self._work / "config.yaml"), "--port", str(self._options.port),
                env=environment, stdout=output, stderr=output, cwd=self._work,
            )  # fmt: skip
        finally:
            if output:
                output.close()

    async def _wait_until_ready(self, session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> bool:
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while process.returncode is None and asyncio.get_running_loop().time() < deadline:
            try:
                async with session.get("/modelroutes/ready") as response:
                    if response.status == 200:
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _follow(self, session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> int:
        """Looks at the files until LiteLLM ends; what changed is served at once."""
        while process.returncode is None:
            await asyncio.sleep(LOOK_SECONDS)
            if (stamps := manifests.changed_since(self._options.folder, self._stamps)) is not None:
                self._stamps = stamps
                found = manifests.read(self._options.folder)
                await self._show(session, found, self._write(found))
        return process.returncode

    async def _show(self, session: aiohttp.ClientSession, found: Manifests, resolution: Resolution) -> None:
        """Waits until the proxy confirms, then says what is new since last time."""
        proxy = await self._confirmed(session)
        reports, _ = status.of(self._snapshot(found, (proxy,)), resolution, self._history, settled=self._history.sequence)
        self._statuses = {key: self._statuses[key] for key in resolution.covered if key in self._statuses}
        self._statuses |= {report.route.key: report.status for report in reports}
        lines = table(found, self._statuses)
        for line in lines if not self._shown else [line for line in lines if line not in self._shown]:
            self._say(line)
        for line in self._shown[1:]:
            if line.split()[0] not in {new.split()[0] for new in lines}:
                self._say(f"{line.split()[0]} is gone")
        self._shown = lines
        for fault in found.faults:
            self._say(fault)
        for report in reports:
            for condition in report.status["conditions"]:
                if condition["status"] == "False" and condition["type"] != "Ready":
                    self._say(f"{found.places[report.route.key]}: ModelRoute {report.route.name}: {condition['reason']}: {condition['message']}")

    async def _confirmed(self, session: aiohttp.ClientSession) -> Proxy:
        """The proxy's report once it serves the newest publication, or what it says after ten seconds."""
        version, deadline = 0, asyncio.get_running_loop().time() + 10
        while True:
            headers = {"Authorization": f"Bearer {self._token.reveal()}"}
            async with session.get("/modelroutes/status", params={"after": str(version), "wait": "2"}, headers=headers) as response:
                answer = await response.json()
            version, number = answer["version"], self._history.number_of(answer["digest"] or "")
            if number == self._history.sequence or asyncio.get_running_loop().time() > deadline:
                return Proxy(name="litellm", sequence=number, refused=answer["refused"])


def chart_file(name: str) -> Path:
    """A file of the chart, whose LiteLLM settings and plugin serve here too: packaged beside this code, or in a checkout the chart's."""
    packaged = Path(str(files("modelroute_operator").joinpath("data/chart", name)))
    return packaged if packaged.exists() else Path(__file__).parents[4] / "charts/litellm-proxy" / name


def table(found: Manifests, statuses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The routes as `kubectl get modelroutes` shows them."""
    rows = [("NAME", "MODEL", "MODE", "BACKENDS", "READY", "REASON")]
    for key in found.routes:
        state = statuses.get(key, {})
        ready = next((c for c in state.get("conditions", ()) if c["type"] == "Ready"), {"status": "", "reason": ""})
        rows.append((found.routes[key].name, state.get("modelName", ""), state.get("mode", ""), state.get("summary", ""), ready["status"], ready["reason"]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
