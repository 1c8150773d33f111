"""Whatever happens in whatever order: each request is answered as the routes say before or after the change beside it.

Random sequences of apply, change, delete, rotate and ask, against a dictionary. On a calm LiteLLM, which keeps the routes
in use in its router; and on a restless one, which puts every route out as soon as no request uses it, so that nearly
every request activates one, beside changes and releases.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from contract.plugin.conftest import GENERATIONS, booted
from contract.plugin.provider import AZURE_KEY, CREDENTIALS, Simulator
from contract.plugin.test_lifetime import QUESTION, in_router, streamed
from contract.plugin.world import Configuration, Proxy, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("a", "b", "c", "d")
ALIASES = ("x", "y")
SAFE = NAMES[:2]
"""Routes that others may fall back to; they have no fallbacks themselves, so that one change concerns one attempt."""
DOWN, BROKEN = "down", "broken"
ANSWERS_AT_ONCE = 6
STEPS = 60
SEED = 20261125
RESTLESS_SECONDS = 0.03


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a route says. `upstream`: a deployment at the provider, or DOWN, or BROKEN (LiteLLM refuses the route)."""

    upstream: str
    alias: str | None = None
    fallback: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change, and what is asked while it happens. `wish` None: deleted. `name` None: only the shards are laid out anew."""

    name: str | None
    wish: Wish | None
    rotate: bool
    shards: int
    recent: bool
    asked: tuple[str, ...]
    """Asked at once, beside the change."""
    stream: str | None
    """A name whose stream is in flight when the change comes, and goes on for a while."""


def drawn(random: Random) -> Step:
    """Any step; what makes requests meet changes is drawn more often."""
    wish = Wish(
        upstream=random.choice(["one", "two", DOWN, DOWN, BROKEN]),
        alias=random.choice([None, *ALIASES]),
        fallback=random.choice(SAFE),
    )
    return Step(
        name=random.choice([*NAMES, *NAMES, None]),
        wish=random.choice([wish, wish, None]),
        rotate=random.random() < 0.25,
        shards=random.randint(1, 3),
        recent=random.random() < 0.5,
        asked=tuple(random.choices([*NAMES, *NAMES, *ALIASES], k=ANSWERS_AT_ONCE)),
        stream=random.choice([None, None, *NAMES]),
    )


@dataclass(kw_only=True)
class Model:
    """What is promised: a dictionary of wishes."""

    wishes: dict[str, Wish] = field(default_factory=dict)

    def after(self, step: Step) -> Model:
        """With the step's change. An alias that another route has stays there, as the operator sees to it."""
        wishes = dict(self.wishes)
        if step.name is None:
            return Model(wishes=wishes)
        wishes.pop(step.name, None)
        if wish := step.wish:
            taken = {other.alias for other in wishes.values()}
            alias = None if wish.alias in taken else wish.alias
            wishes[step.name] = replace(wish, alias=alias, fallback=None if step.name in SAFE else wish.fallback)
        return Model(wishes=wishes)

    def owner(self, name: str) -> str | None:
        """The route that answers to a name."""
        return name if name in self.wishes else next((route for route, wish in self.wishes.items() if wish.alias == name), None)

    def answer(self, name: str) -> tuple[int, str]:
        """Status, and the text of a 200."""
        route = self.owner(name)
        wish = self.wishes[route] if route else None
        if wish is None or wish.upstream == BROKEN:
            return 404, ""
        if wish.upstream != DOWN:
            return 200, f"azure {wish.upstream}-of-{route} says: Hello"
        if wish.fallback and (found := self.answer(wish.fallback))[0] == 200:
            return found
        return 500, ""

    def routes(self, sim: Simulator) -> list[dict[str, Any]]:
        """The lines that the operator would write."""
        return [self._route(sim, name, wish) for name, wish in self.wishes.items()]

    @staticmethod
    def _route(sim: Simulator, name: str, wish: Wish) -> dict[str, Any]:
        fields: dict[str, Any] = {"aliases": [wish.alias] if wish.alias else []}
        if wish.fallback:
            fields["fallbacks"] = {"onError": [wish.fallback]}
        if wish.upstream == BROKEN:
            fields["params"] = {"model": "nonsense/model"}
        return sim.route(name, DOWN if wish.upstream == DOWN else f"{wish.upstream}-of-{name}", **fields)


