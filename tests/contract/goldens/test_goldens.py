"""Both LiteLLM generations take every golden output: the operator's tests and the plugin's speak of the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from contract.plugin import world
from contract.plugin.world import Configuration, Directory, Proxy, Simulator
from golden import harness
from simulator.state import fingerprint

GENERATIONS = ("1.108", "1.110")
BASES = {"openai": "openai/v1", "azure": "azure", "mistral": "mistral/v1", "ollama": "ollama", "ollama_chat": "ollama"}
"""LiteLLM's provider → the simulator's path for it."""
QUESTIONS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    "embedding": ("/v1/embeddings", {"input": "Hello"}),
}
NOT_ASKED = {
    "ai/azure-by-entra", "ai/claude", "ai/claude-by-the-pods-role", "ai/gemini",  # clouds that the simulator is not
    "ai/complete",  # a kind of its own; transcriptions are those of `make run` and of the cluster
    "ai/azure-whisper", "ai/openai-whisper", "ai/voxtral-mini", "ai/voxtral-small", "ai/voxtral-transcribe",
}  # fmt: skip
folders = pytest.mark.parametrize("folder", harness.FOLDERS, ids=lambda folder: folder.name)


@dataclass(frozen=True, kw_only=True)
class Golden:
    """What an output.yaml publishes."""

    texts: dict[str, str]
    index: str
    credentials: dict[str, str]
    ready: set[str]
    """Keys of the routes that its statuses call Ready."""
    refused: dict[str, str]
    """Routes that a proxy refuses, and its sentence: the real one must say the same."""

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        """The shards' routes, over which go those that changed since; null is none."""
        files = sorted(self.texts, key=lambda file: file == "recent.json")
        lines = {key: route for file in files for key, route in json.loads(self.texts[file]).items()}
        return {key: route for key, route in lines.items() if route}

    @property
    def names(self) -> set[str]:
        return {name for key, route in self.table.items() if key not in self.refused for name in (route["modelName"], *route["aliases"])}


@cache
def golden(folder: Path) -> Golden:
    proxies = harness.read(folder).world.get("proxies", ())
    refused = {key: sentence for proxy in proxies for key, sentence in proxy.get("refuses", {}).items()}
    return golden_of(list(yaml.load_all((folder / "output.yaml").read_text(), Loader=yaml.CSafeLoader)), refused)


def golden_of(documents: list[dict[str, Any]], refused: dict[str, str] | None = None) -> Golden:
    files = {file: text for body in documents if body["kind"] == "ConfigMap" for file, text in body["data"].items()}
    (secret,) = (body for body in documents if body["kind"] == "Secret")
    routes = (body for body in documents if body["kind"] == "ModelRoute")
    return Golden(
        index=files.pop("index.json"),
        texts=files,
        credentials=secret["stringData"],
        refused=refused or {},
        ready={harness.key_of(body) for body in routes if body["status"]["conditions"][-1]["status"] == "True"},
    )


def can_be_asked(route: dict[str, Any]) -> bool:
    providers = {deployment["litellm_params"]["model"].partition("/")[0] for deployment in route["deployments"]}
    by_identity = any("client_id" in deployment["credentials"] for deployment in route["deployments"])
    return route["mode"] in QUESTIONS and providers <= BASES.keys() and not by_identity


def swapped(route: dict[str, Any], provider: Simulator) -> dict[str, Any]:
    """The route with the simulator's address in place of its own, and Azure's deployments named after what they embed with: it goes by that."""
    deployments = []
    for deployment in route["deployments"]:
        params, info = deployment["litellm_params"], deployment["model_info"]
        base = f"{provider.url}/{BASES[params['model'].partition('/')[0]]}"
        model = info.get("base_model", params["model"]) if info["mode"] == "embedding" else params["model"]
        credentials = {param: key for param, key in deployment["credentials"].items() if param != "api_base"}
        deployments.append(deployment | {"litellm_params": params | {"api_base": base, "model": model}, "credentials": credentials})
    return route | {"deployments": deployments}


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    simulator = Simulator()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def proxies(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Proxy]]:
    """One of each generation, with the token that keys the goldens' digests."""
    started: dict[str, Proxy] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "STATUS_TOKEN", harness.TOKEN)
        try:
            for generation in GENERATIONS:
                directory = Directory(path=tmp_path_factory.mktemp(f"golden-{generation}"))
                directory.write(Configuration.of([], {}), {})
                started[generation] = Proxy(generation=generation, directory=directory, simulator=provider)
            for each in started.values():
                each.wait_until_ready()
            yield started
        finally:
            for each in started.values():
                each.stop()


