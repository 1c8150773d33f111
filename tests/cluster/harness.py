"""What the tests on the cluster share: the proxies one by one, the simulator, a test's own routes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from deploy import SIMULATOR
from kubectl import KUBECONFIG, NAMESPACE, RELEASE, ROOT, CommandError, apply, get, kubectl
from openai import OpenAI, OpenAIError

T = TypeVar("T")
SECONDS = 60.0
"""Longest wait for anything that takes milliseconds on an idle machine."""
BOOT_SECONDS = 240.0
"""Longest wait for new pods."""
TEST = "modelroute.dev/test"
"""Label of what a test makes in the release's namespace."""
TRIED_AGAIN = (AssertionError, CommandError, OpenAIError, httpx.HTTPError, LookupError)


def until(what: str, check: Callable[[], T], seconds: float = SECONDS) -> T:
    """Asks until the answer is true, and returns it; after the deadline the test fails with `what` and the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := check():
                return answer
            last: object = answer
        except TRIED_AGAIN as error:
            last = error
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last: {last!r}"
        time.sleep(0.05)


def versions(kind: str, *names: str) -> dict[str, str]:
    """Resource version of each object of a kind: it rises with every write."""
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in get(kind)["items"] if not names or item["metadata"]["name"] in names}


def operator_restarts() -> dict[str, int]:
    """How often each operator pod's container has ended."""
    pods = get("pods", "", "-l", f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator")["items"]
    return {pod["metadata"]["uid"]: status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ())}


class Forward:
    """`kubectl port-forward`, started again when it has ended: one broken connection ends it."""

    def __init__(self, target: str, port: int, namespace: str = NAMESPACE) -> None:
        self.command = [str(ROOT / ".kube/bin/kubectl"), "-n", namespace, "port-forward", target, f":{port}"]
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    @property
    def url(self) -> str:
        """Where it listens."""
        if self.process is None or self.process.poll() is not None:
            environment = {**os.environ, "KUBECONFIG": str(KUBECONFIG)}
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            assert self.process.stdout
            assert self.process.stderr
            line = self.process.stdout.readline()  # Forwarding from 127.0.0.1:43210 -> 4000
            if not line:
                raise CommandError(self.process.stderr.read())
            self.address = f"http://{line.split()[2]}"
        return self.address

    def close(self) -> None:
        """Ends it."""
        if self.process:
            self.process.terminate()
            self.process.communicate()


@dataclass
class Proxy:
    """One proxy pod, asked directly: a Service would choose which."""

    name: str
    uid: str
    restarts: int
    forward: Forward
    key: str
    token: str

    @property
    def openai(self) -> OpenAI:
        """The official client."""
        return OpenAI(base_url=f"{self.forward.url}/v1", api_key=self.key, max_retries=0, timeout=30)

    def chat(self, model: str, text: str = "Hello", **more: Any) -> str:
        """What the model says."""
        return self.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more).choices[0].message.content or ""

    def http(self, path: str, **more: Any) -> httpx.Response:
        """A request without the client's interpretation."""
        return httpx.request(more.pop("method", "GET"), self.forward.url + path, headers={"Authorization": f"Bearer {self.key}"}, timeout=30, **more)

    def names(self) -> set[str]:
        """What /v1/models lists."""
        return {entry["id"] for entry in self.http("/v1/models").json()["data"]}

    def digest(self) -> str:
        """The configuration it serves."""
        answer = httpx.get(f"{self.forward.url}/modelroutes/status", headers={"Authorization": f"Bearer {self.token}"}, timeout=30).json()
        return str(answer["digest"])


def is_ready(pod: dict[str, Any]) -> bool:
    """As a Service sees it."""
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


class Proxies:
    """The proxy pods of one release."""

    def __init__(self, release: str = RELEASE, namespace: str = NAMESPACE) -> None:
        self.release, self.namespace = release, namespace
        self.forwards: dict[str, Forward] = {}

    @property
    def keys(self) -> dict[str, str]:
        """The master key and the status token."""
        data = get("secret", f"{self.release}-master-key", namespace=self.namespace)["data"]
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    def pods(self) -> list[dict[str, Any]]:
        """The pods, ready or not."""
        selector = f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component=proxy"
        found: list[dict[str, Any]] = get("pods", "", "-l", selector, namespace=self.namespace)["items"]
        return found

    def ready(self) -> list[Proxy]:
        """The ready ones."""
        keys, found = self.keys, []
        for pod in filter(is_ready, self.pods()):
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            forward = self.forwards.setdefault(uid, Forward(f"pod/{name}", 4000, self.namespace))
            restarts = pod["status"]["containerStatuses"][0]["restartCount"]
            found.append(Proxy(name, uid, restarts, forward, keys["LITELLM_MASTER_KEY"], keys["MODELROUTE_STATUS_TOKEN"]))
        assert found, f"release {self.release} has no ready proxy pod: kubectl -n {self.namespace} get pods"
        return found

    @contextlib.contextmanager
    def untouched(self) -> Iterator[list[Proxy]]:
        """Every pod is after the block what it was before: same UID, same restart count. Gives them."""
        before = self.ready()
        yield before
        assert {(p.uid, p.restarts) for p in self.ready()} == {(p.uid, p.restarts) for p in before}

    def digest(self) -> str:
        """The configuration that the operator published."""
        index = json.loads(get("configmap", f"{self.release}-routes", namespace=self.namespace)["data"]["index.json"])
        return str(index["digest"])

    def close(self) -> None:
        """Ends the forwards."""
        for forward in self.forwards.values():
            forward.close()