class Run:
    """One sequence on one proxy."""

    def __init__(self, proxy: Proxy, sim: Simulator, pool: ThreadPoolExecutor) -> None:
        self.proxy, self.sim, self.pool = proxy, sim, pool
        self.model, self.rotations = Model(), 0
        self.shards, self.held = 1, list[dict[str, Any]]()
        sim.reset()
        sim.rule("down", provider="azure", model=DOWN, status=500, delay=2 * RESTLESS_SECONDS)  # what it falls back to has to stay meanwhile
        sim.rule("pace", provider="azure", chunkDelay=0.02)
        proxy.serve()

    def step(self, step: Step) -> None:
        """Ask, change, ask; then everything is as the model says."""
        before, after = self.model, self.model.after(step)
        stream = self._stream(step.stream) if step.stream and before.answer(step.stream)[0] == 200 else None
        half = len(step.asked) // 2
        asked = [(name, self.pool.submit(self.ask, name)) for name in step.asked[:half]]
        digest = self._change(after, step)
        asked += [(name, self.pool.submit(self.ask, name)) for name in step.asked[half:]]
        status = self.proxy.confirmed(digest)
        for name, answer in asked:
            assert answer.result() in (before.answer(name), after.answer(name)), f"{name}: {before} → {after}"
        if stream and step.stream:
            assert told(*stream) == before.answer(step.stream)[1].replace("Hello", QUESTION)
        self.sim.keys("azure", current=self.key)  # an earlier one would fail from here on
        self.model = after
        assert set(status["refused"]) == {f"ai/{name}" for name, wish in after.wishes.items() if wish.upstream == BROKEN}
        for name in {*step.asked, *after.wishes}:
            assert self.ask(name) == after.answer(name), f"{name}: {after}"

    def end(self) -> None:
        """Nothing is left of it all."""
        self.proxy.serve(credentials=self.credentials)
        eventually(lambda: self.proxy.status()["active"] == 0)
        eventually(lambda: in_router(self.proxy) == {"from-config"})
        assert {self.ask(name) for name in (*NAMES, *ALIASES)} == {(404, "")}

    def ask(self, name: str) -> tuple[int, str]:
        """Status, and the text of a 200."""
        response = self.proxy.chat(name)
        return response.status_code, response.json()["choices"][0]["message"]["content"] if response.status_code == 200 else ""

    def _stream(self, name: str) -> tuple[Future[None], list[str]]:
        started, chunks = threading.Event(), list[str]()
        future = self.pool.submit(streamed, self.proxy, name, started, chunks)
        assert started.wait(10)
        return future, chunks

    def _change(self, after: Model, step: Step) -> str:
        """Written as the operator does; the digest to wait for."""
        if step.rotate:
            self.rotations += 1
            self.sim.keys("azure", earlier=self.key_of(self.rotations - 1), current=self.key)
        routes, recent = after.routes(self.sim), None
        if step.recent:  # the shards stay as they are, and what is different is beside them
            was, now = ({route["modelName"]: route for route in each} for each in (self.held, routes))
            recent = {f"ai/{name}": now.get(name) for name in was.keys() | now.keys() if was.get(name) != now.get(name)}
        else:
            self.shards, self.held = step.shards, routes
        configuration = Configuration.of(self.held, self.credentials, self.shards, recent)
        self.proxy.directory.write(configuration, self.credentials)
        return configuration.digest

    @staticmethod
    def key_of(number: int) -> str:
        """The provider's key after so many rotations."""
        return f"{number:032x}" if number else AZURE_KEY

    @property
    def key(self) -> str:
        """The provider's, at present."""
        return self.key_of(self.rotations)

    @property
    def credentials(self) -> dict[str, str]:
        """The managed Secret."""
        return CREDENTIALS | {"ai.azure.api_key": self.key}


def told(stream: Future[None], chunks: list[str]) -> str:
    """What a stream said, once it is over."""
    stream.result()
    events = [chunk.removeprefix("data: ") for chunk in chunks if chunk]
    assert events.pop() == "[DONE]"
    return "".join(choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"])


@pytest.fixture(scope="module")
def restless(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    with booted(provider, tmp_path_factory, MODELROUTE_IDLE_SECONDS=str(RESTLESS_SECONDS)) as proxies:
        yield proxies


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("kind", ["proxies", "restless"])
def test_any_sequence_of_changes_and_requests_does_what_a_dictionary_would(kind: str, generation: str, request: pytest.FixtureRequest, sim: Simulator) -> None:
    proxy: Proxy = request.getfixturevalue(kind)[generation]
    random = Random(SEED)  # the same sequence on all: what one of them does otherwise is its own
    with ThreadPoolExecutor(ANSWERS_AT_ONCE + 1) as pool:
        run = Run(proxy, sim, pool)
        for _ in range(STEPS):
            run.step(drawn(random))
        run.end()
