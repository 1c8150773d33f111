"""The one server: every provider below its prefix, and `/_sim/`."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from . import control
from .azure import Azure
from .exchange import STATE, Provider, handler
from .mistral import Mistral
from .ollama import Ollama
from .openai import OpenAI
from .state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PROVIDERS: Final[tuple[Provider, ...]] = (OpenAI(), Azure(), Mistral(), Ollama())
LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a request that are taken, as OpenAI takes audio of 25 MB."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulator that listens. Its addresses are what LiteLLM calls `api_base`."""

    url: str
    state: State

    @property
    def openai(self) -> str:
        """For `openai/` models."""
        return f"{self.url}/openai/v1"

    @property
    def azure(self) -> str:
        """For `azure/` models: LiteLLM adds `/openai/deployments/…`."""
        return f"{self.url}/azure"

    @property
    def mistral(self) -> str:
        """For `mistral/` models."""
        return f"{self.url}/mistral/v1"

    @property
    def ollama(self) -> str:
        """For `ollama/` and `ollama_chat/` models: LiteLLM adds `/api/…`."""
        return f"{self.url}/ollama"

    @property
    def control(self) -> str:
        """Where it is told what to do."""
        return f"{self.url}/_sim"


def application(state: State) -> web.Application:
    """The aiohttp application."""
    app = web.Application(client_max_size=LARGEST)
    app[STATE] = state
    app.add_routes(control.routes)
    for provider in PROVIDERS:
        for method, path, answer in provider.routes():
            app.router.add_route(method, f"{provider.prefix}{path}", handler(provider, answer))
    return app


@asynccontextmanager
async def running(*, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Simulator]:
    """Serves while the context lasts. `port` 0 takes a free one. Raises OSError when the port is taken."""
    state = State()
    runner = web.AppRunner(application(state), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        yield Simulator(f"http://{shown}:{bound}", state)
    finally:
        await runner.cleanup()


@contextmanager
def in_background(*, host: str = "127.0.0.1", port: int = 0) -> Iterator[Simulator]:
    """The same for code that is not async: serves from a thread of its own while the context lasts."""
    started = threading.Event()
    found: list[Simulator] = []
    failed: list[OSError] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with running(host=host, port=port) as simulator:
                found.append(simulator)
                started.set()
                await stop.wait()
        except OSError as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="simulator", daemon=True)
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
