"""One proxy of each generation for the whole session, both started at once: a boot takes longer than all the rest."""

from __future__ import annotations

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


@pytest.fixture(scope="session")
def proxies(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    started: dict[str, Proxy] = {}
    try:
        for generation in GENERATIONS:
            directory = Directory(path=tmp_path_factory.mktemp(f"litellm-{generation}"))
            directory.write(Configuration.of([provider.route("first")], CREDENTIALS), CREDENTIALS)
            started[generation] = Proxy(generation=generation, directory=directory, simulator=provider)
        for proxy in started.values():
            proxy.wait_until_ready()
        yield started
    finally:
        for proxy in started.values():
            proxy.stop()


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
