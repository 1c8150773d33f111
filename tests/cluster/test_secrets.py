"""A provider's key is in the user's Secret and in the release's, and nowhere else; and the pods may do what they must, no more."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.harness import Proxies, Routes, Simulator, backend, keyed, until
from kubectl import NAMESPACE, RELEASE, get, kubectl

pytestmark = pytest.mark.usefixtures("neighbours")


def places(proxies: Proxies, *models: str) -> Iterator[tuple[str, str]]:
    """Everything that people and programs without a right to the Secrets can read."""
    for kind in ("configmaps", "modelroutes", "events", "pods", "deployments"):
        yield kind, json.dumps(get(kind, "", "--all-namespaces"))
    for pod in get("pods")["items"]:
        yield f"log of {pod['metadata']['name']}", kubectl("logs", pod["metadata"]["name"], "--all-containers")
    for proxy in proxies.ready():
        for path in ("/model/info", "/v1/model/info", "/v1/models", "/health", "/modelroutes/ready"):
            yield f"{path} of {proxy.name}", proxy.http(path).text
        for model in models:
            for stream in (False, True):
                body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
                answer = proxy.http("/v1/chat/completions", method="POST", json=body)
                assert answer.status_code >= 400, model
                yield f"error and headers of {model} from {proxy.name}", answer.text + str(answer.headers)


def test_no_key_is_anywhere(routes: Routes, proxies: Proxies, simulator: Simulator) -> None:
    """Keys that work and keys that are refused; a provider that quotes the key in its error; a route that LiteLLM refuses; a Secret that goes."""
    key, refused, quoted = (f"sk-{word}-{secrets.token_hex(16)}" for word in ("good", "refused", "quoted"))
    simulator.call("PUT", "/keys/openai", {"keys": {"default": "sim-openai-key", "good": key, "quoted": quoted}})
    try:
        good = routes.ready("good", keyed("gpt-4o", routes.secret("good", api_key=key)))
        wrong = routes.ready("wrong", keyed("gpt-4o", routes.secret("wrong", api_key=refused)))
        quoting = routes.ready("quoting", keyed("gpt-4o-mini", routes.secret("quoting", api_key=quoted)))
        rejected = routes.apply("rejected", {**keyed("gpt-4o", routes.name("good")), "params": {"input_cost_per_token": "free"}})
        routes.until(rejected, "RejectedByProxy")
        assert [proxy.chat(good) for proxy in proxies.ready()] == ["openai gpt-4o says: Hello"] * len(proxies.ready())
        routes.delete("secret", routes.name("wrong"))
        routes.until(wrong, "SecretNotFound")
        secret_values = [key, refused, quoted, "sim-openai-key", "sim-azure-key", "sim-mistral-key", *proxies.keys.values()]
        encoded = [base64.b64encode(value.encode()).decode() for value in secret_values]
        with simulator.rule("quoting", model="gpt-4o-mini", status=401, message=f"Incorrect API key provided: {quoted}."):
            found = [(place, value[:10]) for place, text in places(proxies, wrong, quoting, rejected) for value in (*secret_values, *encoded) if value in text]
        assert found == []
    finally:
        simulator.call("DELETE", "/keys/openai")


def test_a_deleted_routes_key_leaves_the_managed_secret(routes: Routes, proxies: Proxies) -> None:
    name = routes.ready("leaving", keyed("gpt-4o", routes.secret("leaving", api_key="sim-openai-key")))

    def held() -> list[str]:
        return [key for key in get("secret", f"{RELEASE}-credentials")["data"] if name in key]

    assert len(held()) == 1
    routes.delete("modelroute", name)
    until("its key is gone", lambda: not held())
    other = routes.ready("other", backend("other"))
    assert [proxy.chat(other) for proxy in proxies.ready()] == ["azure other says: Hello"] * len(proxies.ready())


ALLOWED = {
    "proxy": [
        f"get configmaps {RELEASE}-routes",
        f"watch configmaps {RELEASE}-routes",
        f"get configmaps {RELEASE}-routes-31",
        f"get secrets {RELEASE}-credentials",
        f"watch secrets {RELEASE}-credentials",
    ],
    "operator": [
        "watch modelroutes",
        "patch modelroutes/status",
        "watch secrets",
        "create events",
        "list pods",
        "create configmaps",
        f"patch configmaps {RELEASE}-routes",
        f"delete configmaps {RELEASE}-routes-31",
        f"patch secrets {RELEASE}-credentials",
    ],
}
FORBIDDEN = {
    "proxy": [
        "list configmaps",
        f"get configmaps {RELEASE}-config",
        f"patch configmaps {RELEASE}-routes",
        "list secrets",
        f"get secrets {RELEASE}-master-key",
        "get secrets openai",
        f"update secrets {RELEASE}-credentials",
        f"get secrets {RELEASE}-credentials default",
        "get modelroutes",
        "list pods",
        "create pods",
    ],
    "operator": [
        "create modelroutes",
        "delete modelroutes",
        "patch configmaps other",
        "delete configmaps other",
        "patch secrets openai",
        "delete secrets openai",
        f"delete secrets {RELEASE}-master-key",
        "create pods",
        "delete pods",
        "create pods/exec",
        "create serviceaccounts/token",
        "create rolebindings",
        "list nodes",
        "get secrets openai default",
        "list modelroutes * default",
        "list secrets * kube-system",
        "get customresourcedefinitions",
    ],
}
GROUPS = {"modelroutes": "modelroute.dev", "rolebindings": "rbac.authorization.k8s.io", "customresourcedefinitions": "apiextensions.k8s.io"}


def review(account: str, what: str) -> dict[str, Any]:
    """What `kubectl auth can-i` asks: verb, resource, name, namespace."""
    words = what.split()
    verb, resource, name, namespace = *words, *("*", NAMESPACE)[len(words) - 2 :]
    resource, _, subresource = resource.partition("/")
    asked = {"verb": verb, "group": GROUPS.get(resource, ""), "resource": resource, "subresource": subresource, "name": name.strip("*"), "namespace": namespace}
    spec = {"user": f"system:serviceaccount:{NAMESPACE}:{RELEASE}-{account}", "resourceAttributes": asked}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


@pytest.mark.parametrize("account", ["proxy", "operator"])
def test_least_rights(account: str) -> None:
    asked = {**dict.fromkeys(ALLOWED[account], True), **dict.fromkeys(FORBIDDEN[account], False)}
    body = {"apiVersion": "v1", "kind": "List", "items": [review(account, what) for what in asked]}
    answers = kubectl("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}', stdin=json.dumps(body)).split()
    assert dict(zip(asked, (answer == "true" for answer in answers), strict=True)) == asked