@pytest.fixture(params=GENERATIONS, scope="module")
def proxy(request: pytest.FixtureRequest, proxies: dict[str, Proxy]) -> Proxy:
    return proxies[request.param]


@folders
def test_the_proxy_confirms_the_golden_s_digest_refuses_what_it_refuses_and_lists_its_names(proxy: Proxy, folder: Path) -> None:
    wanted = golden(folder)
    is_taken(proxy, wanted)
    assert wanted.ready <= wanted.table.keys()


def test_many_routes_are_taken_over_several_shards_then_a_few_changes_then_few_routes_in_one(proxy: Proxy) -> None:
    def bodies(count: int, model: str) -> list[dict[str, Any]]:
        backends = [{"name": "default", "provider": "openai", "model": model, "credentialsSecretRef": {"name": "openai"}}]
        return [{"kind": "ModelRoute", "metadata": {"name": f"many-{n}"}, "spec": {"backends": backends}} for n in range(count)]

    secret = {"kind": "Secret", "metadata": {"name": "openai"}, "stringData": {"OPENAI_API_KEY": "sk-test"}}
    operator, many = harness.Operator({}), bodies(1500, "gpt-4.1")
    for routes, files in ((many, "routes-01.json"), ([*bodies(3, "gpt-4o"), *many[5:]], "recent.json"), (bodies(3, "gpt-4.1"), "routes-00.json")):
        published = golden_of(harness.documents(operator.turn([*routes, secret], now=harness.NOW)))
        assert files in published.texts
        assert len(published.table) == len(routes)
        is_taken(proxy, published)


def is_taken(proxy: Proxy, wanted: Golden) -> None:
    digest = json.loads(wanted.index)["digest"]
    proxy.directory.write(Configuration(texts=wanted.texts, index=wanted.index, digest=digest), wanted.credentials)
    status = proxy.confirmed(digest)
    assert status["refused"] == wanted.refused
    assert status["message"] == ""
    assert status["routes"] == len(wanted.table) - len(wanted.refused)
    assert set(proxy.names()) - {"from-config"} == wanted.names


@folders
def test_every_name_of_the_golden_answers_from_its_own_model_with_its_own_key(proxy: Proxy, provider: Simulator, folder: Path) -> None:
    wanted = golden(folder)
    asked = {key: swapped(route, provider) for key, route in wanted.table.items() if can_be_asked(route) and key not in wanted.refused}
    assert wanted.table.keys() - asked.keys() - wanted.refused.keys() <= NOT_ASKED
    admit_everyone(provider, asked)
    proxy.serve(*[route | {"key": key} for key, route in asked.items()], credentials=wanted.credentials)
    for route in asked.values():
        for name in (route["modelName"], *route["aliases"]):
            provider.client.delete("/_sim/requests").raise_for_status()
            answer = ask(proxy, route["mode"], name)
            assert answer.status_code == 200, answer.text
            (received,) = provider.requests()
            assert (received["model"], received["keySha256"]) in [expected(deployment, wanted) for deployment in route["deployments"]]


def admit_everyone(provider: Simulator, routes: dict[str, Any]) -> None:
    """The simulator takes any key (the tests look at which), and has whatever models these routes name."""
    provider.client.delete("/_sim").raise_for_status()
    models: dict[str, list[str]] = {}
    for model in [deployment["litellm_params"]["model"] for route in routes.values() for deployment in route["deployments"]]:
        models.setdefault(BASES[model.partition("/")[0]].partition("/")[0], []).append(model.partition("/")[2])
    for name in {base.partition("/")[0] for base in BASES.values()}:
        provider.keys(name)
        provider.client.put(f"/_sim/models/{name}", json={"models": models.get(name, [])}).raise_for_status()


def ask(proxy: Proxy, mode: str, name: str) -> httpx.Response:
    path, body = QUESTIONS[mode]
    return proxy.client.post(path, json={"model": name, **body})


def expected(deployment: dict[str, Any], wanted: Golden) -> tuple[str, str | None]:
    """The upstream model, and the fingerprint of the key that belongs to it."""
    key = deployment["credentials"].get("api_key")
    return deployment["litellm_params"]["model"].partition("/")[2], fingerprint(wanted.credentials[key]) if key else None


def test_nothing_is_excused_from_being_asked_that_no_golden_has() -> None:
    assert {key for folder in harness.FOLDERS for key, route in golden(folder).table.items() if not can_be_asked(route)} == NOT_ASKED
