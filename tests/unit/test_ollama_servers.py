"""The replicas' models, pulled and deleted over HTTP: against the simulator's Ollama. The real one is in tests/cluster/ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
import simulator
from modelroute_operator.core import pulls
from modelroute_operator.core.conditions import Reason
from modelroute_operator.core.ollama import Ollama, full_name, key_of
from modelroute_operator.core.pulls import Use
from modelroute_operator.edges.ollama import OllamaServers

SECONDS = 30


@pytest.fixture(scope="module")
def server() -> Iterator[simulator.Simulator]:
    with simulator.in_background() as running:
        yield running


@pytest.fixture
def sim(server: simulator.Simulator) -> simulator.Simulator:
    """The simulator, without a single Ollama model."""
    server.state.reset()
    server.state.models["ollama"] = frozenset()
    return server


class Watched:
    """Servers, and a way to wait for what they come to."""

    def __init__(self, **options: Any) -> None:
        self.moved = asyncio.Event()
        self.servers = OllamaServers("pods", self.moved.set, **options)

    async def until(self, done: Callable[[Ollama], bool]) -> Ollama:
        """Waits for a state."""
        async with asyncio.timeout(SECONDS):
            while not done(state := self.servers.state()):
                self.moved.clear()
                await self.moved.wait()
        return state

    async def until_reason(self, use: Use, reason: Reason | None) -> pulls.PullState:
        """Waits for a route's pull state."""
        return pulls.state_of((use,), await self.until(lambda state: pulls.state_of((use,), state).reason is reason))


@pytest_asyncio.fixture
async def watched(sim: simulator.Simulator) -> AsyncIterator[Watched]:
    found = Watched()
    found.servers.saw_server("ollama-0", sim.ollama)
    yield found
    await found.servers.close()


def use(model: str, **fields: Any) -> Use:
    """A route that wants a model."""
    return Use(**{"route": "ai/chat", "backend": "default", "generation": 1, "model": full_name(model), "policy": "IfNotPresent", "delete": False, **fields})


async def test_a_wanted_model_is_pulled_and_its_abilities_are_known(watched: Watched) -> None:
    wish = use("llama3.2")
    watched.servers.want((wish,))
    said = await watched.until_reason(wish, None)
    assert said.summary == "2.0/2.0 GB 100%"
    facts = watched.servers.state().facts("llama3.2")
    assert facts
    assert (facts.tools, facts.embedding, facts.context_length) == (True, False, 131072)
    assert watched.servers.state().holders("llama3.2") == ("http://ollama-0.pods:11434",)


async def test_ollamas_own_sentence_is_told(watched: Watched) -> None:
    wish = use("missing-model")
    watched.servers.want((wish,))
    assert "pull model manifest: file does not exist" in (await watched.until_reason(wish, Reason.PULL_FAILED)).message


async def test_the_last_route_that_goes_takes_the_model_along(watched: Watched) -> None:
    wish = use("llama3.2", delete=True)
    watched.servers.want((wish,))
    await watched.until_reason(wish, None)
    watched.servers.want((use("llama3.2", delete=True, active=False, leaving=True),))
    await watched.until(lambda state: state.replicas[0].models == {})


async def test_a_route_that_names_another_model_takes_the_first_along(watched: Watched) -> None:
    watched.servers.want((use("llama3.2", delete=True),))
    await watched.until_reason(use("llama3.2"), None)
    watched.servers.want((use("mistral", delete=True),))
    await watched.until(lambda state: set(state.replicas[0].models or ()) == {key_of("mistral")})


async def test_every_replica_is_filled_a_new_one_too(watched: Watched, sim: simulator.Simulator) -> None:
    wish = use("llama3.2")
    watched.servers.want((wish,))
    await watched.until_reason(wish, None)
    with simulator.in_background() as second:
        second.state.models["ollama"] = frozenset()
        watched.servers.saw_server("ollama-1", second.ollama)
        await watched.until_reason(wish, None)
        assert len(watched.servers.state().replicas) == 2


async def test_a_server_that_is_away_is_said_and_asked_again(watched: Watched) -> None:
    watched.servers.saw_server("ollama-1", "http://127.0.0.1:9")
    await watched.until(lambda state: [replica.answers for replica in state.replicas] == [True, False] and "does not answer" in state.replicas[1].trouble)
    said = await watched.until_reason(use("llama3.2"), Reason.OLLAMA_UNREACHABLE)
    assert "ollama-1" in said.message


def pod(name: str, uid: str, ip: str = "", *, ready: bool = False) -> dict[str, Any]:
    """A pod as the API server tells of it."""
    return {"metadata": {"name": name, "uid": uid}, "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": str(ready)}]}}


async def test_pods_come_and_go_by_their_uid() -> None:
    servers = OllamaServers("pods", lambda: None)
    servers.saw_pod(pod("ollama-10", "c"))
    servers.saw_pod(pod("ollama-2", "a"))
    servers.saw_pod(pod("ollama-2", "b"))
    servers.saw_pod(pod("ollama-2", "a"), deleted=True)
    assert [(r.name, r.trouble) for r in servers.state().replicas] == [("ollama-2", "the pod is not ready"), ("ollama-10", "the pod is not ready")]
    servers.saw_pod(pod("ollama-2", "b"), deleted=True)
    assert [r.name for r in servers.state().replicas] == ["ollama-10"]
    await servers.heard()
    await servers.close()
