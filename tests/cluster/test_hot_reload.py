"""A new, a changed, a deleted route: the running proxies follow, and no pod is touched."""

from __future__ import annotations

import pytest
from cluster.harness import Proxies, Proxy, Routes, Simulator, backend, until, versions
from kubectl import NAMESPACE, RELEASE, apply, get, kubectl
from openai import NotFoundError

pytestmark = pytest.mark.usefixtures("neighbours")


def is_gone(proxy: Proxy, name: str) -> bool:
    """The proxy no longer knows the name."""
    try:
        proxy.chat(name)
    except NotFoundError:
        return name not in proxy.names()
    return False


def test_new_changed_deleted(routes: Routes, proxies: Proxies) -> None:
    with proxies.untouched() as pods:
        name = routes.ready("new", backend("first-deployment"))
        for pod in pods:
            assert pod.chat(name) == "azure first-deployment says: Hello"
            assert name in pod.names()
        routes.ready("new", backend("second-deployment"))
        for pod in pods:
            assert pod.chat(name) == "azure second-deployment says: Hello"
        routes.delete("modelroute", name)
        for pod in pods:
            until(f"{pod.name} forgets {name}", lambda pod=pod: is_gone(pod, name))


def test_ready_means_that_every_ready_replica_answers(routes: Routes, proxies: Proxies) -> None:
    """As a pipeline does it: apply, wait, use; five new routes and five changes of one, each asked of each pod at once."""
    with proxies.untouched() as pods:
        for number in range(5):
            name = routes.ready(f"new-{number}", backend(f"deployment-{number}"))
            assert [pod.chat(name) for pod in pods] == [f"azure deployment-{number} says: Hello"] * len(pods)
            changed = routes.ready("changing", backend(f"version-{number}"))
            assert [pod.chat(changed) for pod in pods] == [f"azure version-{number} says: Hello"] * len(pods)


def test_a_burst_of_changes(routes: Routes, proxies: Proxies) -> None:
    """Routes that are changed and deleted while the operator still works on the change before."""
    words = [f"burst-{number}" for number in range(20)]
    names = [routes.name(word) for word in words]
    with proxies.untouched() as pods:
        for version in range(3):
            apply(*(routes.body(word, backend(f"version-{version}")) for word in words))
            kubectl("delete", "modelroute", *names[version::3])
        apply(*(routes.body(word, backend("last")) for word in words))
        routes.wait(*names)
        for pod in pods:
            assert {pod.chat(name) for name in names} == {"azure last says: Hello"}


def test_in_a_calm_moment_the_index_gets_small_again(routes: Routes, proxies: Proxies) -> None:
    """Changed lines are beside their shards first, so that a change writes one object; they do not stay there."""
    words = [f"many-{number}" for number in range(60)]
    names = [routes.name(word) for word in words]
    with proxies.untouched() as pods:
        for version in ("first", "second"):
            apply(*(routes.body(word, backend(version)) for word in words))
            routes.wait(*names)
        until("the recent lines are in their shards", lambda: len(get("configmap", f"{RELEASE}-routes")["data"]["recent.json"]) < 1000)
        assert {pod.chat(name) for pod in pods for name in names[::7]} == {"azure second says: Hello"}


def test_an_alias_moves_in_one_apply(routes: Routes, proxies: Proxies) -> None:
    alias = routes.name("role")
    with proxies.untouched() as pods:
        one, other = routes.ready("one", backend("one"), aliases=[alias]), routes.ready("other", backend("other"))
        assert [pod.chat(alias) for pod in pods] == ["azure one says: Hello"] * len(pods)
        apply(routes.body("one", backend("one"), aliases=[]), routes.body("other", backend("other"), aliases=[alias]))
        routes.wait(one, other)
        assert [pod.chat(alias) for pod in pods] == ["azure other says: Hello"] * len(pods)
        assert [pod.chat(one) for pod in pods] == ["azure one says: Hello"] * len(pods)


def test_suspended_and_back(routes: Routes, proxies: Proxies) -> None:
    with proxies.untouched() as pods:
        name = routes.ready("pausing", backend("pausing"))
        routes.apply("pausing", backend("pausing"), suspend=True)
        assert "spec.suspend is true" in routes.until(name, "Suspended")
        for pod in pods:
            until(f"{pod.name} forgets {name}", lambda pod=pod: is_gone(pod, name))
        routes.ready("pausing", backend("pausing"))
        assert [pod.chat(name) for pod in pods] == ["azure pausing says: Hello"] * len(pods)


@pytest.mark.parametrize("what", ["deleted", "changed"])
def test_an_answer_in_flight_outlives_its_route(routes: Routes, proxies: Proxies, simulator: Simulator, what: str) -> None:
    """Streams that began before the route was deleted or changed are finished by the provider they began with."""
    question = [{"role": "user", "content": "one two three four five six seven eight nine ten"}]
    deployment = routes.name("slow")
    with proxies.untouched() as pods, simulator.rule(deployment, model=deployment, chunkDelay=0.4):
        name = routes.ready("slow", backend(deployment))
        streams = [pod.openai.chat.completions.create(model=name, messages=question, stream=True) for pod in pods]
        said = ["".join(next(stream).choices[0].delta.content or "" for _ in range(2)) for stream in streams]
        if what == "deleted":
            routes.delete("modelroute", name)
            for pod in pods:
                until(f"{pod.name} forgets {name}", lambda pod=pod: is_gone(pod, name))
        else:
            routes.ready("slow", backend("fast"))
            assert [pod.chat(name) for pod in pods] == ["azure fast says: Hello"] * len(pods)
        for beginning, stream in zip(said, streams, strict=True):
            rest = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            assert beginning + rest == f"azure {deployment} says: {question[0]['content']}"


def test_what_changes_nothing_writes_nothing(routes: Routes, proxies: Proxies) -> None:
    """A label, an annotation, an apply of the same: no managed object and no status is written for it."""
    name = routes.ready("same", backend("same"))
    before = versions("configmaps"), versions("secrets"), proxies.digest()
    routes.apply("same", backend("same"))
    kubectl("annotate", "modelroute", name, "example.com/note=hello", namespace=NAMESPACE)
    witness = routes.apply("witness", backend("x", "nosuchprovider"))
    routes.until(witness, "UnknownProvider")  # it came after, so the others have been looked at
    assert (versions("configmaps"), versions("secrets"), proxies.digest()) == before
    assert kubectl("get", "modelroute", name, "-o", "jsonpath={.status.proxy}") == f"{NAMESPACE}/{RELEASE}"
