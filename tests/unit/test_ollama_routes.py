"""What the chart's own Ollama changes about routes: where requests go, what a model can do, who waits to be deleted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from modelroute_operator.core import proxy_config, routes
from modelroute_operator.core.ollama import Facts, Held, Ollama, Replica, key_of
from modelroute_operator.core.routes import Memo
from modelroute_operator.core.snapshot import Route, Snapshot
from unit import make

TOOLS, EMBEDS = Facts(tools=True, context_length=8192), Facts(embedding=True)
NONE = Ollama(service="pods")


def ollama(*replicas: dict[str, Facts]) -> Ollama:
    """Replicas that hold models."""
    return Ollama(
        service="pods",
        replicas=tuple(
            Replica(name=f"ollama-{number}", models={key_of(model): Held(digest=model, size=1, facts=facts) for model, facts in held.items()})
            for number, held in enumerate(replicas)
        ),
    )


def route(name: str, model: str = "acme", *, meta: dict[str, Any] | None = None, **more: Any) -> Route:
    """A route to the chart's own Ollama."""
    fields = {"provider": "ollama", "model": model, **more.pop("backend", {})}
    return make.route(name, make.backend(**fields), meta=meta, **more)


def world(*found: Route, servers: Ollama = NONE, **more: Any) -> Snapshot:
    """A release that has an Ollama of its own."""
    return replace(make.snapshot(found, **more), ollama=servers, release=make.release(ollama_api_base="http://ollama:11434"))


def line(snapshot: Snapshot, key: str, memo: Memo | None = None) -> dict[str, Any]:
    """What the plugin loads."""
    found: dict[str, Any] = json.loads(proxy_config.line(routes.resolve(snapshot, memo).served[key], snapshot.release))
    return found


def bases(content: dict[str, Any]) -> list[str]:
    """Where requests go."""
    return [deployment["litellm_params"]["api_base"] for deployment in content["deployments"]]


def test_requests_follow_the_model() -> None:
    chat, memo = route("chat"), Memo()
    assert bases(line(world(chat), "ai/chat", memo)) == ["http://ollama:11434"], "Ollama's own sentence answers, or a fallback"
    assert bases(line(world(chat, servers=ollama({"acme": TOOLS}, {})), "ai/chat", memo)) == ["http://ollama-0.pods:11434"]
    both = line(world(chat, servers=ollama({"acme": TOOLS}, {"acme": TOOLS})), "ai/chat", memo)
    assert bases(both) == ["http://ollama-0.pods:11434", "http://ollama-1.pods:11434"]
    assert [d["model_info"]["id"] for d in both["deployments"]] == ["ai/chat/default/ollama-0", "ai/chat/default/ollama-1"]


def test_a_change_of_one_model_judges_only_its_routes() -> None:
    memo, found = Memo(), (route("one", "acme"), route("two", "other"), make.route("cloud"))
    routes.resolve(world(*found), memo)
    resolution = routes.resolve(world(*found, servers=ollama({"acme": TOOLS})), memo)
    assert resolution.touched == {"ai/one"}
    assert resolution.watched == {"ai/one", "ai/two"}
    again = routes.resolve(world(*found, servers=ollama({"acme": TOOLS})), memo)
    assert (again.touched, again.watched) == (frozenset(), frozenset())
    assert again.uses is resolution.uses


def test_what_is_remembered_is_what_would_be_decided_anew() -> None:
    memo, found = Memo(), (route("chat"), route("vectors", "embedder"), make.route("cloud"))
    for servers in (NONE, ollama({"acme": TOOLS}), ollama({"acme": TOOLS}, {"acme": TOOLS, "embedder": EMBEDS}), ollama({})):
        snapshot = world(*found, servers=servers)
        kept, fresh = routes.resolve(snapshot, memo), routes.resolve(snapshot)
        assert kept.uses == fresh.uses
        lines = [{key: proxy_config.line(served, snapshot.release) for key, served in each.served.items()} for each in (kept, fresh)]
        assert lines[0] == lines[1]


def test_ollama_says_what_its_model_can_do_unless_the_route_does() -> None:
    servers = ollama({"acme": TOOLS, "embedder": EMBEDS, "plain": Facts(), "llama3.1": Facts()})
    able = line(world(route("chat"), servers=servers), "ai/chat")
    assert (able["mode"], able["functionCalling"], able["deployments"][0]["model_info"]["max_input_tokens"]) == ("chat", "Supported", 8192)
    assert line(world(route("chat", "plain"), servers=servers), "ai/chat")["functionCalling"] == "Unsupported"
    assert line(world(route("chat", "llama3.1"), servers=servers), "ai/chat")["functionCalling"] == "Unsupported", "not what the cost map says"
    stated = route("chat", "plain", capabilities={"functionCalling": "Supported", "maxInputTokens": 7})
    content = line(world(stated, servers=servers), "ai/chat")
    assert (content["functionCalling"], content["deployments"][0]["model_info"]["max_input_tokens"]) == ("Supported", 7)
    vectors = line(world(route("vectors", "embedder"), servers=servers), "ai/vectors")
    assert (vectors["mode"], vectors["deployments"][0]["litellm_params"]["model"]) == ("embedding", "ollama/embedder")


def test_replicas_share_a_backends_weight_and_limits() -> None:
    limits = {"requestsPerMinute": 9, "maxParallelRequests": 1}
    shared = make.route("shared", make.backend("own", provider="ollama", model="acme", weight=3, limits=limits), make.backend("cloud"))
    own = [d["litellm_params"] for d in line(world(shared, servers=ollama({"acme": TOOLS}, {"acme": TOOLS})), "ai/shared")["deployments"][:2]]
    assert [(p["weight"], p["rpm"], p["max_parallel_requests"]) for p in own] == [(1.5, 4, 1)] * 2


def test_a_server_of_the_users_own_is_left_alone() -> None:
    secret = make.secrets(elsewhere={"OLLAMA_API_BASE": "http://gpu:11434"})
    named = route("named", backend={"apiBase": "http://gpu:11434"})
    held = route("held", backend={"credentialsSecretRef": {"name": "elsewhere"}})
    assert routes.resolve(world(named, held, secrets=secret, servers=ollama({}))).uses == ()


def test_a_route_that_may_not_be_served_pulls_nothing() -> None:
    first, second = route("first", modelName="same"), route("second", modelName="same")
    resolution = routes.resolve(world(first, second, route("off", suspend=True), servers=ollama({})))
    assert {use.route: use.active for use in resolution.uses} == {"ai/first": True, "ai/second": False, "ai/off": False}


def test_a_route_with_the_finalizer_waits_for_its_model() -> None:
    gone = {"deletionTimestamp": make.NOW, "finalizers": ["modelroute.dev/ollama-model"]}
    leaving = route("leaving", meta=gone, backend={"ollama": {"deletionPolicy": "Delete"}})
    resolution = routes.resolve(world(leaving, servers=ollama({"acme": TOOLS})))
    assert resolution.leaving == {"ai/leaving": leaving}
    assert [(use.leaving, use.active, use.delete) for use in resolution.uses] == [(True, False, True)]
    assert resolution.covered == {}
    assert routes.resolve(world(leaving, servers=Ollama())).uses == (), "without an Ollama nothing is waited for"
