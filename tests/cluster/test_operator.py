"""The operator dies, sleeps, and is contradicted: nothing is lost, nothing is rewritten, and the proxies serve on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster.harness import BOOT_SECONDS, TEST, Proxies, Proxy, Routes, backend, is_ready, until, versions
from kubectl import RELEASE, get, kubectl
from openai import NotFoundError

OPERATOR = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
INDEX, CREDENTIALS, MASTER_KEY = f"{RELEASE}-routes", f"{RELEASE}-credentials", f"{RELEASE}-master-key"


def operators() -> list[dict[str, Any]]:
    """The operator's pods."""
    found: list[dict[str, Any]] = get("pods", "", "-l", OPERATOR)["items"]
    return found


def scale(replicas: int) -> None:
    """Scales the operator, and waits until it is so."""
    kubectl("scale", f"deployment/{RELEASE}-operator", f"--replicas={replicas}")
    until(f"{replicas} operators", lambda: sum(map(is_ready, pods := operators())) == len(pods) == replicas, BOOT_SECONDS)


@pytest.fixture
def _operator_again() -> Iterator[None]:
    """Whatever a test does to it, the operator is back afterwards."""
    yield
    scale(1)


def managed() -> dict[str, dict[str, str]]:
    """Resource versions of everything the operator writes: its objects, every status, and the Events about routes."""
    about_routes = get("events", "", "--field-selector", "involvedObject.kind=ModelRoute")["items"]
    return {
        "routes": versions("modelroutes", *(item["metadata"]["name"] for item in get("modelroutes", "", "-l", f"!{TEST}")["items"])),
        "configmaps": versions("configmaps"),
        "secrets": versions("secrets", CREDENTIALS, MASTER_KEY),
        "events": {event["metadata"]["name"]: event["involvedObject"]["name"] for event in about_routes},
    }


def witnessed(routes: Routes) -> dict[str, dict[str, str]]:
    """What is written once the operator is at rest: it has answered for a route that has nothing to publish, made after all else."""
    witness = routes.apply(f"witness-{len(operators())}", backend("x", "nosuchprovider"))
    routes.until(witness, "UnknownProvider")
    seen = managed()
    routes.delete("modelroute", witness)
    return {**seen, "events": {event: about for event, about in seen["events"].items() if about != witness}}


def test_a_killed_operator_rewrites_nothing(routes: Routes, proxies: Proxies) -> None:
    """Not one object, status or Event: a restart is no change."""
    with proxies.untouched() as pods:
        routes.ready("before", backend("before"))
        routes.until(routes.apply("broken", backend("x", "nosuchprovider")), "UnknownProvider")
        before = witnessed(routes)
        (old,) = (pod["metadata"]["uid"] for pod in operators())
        kubectl("delete", "pod", "-l", OPERATOR, "--grace-period=0", "--force")
        until("another operator", lambda: [True for pod in operators() if is_ready(pod) and pod["metadata"]["uid"] != old], BOOT_SECONDS)
        assert witnessed(routes) == before
        after = routes.ready("after", backend("after"))
        assert [pod.chat(after) for pod in pods] == ["azure after says: Hello"] * len(pods)


@pytest.mark.usefixtures("_operator_again")
def test_what_happened_while_it_was_away(routes: Routes, proxies: Proxies) -> None:
    """New, changed, deleted routes, a new key, an object edited by hand and one deleted: all of it is caught up with."""
    with proxies.untouched() as pods:
        changed, deleted = routes.ready("changed", backend("first")), routes.ready("deleted", backend("deleted"))
        scale(0)
        assert [pod.chat(changed) for pod in pods] == ["azure first says: Hello"] * len(pods)
        routes.apply("changed", backend("second"))
        routes.delete("modelroute", deleted)
        new = routes.apply("new", backend("new"))
        kubectl("delete", "secret", CREDENTIALS)
        kubectl("patch", "configmap", INDEX, "--type=merge", "-p", json.dumps({"data": {"routes-00.json": "{}"}}))
        assert [pod.chat(changed) for pod in pods] == ["azure first says: Hello"] * len(pods)
        scale(1)
        routes.wait(new, changed)
        assert [pod.chat(new) for pod in pods] == ["azure new says: Hello"] * len(pods)
        assert [pod.chat(changed) for pod in pods] == ["azure second says: Hello"] * len(pods)
        for pod in pods:
            with pytest.raises(NotFoundError):
                pod.chat(deleted)
            assert pod.digest() == proxies.digest()


def wrong_lines(data: dict[str, str]) -> dict[str, str]:
    return {file: text.replace("gpt-4.1", "gpt-3.5-turbo") for file, text in data.items()}


TAMPERED: dict[str, tuple[str, str, Callable[[dict[str, str]], dict[str, str] | None]]] = {
    "the routes edited": ("configmap", INDEX, wrong_lines),
    "the index edited": ("configmap", INDEX, lambda data: {"index.json": data["index.json"].replace('"digest": "', '"digest": "0')}),
    "a key added": ("configmap", INDEX, lambda _: {"stray.json": "{}"}),
    "the routes deleted": ("configmap", INDEX, lambda _: None),
    "a credential added": ("secret", CREDENTIALS, lambda _: {"ai.stray.api_key": "c3RyYXk="}),
    "the credentials emptied": ("secret", CREDENTIALS, dict.fromkeys),  # type: ignore[dict-item]
    "the credentials deleted": ("secret", CREDENTIALS, lambda _: None),
}


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("what", TAMPERED)
def test_what_others_do_to_its_objects_is_corrected(guide: dict[str, Any], proxies: Proxies, what: str) -> None:
    """And meanwhile every answer is right."""
    kind, name, change = TAMPERED[what]

    def answers(pods: list[Proxy]) -> None:
        for pod in pods:
            assert pod.chat("openai-gpt41") == "openai gpt-4.1 says: Hello"

    with proxies.untouched() as pods:
        before = get(kind, name)
        wrong = change(before["data"])
        if wrong is None:
            kubectl("delete", kind, name)
        else:
            kubectl("patch", kind, name, "--type=merge", "-p", json.dumps({"data": wrong}))
        answers(pods)
        until(f"{name} is as it was", lambda: get(kind, name)["data"] == before["data"])
        until("every proxy serves it", lambda: {pod.digest() for pod in pods} == {proxies.digest()})
        answers(pods)
        meta = get(kind, name)["metadata"]
        assert meta["labels"].items() >= {"app.kubernetes.io/managed-by": "modelroute-operator", "modelroute.dev/release": RELEASE}.items()
        assert [owner["name"] for owner in meta["ownerReferences"]] == [f"{RELEASE}-config"]
