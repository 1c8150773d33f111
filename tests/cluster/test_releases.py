"""Two releases in one cluster: each minds its own, and an uninstall takes nothing that is the users'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cluster.harness import Proxies, Routes, backend, until
from deploy import SIMULATOR, VALUES
from kubectl import CHART, NAMESPACE, RELEASE, get, kubectl, run
from openai import NotFoundError

pytestmark = pytest.mark.usefixtures("neighbours")
SECOND = "second"
"""Release and namespace."""
AZURE = {"AZURE_API_KEY": "sim-azure-key", "AZURE_API_BASE": f"http://{SIMULATOR}.{SIMULATOR}:8080/azure", "AZURE_API_VERSION": "2024-10-21"}


def install(*values: str) -> None:
    """Installs the second release, or upgrades it."""
    settings = (*VALUES, "--set", "crds.install=false", "--set", "proxy.replicas=1", *values)
    run("helm", "upgrade", "--install", SECOND, str(CHART), "-n", SECOND, "--create-namespace", *settings, "--wait", "--timeout", "4m")


def uninstall() -> None:
    """Uninstalls it."""
    run("helm", "uninstall", SECOND, "-n", SECOND, "--ignore-not-found", "--wait", "--timeout", "2m")


@pytest.fixture(scope="module")
def second(guide: dict[str, Any]) -> Iterator[Proxies]:
    """Its proxy."""
    kubectl("delete", "namespace", SECOND, "--ignore-not-found")
    install()
    proxies = Proxies(SECOND, SECOND)
    yield proxies
    proxies.close()
    uninstall()
    kubectl("delete", "namespace", SECOND, "--wait=false")


def objects() -> set[str]:
    """The ConfigMaps and Secrets in its namespace that have to do with it."""
    return {item["metadata"]["name"] for kind in ("configmaps", "secrets") for item in get(kind, namespace=SECOND)["items"] if item["metadata"]["name"].startswith(f"{SECOND}-")}


def test_uninstalled_and_installed_again(second: Proxies, proxies: Proxies) -> None:
    """The routes, their CRD and the master key stay; what was made of them goes; the next release serves them at once, for the same key."""
    own = Routes(namespace=SECOND)
    with proxies.untouched() as pods:
        own.secret("azure", **AZURE)
        name = own.ready("own", backend("own", credentialsSecretRef={"name": own.name("azure")}))
        assert second.ready()[0].chat(name) == "azure own says: Hello"
        assert objects() == {f"{SECOND}-{what}" for what in ("config", "routes", "credentials", "master-key")}
        crd, route, key = get("crd", "modelroutes.modelroute.dev"), get("modelroute", name, namespace=SECOND), second.keys
        for pod in pods:
            assert name not in pod.names()

        uninstall()
        until("its objects are gone, but for the master key", lambda: objects() == {f"{SECOND}-master-key"})
        assert get("crd", "modelroutes.modelroute.dev")["metadata"]["uid"] == crd["metadata"]["uid"]
        assert get("modelroute", name, namespace=SECOND)["spec"] == route["spec"]
        assert [pod.chat("openai-gpt41") for pod in pods] == ["openai gpt-4.1 says: Hello"] * len(pods)

        install()
        assert second.ready()[0].chat(name) == "azure own says: Hello"
        assert second.keys == key
        own.wait(name)
        own.gone()


def test_two_releases_watch_one_namespace(second: Proxies, proxies: Proxies, routes: Routes) -> None:
    """A route that one serves is left alone by the other, which says so; spec.proxyName chooses, and choosing anew moves it."""
    install("--set", f"operator.watchNamespaces={{{SECOND},{NAMESPACE}}}")
    (other,) = second.ready()
    with proxies.untouched() as pods, second.untouched():
        about = "involvedObject.kind=ModelRoute,involvedObject.name=openai-gpt41,reason=ClaimedElsewhere"
        event = until("an Event", lambda: get("events", "", "--field-selector", about)["items"])[-1]
        assert event["message"].startswith(f"release {NAMESPACE}/{RELEASE} serves this route; release {SECOND}/{SECOND} leaves it alone")
        with pytest.raises(NotFoundError):
            other.chat("openai-gpt41")

        name = routes.ready("chosen", backend("chosen"), proxyName=SECOND)
        assert get("modelroute", name)["status"]["proxy"] == f"{SECOND}/{SECOND}"
        assert other.chat(name) == "azure chosen says: Hello"
        for pod in pods:
            assert name not in pod.names()

        routes.ready("chosen", backend("chosen"), proxyName=RELEASE)
        assert get("modelroute", name)["status"]["proxy"] == f"{NAMESPACE}/{RELEASE}"
        assert [pod.chat(name) for pod in pods] == ["azure chosen says: Hello"] * len(pods)
        until("the other forgets it", lambda: name not in other.names())

        nobody = routes.apply("nobody", backend("nobody"), proxyName="nosuchrelease")
        witness = routes.ready("witness", backend("witness"), proxyName=RELEASE)
        assert [pod.chat(witness) for pod in pods] == ["azure witness says: Hello"] * len(pods)
        assert "status" not in get("modelroute", nobody)
