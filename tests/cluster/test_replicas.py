"""Replicas come and go, settings change: what a Service's clients see of it is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cluster.application import Client
from cluster.harness import BOOT_SECONDS, Proxies, Proxy, Routes, Simulator, backend, until
from kubectl import CHART, NAMESPACE, RELEASE, get, kubectl, run

pytestmark = pytest.mark.usefixtures("neighbours")
WORKERS = 4


@pytest.fixture(scope="module")
def replica(guide: dict[str, Any], proxies: Proxies) -> Iterator[Proxy]:
    """A third replica, in the very moment in which a Service would begin to send it requests."""
    before = {proxy.uid for proxy in proxies.ready()}
    kubectl("scale", f"deployment/{RELEASE}-proxy", "--replicas=3")
    try:
        (fresh,) = until("a third replica", lambda: [proxy for proxy in proxies.ready() if proxy.uid not in before], BOOT_SECONDS)
        assert fresh.digest() == proxies.digest()
        yield fresh
    finally:
        kubectl("scale", f"deployment/{RELEASE}-proxy", "--replicas=2")


def test_a_fresh_replica_serves_everything(guide: dict[str, Any], replica: Proxy) -> None:
    """What it lists, and what it answers."""
    assert {name for route, spec in guide.items() for name in (route, *spec.get("aliases", ()))} <= replica.names()
    for name, spec in guide.items():
        if spec["mode"] == "chat":
            assert replica.chat(name).endswith("says: Hello")


def test_ready_counts_a_fresh_replica_in(routes: Routes, replica: Proxy, proxies: Proxies) -> None:
    name = routes.ready("late", backend("late"))
    assert [proxy.chat(name) for proxy in proxies.ready()] == ["azure late says: Hello"] * 3


def test_a_leaving_replica_finishes_its_answers(routes: Routes, replica: Proxy, proxies: Proxies, simulator: Simulator) -> None:
    """A stream that is under way when its pod is told to leave is answered to its end; then the pod goes at once."""
    deployment = routes.name("slow")
    question = [{"role": "user", "content": " ".join(f"word-{number}" for number in range(20))}]
    with simulator.rule(deployment, model=deployment, chunkDelay=0.3):
        name = routes.ready("slow", backend(deployment))
        stream = replica.openai.chat.completions.create(model=name, messages=question, stream=True)
        said = next(stream).choices[0].delta.content or ""
        kubectl("annotate", "pod", replica.name, "controller.kubernetes.io/pod-deletion-cost=-1")
        kubectl("scale", f"deployment/{RELEASE}-proxy", "--replicas=2")
        until("the pod leaves", lambda: replica.uid not in {proxy.uid for proxy in proxies.ready()})
        said += "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert said == f"azure {deployment} says: {question[0]['content']}"
    until("it is gone", lambda: replica.uid not in {pod["metadata"]["uid"] for pod in proxies.pods()})


def settings() -> str:
    """LiteLLM's config file as the chart wrote it."""
    return str(get("configmap", f"{RELEASE}-config")["data"]["config.yaml"])


def test_an_upgrade_and_a_rollback_under_load(routes: Routes, proxies: Proxies, simulator: Simulator, client: Client) -> None:
    """Each replaces every pod, because LiteLLM reads its settings at boot. Applications ask through the Service all along: no request fails, streams included."""
    name = routes.ready("busy", backend(routes.name("busy")))
    before, old = settings(), {proxy.uid for proxy in proxies.ready()}
    routes_before = get("configmap", f"{RELEASE}-routes")["data"]
    key = proxies.keys

    def counted() -> int:
        return int(simulator.call("GET", "/counts")["counts"]["azure"].get(name, 0))

    with client.load(name, f"azure {name} says: Hello", WORKERS) as load:
        until("the load is on", lambda: counted() > WORKERS)
        try:
            run("helm", "upgrade", RELEASE, str(CHART), "-n", NAMESPACE, "--reuse-values", "--set", "config.litellm_settings.request_timeout=121", "--wait", "--timeout", "4m")
            assert "request_timeout: 121" in settings()
            upgraded = {proxy.uid for proxy in proxies.ready()}
            assert not upgraded & old
            assert [proxy.chat(name) for proxy in proxies.ready()] == [f"azure {name} says: Hello"] * len(upgraded)
        finally:
            run("helm", "rollback", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "4m")
        assert settings() == before
        assert not {proxy.uid for proxy in proxies.ready()} & upgraded
        rolled_back = counted()
        until("the load goes on", lambda: counted() > rolled_back + 10 * WORKERS)
    assert load["failures"] == []
    assert load["asked"] > 20 * WORKERS
    assert get("configmap", f"{RELEASE}-routes")["data"] == routes_before
    assert proxies.keys == key, "the master key is made once"
