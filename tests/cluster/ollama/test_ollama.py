"""From `kubectl apply` to an answer of the real Ollama, and everything that goes wrong on the way."""

from __future__ import annotations

from typing import Any

import pytest
from cluster.harness import Proxy, Routes, until
from cluster.ollama.local import NAMESPACE, REGISTRY, REPLICA, Registry, Servers, install, model, pod_ready
from kubectl import get, kubectl

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
]
ASK: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
LARGE_BYTES = 24 << 20
SECOND = REPLICA.replace("-0", "-1")


def pull_summary(name: str) -> str:
    """What the wide table shows."""
    return str(get("modelroute", name, namespace=NAMESPACE)["status"].get("pullSummary", ""))


def percent(name: str) -> int:
    """How far the pull is."""
    return int(pull_summary(name).rpartition(" ")[2].rstrip("%") or 0)


def events(name: str) -> list[str]:
    """Reasons of the Events about a route, the oldest first."""
    found = get("events", "", f"--field-selector=involvedObject.name={name}", "--sort-by=.metadata.creationTimestamp", namespace=NAMESPACE)["items"]
    return [event["reason"] for event in found]


def test_from_apply_to_a_streamed_answer(routes: Routes, registry: Registry, proxy: Proxy) -> None:
    registry.behaves(bytes_per_second=100_000)
    name = routes.apply("chat", model("chat:1"))
    assert REGISTRY in routes.until(name, "Pulling", "ModelsPulled")
    routes.wait(name)
    assert pull_summary(name).endswith("100%")
    stream = proxy.openai.chat.completions.create(model=name, messages=ASK, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Grass is green."
    assert proxy.chat(name) == "Grass is green."
    until("the Events tell of the pull", lambda: {"Pulling", "ModelsPulled", "Ready"} <= set(events(name)))


def test_tools_pass_because_ollama_says_that_the_model_takes_them(routes: Routes, registry: Registry, proxy: Proxy) -> None:
    able, unable = routes.apply("tools", model("tools:1")), routes.apply("plain", model("chat:1"))
    routes.wait(able, unable)
    answer = proxy.openai.chat.completions.with_raw_response.create(model=able, messages=ASK, tools=TOOLS)
    assert "x-modelroute-warning" not in answer.headers
    call: Any = (answer.parse().choices[0].message.tool_calls or [])[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Paris"}')
    answer = proxy.openai.chat.completions.with_raw_response.create(model=unable, messages=ASK, tools=TOOLS)
    assert unable in answer.headers["x-modelroute-warning"]
    assert answer.parse().choices[0].message.content == "Grass is green."


def test_an_embedding_model_embeds_without_being_told_its_mode(routes: Routes, registry: Registry, proxy: Proxy) -> None:
    name = routes.ready("embed", model("embed:1"))
    vector = proxy.openai.embeddings.create(model=name, input="Hello").data[0].embedding
    assert len(vector) == 64
    assert get("modelroute", name, namespace=NAMESPACE)["status"]["mode"] == "embedding"


def test_progress_is_told_and_an_interrupted_pull_goes_on_where_it_was(routes: Routes, registry: Registry, servers: Servers) -> None:
    registry.behaves(bytes_per_second=2_000_000)
    name = routes.apply("large", model("large:1"))
    until("a third is pulled", lambda: percent(name) > 33)
    asked = len(registry.requests())
    kubectl("rollout", "restart", "deployment/local-operator", namespace=NAMESPACE)
    kubectl("rollout", "status", "deployment/local-operator", "--timeout=120s", namespace=NAMESPACE)
    registry.well()
    routes.wait(name)
    ranges = [line.rpartition("bytes=")[2].partition("-") for line in registry.requests()[asked:] if "bytes=" in line]
    assert ranges
    assert int(ranges[0][0]) > LARGE_BYTES // 4, "not from the beginning"
    assert servers.models() >= {"large:1"}


def test_routes_with_one_model_share_one_pull(routes: Routes, registry: Registry) -> None:
    before = len(registry.requests())
    names = [routes.apply(word, model("second:1")) for word in ("one", "two", "three")]
    routes.wait(*names)
    assert len([line for line in registry.requests()[before:] if "/manifests/" in line]) == 1


def test_a_registry_that_is_down_is_named_and_tried_again(routes: Routes, registry: Registry) -> None:
    registry.behaves(down=True)
    name = routes.apply("down", model("second:1"))
    assert REGISTRY in routes.until(name, "PullFailed")
    registry.well()
    routes.wait(name)
    assert "PullFailed" in events(name)


def test_a_model_that_does_not_exist_fails_with_ollamas_sentence(routes: Routes, registry: Registry) -> None:
    name = routes.apply("missing", model("missing:1"))
    assert "file does not exist" in routes.until(name, "PullFailed")


def test_a_model_that_nobody_may_pull_is_waited_for(routes: Routes, registry: Registry, servers: Servers) -> None:
    name = routes.apply("never", model("second:1", pullPolicy="Never"))
    assert "pullPolicy is Never" in routes.until(name, "PullFailed")
    body = {"model": f"{REGISTRY}/tiny/second:1", "insecure": True, "stream": False}
    assert servers.call(REPLICA, "POST", "/api/pull", body).json()["status"] == "success"
    routes.wait(name)


def test_the_last_route_takes_the_model_along_and_the_disk_is_free_again(routes: Routes, registry: Registry, servers: Servers) -> None:
    before = servers.disk()
    first, last = routes.ready("first", model("large:1")), routes.ready("last", model("large:1"))
    assert servers.disk() > before + LARGE_BYTES // 1024
    routes.delete("modelroute", first)
    assert "large:1" in servers.models()
    routes.delete("modelroute", last)
    assert "large:1" not in servers.models()
    assert servers.disk() <= before


def test_a_restarted_ollama_has_kept_its_models(routes: Routes, registry: Registry, proxy: Proxy) -> None:
    name = routes.ready("kept", model("chat:1"))
    before, asked = get("pod", REPLICA, namespace=NAMESPACE)["metadata"]["uid"], len(registry.requests())
    kubectl("delete", "pod", REPLICA, namespace=NAMESPACE)
    pod_ready(REPLICA, but=before)
    routes.wait(name)
    assert until("the model answers again", lambda: proxy.chat(name)) == "Grass is green."
    assert registry.requests()[asked:] == []


def test_a_restarted_operator_changes_nothing(routes: Routes, registry: Registry) -> None:
    name = routes.ready("kept", model("chat:1"))

    def written() -> tuple[str, str]:
        line = next(line for line in str(get("configmap", "local-routes", namespace=NAMESPACE)["data"]).split("\\n") if name in line)
        return line.rstrip(","), get("modelroute", name, namespace=NAMESPACE)["metadata"]["resourceVersion"]

    before = written()
    kubectl("rollout", "restart", "deployment/local-operator", namespace=NAMESPACE)
    kubectl("rollout", "status", "deployment/local-operator", "--timeout=120s", namespace=NAMESPACE)
    routes.ready("next", model("chat:1"))
    assert written() == before


def test_a_lost_disk_is_filled_again(routes: Routes, registry: Registry, servers: Servers, proxy: Proxy) -> None:
    name = routes.ready("lost", model("chat:1"))
    before = get("pod", REPLICA, namespace=NAMESPACE)["metadata"]["uid"]
    registry.behaves(bytes_per_second=100_000)
    kubectl("delete", "pvc", f"models-{REPLICA}", "--wait=false", namespace=NAMESPACE)
    kubectl("delete", "pod", REPLICA, namespace=NAMESPACE)
    pod_ready(REPLICA, but=before)
    routes.until(name, "Pulling", "ModelsPulled")
    registry.well()
    routes.wait(name)
    assert servers.models() == {"chat:1"}
    assert until("the model answers again", lambda: proxy.chat(name)) == "Grass is green."


def test_scaled_up_both_replicas_serve(routes: Routes, registry: Registry, servers: Servers, proxy: Proxy) -> None:
    name = routes.ready("both", model("chat:1"))
    try:
        kubectl("scale", "statefulset/local-ollama", "--replicas=2", namespace=NAMESPACE)
        pod_ready(SECOND)
        until("the second replica is filled", lambda: "chat:1" in servers.models(SECOND))
        routes.wait(name)

        def asked(replica: str) -> bool:
            assert proxy.chat(name) == "Grass is green."
            return '"/api/chat"' in kubectl("logs", replica, namespace=NAMESPACE)

        for replica in (REPLICA, SECOND):
            until(f"{replica} is asked", lambda replica=replica: asked(replica))
    finally:
        kubectl("scale", "statefulset/local-ollama", "--replicas=1", namespace=NAMESPACE)
    until("the second replica is gone", lambda: len(get("pods", "", "-l", "app.kubernetes.io/component=ollama", namespace=NAMESPACE)["items"]) == 1)
    routes.wait(name)
    assert proxy.chat(name) == "Grass is green."


@pytest.fixture
def small_disk() -> Any:
    """Ollama on a disk of 16 MiB in memory, which the operator is told to be of the size given."""

    def have(size: str) -> None:
        install(persistence={"size": size, "volume": {"emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}})

    kubectl("delete", "statefulset", "local-ollama", namespace=NAMESPACE)  # its claims cannot be changed
    yield have
    kubectl("delete", "statefulset", "local-ollama", namespace=NAMESPACE)
    install()


def test_a_disk_that_is_too_small_is_said_before_and_after_it_is_full(routes: Routes, registry: Registry, servers: Servers, small_disk: Any) -> None:
    small_disk("16Mi")
    registry.behaves(bytes_per_second=1_000_000)  # slow, so that the disk is not full before the operator has read the size
    name = routes.apply("big", model("large:1"))
    assert "needs 25.4 MB, 16.8 MB of 16.8 MB are free" in routes.until(name, "InsufficientStorage")
    registry.well()
    routes.delete("modelroute", name)
    small_disk("1Gi")
    name = routes.apply("full", model("large:1"))
    assert "no space left on device" in routes.until(name, "InsufficientStorage")
