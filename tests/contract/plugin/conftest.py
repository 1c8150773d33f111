"""One proxy of each generation for the whole session, both started at once: a boot takes longer than all the rest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from contract.plugin.provider import CREDENTIALS, Simulator
from contract.plugin.world import Configuration, Directory, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

GENERATIONS = ("1.108", "1.110")


@pytest.fixture(scope="session")
def provider() -> Iterator[Simulator]:
    simulator = Simulator()
    yield simulator
    simulator.stop()


@contextlib.contextmanager
def booted(provider: Simulator, folders: pytest.TempPathFactory, **environment: str) -> Iterator[dict[str, Proxy]]:
    """A proxy of each generation, both started at once, for as long as the block runs."""
    started: dict[str, Proxy] = {}
    try:
        for generation in GENERATIONS:
            directory = Directory(path=folders.mktemp(f"litellm-{generation}"))
            directory.write(Configuration.of([provider.route("first")], CREDENTIALS), CREDENTIALS)
            started[generation] = Proxy(generation=generation, directory=directory, simulator=provider, environment=environment)
        for proxy in started.values():
            proxy.wait_until_ready()
        yield started
    finally:
        for proxy in started.values():
            proxy.stop()


@pytest.fixture(scope="session")
def proxies(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    with booted(provider, tmp_path_factory) as started:
        yield started


@pytest.fixture
def sim(provider: Simulator) -> Simulator:
    """The provider, as if just started."""
    provider.reset()
    return provider


@pytest.fixture(params=GENERATIONS)
def proxy(request: pytest.FixtureRequest, proxies: dict[str, Proxy], sim: Simulator) -> Proxy:
    """A running LiteLLM with the plugin."""
    chosen = proxies[request.param]
    assert chosen.process.poll() is None, chosen.log()[-3000:]
    return chosen
