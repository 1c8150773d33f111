"""What a test of the real Ollama is given."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cluster.harness import Proxies, Proxy, Routes
from cluster.ollama.local import NAMESPACE, RELEASE, Registry, Servers, install, start_registry
from kubectl import CommandError, kubectl, run


@pytest.fixture(scope="session", autouse=True)
def _release() -> Iterator[None]:
    """The release; in place of the parent folder's check for `make deploy`'s."""
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}), namespace="default")
        start_registry()
        kubectl("delete", "modelroutes.modelroute.dev", "--all", "--timeout=60s", namespace=NAMESPACE)  # of a run that was killed
        install()
    except (CommandError, OSError) as error:
        pytest.fail(f"the release {RELEASE} cannot be installed: run make deploy, then tests/kind/cluster.py load-ollama ({error})", pytrace=False)
    yield
    kubectl("delete", "modelroutes.modelroute.dev", "--all", "--timeout=60s", namespace=NAMESPACE)
    run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    kubectl("delete", "namespace", NAMESPACE, namespace="default")


@pytest.fixture
def registry(_release: None) -> Iterator[Registry]:
    """The registry, well before and after."""
    found = Registry()
    found.well()
    yield found
    found.well()
    found.forward.close()


@pytest.fixture
def servers(_release: None) -> Iterator[Servers]:
    """The Ollama replicas."""
    found = Servers()
    yield found
    for forward in found.forwards.values():
        forward.close()


@pytest.fixture
def routes(_release: None) -> Iterator[Routes]:
    """This test's own routes; their models go with them."""
    found = Routes(namespace=NAMESPACE)
    yield found
    found.gone()


@pytest.fixture
def proxy(_release: None) -> Iterator[Proxy]:
    """The release's proxy."""
    proxies = Proxies(RELEASE, NAMESPACE)
    yield proxies.ready()[0]
    proxies.close()