class Simulator:
    """Control of the simulated providers."""

    def __init__(self) -> None:
        self.forward = Forward(f"service/{SIMULATOR}", 8080, SIMULATOR)

    def call(self, method: str, path: str = "", body: Any = None, **query: Any) -> Any:
        """One request to `/_sim`."""
        answer = httpx.request(method, f"{self.forward.url}/_sim{path}", json=body, params=query, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @contextlib.contextmanager
    def rule(self, name: str, **fields: Any) -> Iterator[None]:
        """Requests that match go wrong for as long as the block runs."""
        self.call("PUT", f"/rules/{name}", fields)
        try:
            yield
        finally:
            self.call("DELETE", f"/rules/{name}")

    def received(self, **query: Any) -> list[dict[str, Any]]:
        """The requests that came in, the newest last; `provider`, `model`, `after` an ordinal."""
        found: list[dict[str, Any]] = self.call("GET", "/requests", **query)["requests"]
        return found


def backend(model: str, provider: str = "azure", **more: Any) -> dict[str, Any]:
    """A backend with the guide's Secret of its provider. At azure every deployment exists: `azure <model> says: …`."""
    return {"name": "default", "provider": provider, "model": model, "credentialsSecretRef": {"name": provider}, **more}


def keyed(model: str, secret: str, key: str = "api_key") -> dict[str, Any]:
    """An OpenAI backend with one key of a Secret of its own."""
    base = f"http://{SIMULATOR}.{SIMULATOR}:8080/openai/v1"
    return {"name": "default", "provider": "openai", "model": model, "apiBase": base, "apiKeySecretRef": {"name": secret, "key": key}}


@dataclass
class Routes:
    """The routes and Secrets of one test, in the release's namespace, gone after it."""

    namespace: str = NAMESPACE
    made: str = field(default_factory=lambda: os.urandom(3).hex())

    def name(self, word: str) -> str:
        """A name that no other test has."""
        return f"{word}-{self.made}"

    def body(self, word: str, *backends: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        """A ModelRoute."""
        meta = {"name": self.name(word), "labels": {TEST: self.made}, "annotations": annotations or {}}
        return {"apiVersion": "modelroute.dev/v1alpha1", "kind": "ModelRoute", "metadata": meta, "spec": {"backends": list(backends), **spec}}

    def apply(self, word: str, *backends: dict[str, Any], **spec: Any) -> str:
        """`kubectl apply` of one. Returns its name."""
        apply(self.body(word, *backends, **spec), namespace=self.namespace)
        return self.name(word)

    def ready(self, word: str, *backends: dict[str, Any], **spec: Any) -> str:
        """The same, and waits as a user would."""
        name = self.apply(word, *backends, **spec)
        self.wait(name)
        return name

    def wait(self, *names: str, seconds: float = SECONDS) -> None:
        """`kubectl wait --for=condition=Ready`."""
        kubectl("wait", "--for=condition=Ready", *(f"modelroute/{name}" for name in names), f"--timeout={seconds:.0f}s", namespace=self.namespace)

    def secret(self, word: str, **values: str) -> str:
        """Creates or replaces a Secret. Returns its name."""
        meta = {"name": self.name(word), "labels": {TEST: self.made}}
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values}, namespace=self.namespace)
        return self.name(word)

    def delete(self, kind: str, *names: str) -> None:
        """`kubectl delete`."""
        kubectl("delete", kind, *names, namespace=self.namespace)

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        """One condition of a route's present generation."""
        body = get("modelroute", name, namespace=self.namespace)
        found = {c["type"]: c for c in body.get("status", {}).get("conditions", ())}
        condition: dict[str, Any] = found[kind]
        assert condition["observedGeneration"] == body["metadata"]["generation"], condition
        return condition

    def until(self, name: str, reason: str, kind: str = "Ready") -> str:
        """Waits for a reason. Returns the message."""
        return str(until(f"{kind} of {name} says {reason}", lambda: (c := self.condition(name, kind))["reason"] == reason and c)["message"])

    def gone(self) -> None:
        """Removes what was made."""
        kubectl("delete", "modelroutes,secrets", "-l", f"{TEST}={self.made}", namespace=self.namespace)
