"""What a real API server refuses, and with which sentence: the table of tests/contract/crd."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.crd.bad_specs import BAD, GOOD
from kubernetes import client, config
from modelroute_operator.core import crd
from modelroute_operator.core.modelroute import PLURAL, VERSION

ROOT = Path(__file__).parents[2]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "tried.modelroute.test"
"""A group of the test's own: whatever release the cluster runs, what is tried here is the schema as generated. It sorts
after the real one, so that `kubectl get modelroutes` still means that."""
SECONDS = 30.0


class Server:
    """The API server."""

    def __init__(self) -> None:
        self.api = client.ApiClient()

    def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            answer = self.api.call_api(*self.api.param_serialize(method, path, query_params=list(query.items()), header_params=headers, body=body, auth_settings=["BearerToken"]))
            return answer.status, self.read(answer.headers, answer.read())
        except client.ApiException as error:
            return error.status or 0, self.read(error.headers, error.body)

    @staticmethod
    def read(headers: Any, body: Any) -> dict[str, Any]:
        """JSON; or plain text, which the API server answers for a group that it does not serve yet."""
        answer: dict[str, Any] = json.loads(body) if "json" in (headers or {}).get("Content-Type", "") else {"message": str(body)}
        return answer

    def create(self, spec: Any) -> tuple[int, str]:
        """Status and sentence of `kubectl create --dry-run=server`, which validates strictly."""
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ModelRoute", "metadata": {"name": "tried", "namespace": "default"}, "spec": spec}
        status, answer = self.call("POST", f"/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}", body, dryRun="All", fieldValidation="Strict")
        return status, answer.get("message", "")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The cluster of this checkout, with the CRD as generated, in the test's own group."""
    config.load_kube_config(os.environ.get("KUBECONFIG", str(ROOT / ".kube/config")))
    server, wanted = Server(), crd.crd()
    wanted["metadata"]["name"], wanted["spec"]["group"] = f"{PLURAL}.{GROUP}", GROUP
    place = f"{CRDS}/{PLURAL}.{GROUP}"
    status, answer = server.call("POST", CRDS, wanted)
    assert status in {201, 409}, answer["message"]
    deadline = time.monotonic() + SECONDS
    while server.create(GOOD["the least"])[0] == 404:  # served only a moment after it is established
        assert time.monotonic() < deadline, server.call("GET", place)[1]["status"]
        time.sleep(0.1)
    yield server
    server.call("DELETE", place)
    server.api.close()


def test_the_crd_is_accepted_without_reserve(server: Server) -> None:
    """Every CEL rule compiles and is cheap enough, the schema is structural, names and columns are right."""
    _, answer = server.call("GET", f"{CRDS}/{PLURAL}.{GROUP}")
    conditions = {c["type"]: c["status"] for c in answer["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("what", BAD)
def test_bad_spec_is_refused_with_its_sentence(server: Server, what: str) -> None:
    bad = BAD[what]
    status, sentence = server.create(bad.spec)
    assert status in {400, 422}, f"taken: {sentence}"
    assert bad.of_server in sentence


@pytest.mark.parametrize("what", GOOD)
def test_good_spec_is_taken(server: Server, what: str) -> None:
    assert server.create(GOOD[what]) == (201, "")
