"""The cluster as `make deploy` leaves it, with the guide's 33 routes on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import providers as guide_providers
import pytest
import yaml
from cluster.application import Client
from cluster.harness import TEST, Proxies, Routes, Simulator, operator_restarts, versions
from deploy import SIMULATOR
from kubectl import NAMESPACE, RELEASE, ROOT, CommandError, get, kubectl, secret


@pytest.fixture(scope="session", autouse=True)
def _release() -> None:
    """A missing cluster is a failure: nothing here may pass by not running."""
    try:
        available = get("deployment", f"{RELEASE}-proxy")["status"].get("availableReplicas", 0)
    except (CommandError, OSError) as error:
        pytest.fail(f"there is no release {RELEASE} in namespace {NAMESPACE} of this checkout's cluster: run make deploy ({str(error).splitlines()[-1]})", pytrace=False)
    if available < 2:
        pytest.fail(f"{available} replicas of {RELEASE}-proxy are ready, not 2: run make deploy", pytrace=False)
    kubectl("delete", "modelroutes.modelroute.dev,secrets", "-l", TEST)  # of a run that was killed


@pytest.fixture(scope="session")
def simulator(_release: None) -> Iterator[Simulator]:
    """The simulated providers, as if just started."""
    simulator = Simulator()
    simulator.call("DELETE")
    yield simulator
    simulator.call("DELETE")
    simulator.forward.close()


@pytest.fixture(scope="session")
def guide(simulator: Simulator) -> dict[str, dict[str, Any]]:
    """The guide's routes, applied and Ready: name → spec."""
    for provider, values in guide_providers.simulated(f"http://{SIMULATOR}.{SIMULATOR}:8080").items():
        secret(provider, values)
    kubectl("apply", "-f", str(ROOT / "examples"))
    routes = [body for path in sorted((ROOT / "examples").glob("*.yaml")) for body in yaml.safe_load_all(path.read_text())]
    names = [body["metadata"]["name"] for body in routes]
    kubectl("wait", "--for=condition=Ready", *(f"modelroute/{name}" for name in names), "--timeout=60s")
    return {body["metadata"]["name"]: body["spec"] for body in routes}


@pytest.fixture(scope="session")
def proxies(_release: None) -> Iterator[Proxies]:
    """The release's proxy pods."""
    proxies = Proxies()
    yield proxies
    proxies.close()


@pytest.fixture(scope="session")
def client(_release: None) -> Iterator[Client]:
    """An application in the cluster."""
    client = Client()
    client.start()
    yield client
    client.stop()


@pytest.fixture
def routes(guide: dict[str, Any]) -> Iterator[Routes]:
    """This test's own routes, beside the guide's."""
    routes = Routes()
    yield routes
    routes.gone()


@pytest.fixture
def neighbours(guide: dict[str, Any]) -> Iterator[None]:
    """The guide's routes do not notice the test: not one write to any of them. Nor does the operator fall over."""
    before, restarts = versions("modelroutes", *guide), operator_restarts()
    yield
    assert versions("modelroutes", *guide) == before
    after = operator_restarts()
    assert {uid: count for uid, count in after.items() if uid in restarts} == {uid: count for uid, count in restarts.items() if uid in after}, (
        "the operator crashed: kubectl logs --previous"
    )
