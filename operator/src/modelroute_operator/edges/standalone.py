"""`modelroute serve DIR`: the same core over a directory of manifests instead of a cluster, and LiteLLM with the plugin beside it."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from modelroute_operator.core import judge, objects, proxy_config, routes, status
from modelroute_operator.core.conditions import Condition, Reason
from modelroute_operator.core.publication import History
from modelroute_operator.core.routes import Resolution
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Proxy, Published, Release, SecretId, Snapshot
from modelroute_operator.edges import manifests, settings
from modelroute_operator.edges.manifests import Manifests

LITELLM = Path(sys.executable).with_name("litellm")
"""The command, of the environment that this runs in."""
LOOK_SECONDS = 0.1
"""How often the manifests' times are looked at."""
READY_SECONDS = 120.0
STOP_SECONDS = 15.0
"""How long LiteLLM may finish what it is at."""
QUIET = {"LITELLM_LOG": "ERROR"}
"""On top of the chart's own environment: people read this log."""
NOT_LITELLMS = ("DATABASE_", "DIRECT_URL", "STORE_MODEL_IN_DB", "MODELROUTE_", "NUM_WORKERS", "SSL_KEYFILE_PATH", "SSL_CERTFILE_PATH")
"""Beginnings of variables that LiteLLM would take for its own: to migrate somebody's database, to answer https only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    folder: Path
    host: str
    port: int
    master_key: str
    environment: Mapping[str, str]
    """Stands for every Secret that is not among the manifests: its keys are the environment's names."""
    log: Path | None
    """Where LiteLLM's own output goes; None: to this terminal."""

    @property
    def address(self) -> str:
        """Where this machine reaches it."""
        return f"{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"  # noqa: S104  compared, not bound


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
        self._rows: dict[str, Row] = {}
        self._faults: list[str] = []
        self._stamps: dict[Path, tuple[int, int]] = {}

    async def serve(self, ready: Callable[[], None] = lambda: None) -> int:
        """Serves until LiteLLM ends or the task is cancelled. Returns LiteLLM's exit status, 1 if it never got ready."""
        self._stamps = manifests.changed_since(self._options.folder, {}) or {}
        found = manifests.read(self._options.folder)
        resolution = self._write(found)
        process = await self._start()
        try:
            async with aiohttp.ClientSession(base_url=f"http://{self._options.address}") as session:
                if not await self._wait_until_ready(session, process):
                    what = f"did not get ready in {READY_SECONDS:.0f} s" if process.returncode is None else f"ended with status {process.returncode} before it was ready"
                    self._say(f"LiteLLM {what}; its output is {self._options.log or 'above'}")
                    return 1
                await self._show(session, found, resolution, edited=())
                ready()
                return await self._follow(session, process, found)
        finally:
            await _stop(process)
            shutil.rmtree(self._work, ignore_errors=True)  # it holds credentials

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
        referred = {name: environment for route in found.routes.values() for name in judge.secrets_of(route)}
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
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_LITELLMS)}, **quiet, **QUIET,
            "LITELLM_MASTER_KEY": self._options.master_key, "LITELLM_SALT_KEY": secrets.token_urlsafe(24),
            "MODELROUTE_DIR": str(self._work), "MODELROUTE_STATUS_TOKEN": self._token.reveal(),
        }  # fmt: skip
        output = self._options.log.open("ab") if self._options.log else None
        try:
            return await asyncio.create_subprocess_exec(
                str(LITELLM),
                "--config", str(self._work / "config.yaml"), "--host", self._options.host, "--port", str(self._options.port),
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

    async def _follow(self, session: aiohttp.ClientSession, process: asyncio.subprocess.Process, found: Manifests) -> int:
        """Looks at the files until LiteLLM ends; what changed is served at once, or as soon as its writer has paused."""
        pending = False
        while process.returncode is None:
            await asyncio.sleep(LOOK_SECONDS)
            if (stamps := manifests.changed_since(self._options.folder, self._stamps)) is not None:
                self._stamps, pending = stamps, True
            elif pending:
                pending = False
                found = manifests.read(self._options.folder, found)
                try:
                    await self._take(session, found)
                except aiohttp.ClientError as error:
                    self._say(f"LiteLLM does not answer: {error}")
        self._say(f"LiteLLM ended with status {process.returncode}; its output is {self._options.log or 'above'}")
        return 1

    async def _take(self, session: aiohttp.ClientSession, found: Manifests) -> None:
        before = self._published
        resolution = self._write(found)
        lines = self._published.lines
        rotated = sorted(key for key, value in self._published.credentials.items() if before.credentials.get(key, value) != value)
        await self._show(session, found, resolution, edited=[key for key in lines if before.lines.get(key) != lines[key]])
        if rotated:
            self._say(f"new value, served from now on: {', '.join(rotated)}")

    async def _show(self, session: aiohttp.ClientSession, found: Manifests, resolution: Resolution, *, edited: Iterable[str]) -> None:
        """Waits until the proxy confirms, then says what is new since last time."""
        proxy = await self._confirmed(session)
        reports, _ = status.of(self._snapshot(found, (proxy,)), resolution, self._history, settled=self._history.sequence)
        self._statuses = {key: self._statuses[key] for key in resolution.covered if key in self._statuses}
        self._statuses |= {report.route.key: report.status for report in reports}
        before, self._rows = self._rows, {key: _row(found.routes[key].name, self._statuses.get(key, {})) for key in found.routes}
        header, *lines = aligned([HEADER, *self._rows.values()])
        news = [line for key, line in zip(self._rows, lines, strict=True) if before.get(key) != self._rows[key] or key in edited]
        for line in [header, *news] if news and not before else news:
            self._say(line)
        for key in before.keys() - self._rows.keys():
            self._say(f"{before[key][0]} is gone")
        if not self._rows:
            self._say(f"there is no ModelRoute in {self._options.folder} that can be served: what you save there is, at once")
        for fault in found.faults:
            if fault not in self._faults:
                self._say(fault)
        self._faults = found.faults
        for report in reports:
            for reason, message in _failing(report.status):
                self._say(f"{found.places[report.route.key]}: ModelRoute {report.route.name}: {reason}: {message}")

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


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ends LiteLLM: politely, then (or when we are told a second time) at once."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()


Row = tuple[str, ...]
HEADER: Row = ("NAME", "MODEL", "MODE", "BACKENDS", "READY", "REASON")
"""As `kubectl get modelroutes` shows them."""


def _row(name: str, state: Mapping[str, Any]) -> Row:
    ready = next((c for c in state.get("conditions", ()) if c["type"] == Condition.READY), {"status": "", "reason": ""})
    return name, state.get("modelName", ""), state.get("mode", ""), state.get("summary", ""), ready["status"], ready["reason"]


def aligned(rows: list[Row]) -> list[str]:
    """The rows as lines, their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _failing(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Reason and message of what is wrong. That a route is left out is said only where nothing says why."""
    failing = [(c["reason"], c["message"]) for c in state["conditions"] if c["status"] == "False" and c["type"] != Condition.READY]
    return [each for each in failing if each[0] != Reason.PENDING] or failing
