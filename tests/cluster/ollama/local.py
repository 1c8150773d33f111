"""A release of its own with a real Ollama, and a registry of tiny models: namespace `ollama-test`, release `local`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
from cluster.harness import BOOT_SECONDS, Forward, is_ready, until
from deploy import IMAGE
from kubectl import CHART, ROOT, apply, get, kubectl, run

NAMESPACE, RELEASE = "ollama-test", "local"
REGISTRY = "registry:5000"
REPLICA = f"{RELEASE}-ollama-0"
VALUES: dict[str, Any] = {
    "crds": {"install": False},
    "proxy": {"replicas": 1, "podDisruptionBudget": {"enabled": False}, "resources": {"requests": {"cpu": "10m"}}, "shutdown": {"delaySeconds": 1, "drainSeconds": 5}},
    "operator": {"resources": {"requests": {"cpu": "10m"}}},
    "ollama": {
        "enabled": True,
        "insecureRegistries": [REGISTRY],
        "persistence": {"size": "1Gi", "whenScaled": "Delete", "whenDeleted": "Delete"},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "probes": {"readiness": {"periodSeconds": 1}},
    },
}


class Registry:
    """The registry in the cluster, and how it behaves."""

    def __init__(self) -> None:
        self.forward = Forward("service/registry", 5000, NAMESPACE)

    def behaves(self, **how: Any) -> None:
        """See tests/ollama/registry.py."""
        httpx.post(f"{self.forward.url}/_control", json=how, timeout=30).raise_for_status()

    def well(self) -> None:
        """As fast as it goes, and up."""
        self.behaves(bytes_per_second=0, down=False, cut=0)

    def requests(self) -> list[str]:
        """Everything it was asked for."""
        found: list[str] = httpx.get(f"{self.forward.url}/_requests", timeout=30).json()
        return found


class Servers:
    """The Ollama replicas, asked directly."""

    def __init__(self) -> None:
        self.forwards: dict[str, Forward] = {}

    def call(self, name: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request to one replica, as it is now."""
        uid = get("pod", name, namespace=NAMESPACE)["metadata"]["uid"]
        forward = self.forwards.setdefault(uid, Forward(f"pod/{name}", 11434, NAMESPACE))
        return httpx.request(method, forward.url + path, json=body, timeout=60)

    def models(self, name: str = REPLICA) -> set[str]:
        """What a replica holds, without the registry's name."""
        return {model["name"].removeprefix(f"{REGISTRY}/tiny/") for model in self.call(name, "GET", "/api/tags").json()["models"]}

    def disk(self, name: str = REPLICA) -> int:
        """KiB on a replica's disk."""
        return int(kubectl("exec", name, "--", "du", "-sk", "/var/lib/ollama/models/blobs", namespace=NAMESPACE).split()[0])


def install(**ollama: Any) -> None:
    """`helm upgrade --install`, with Ollama's values changed."""
    values = {**VALUES, "ollama": {**VALUES["ollama"], **ollama}}
    operator = run("docker", "image", "inspect", "--format", "{{.Id}}", "modelroute/operator:0.1.0").strip().removeprefix("sha256:")[:12]
    values["operator"] = {**VALUES["operator"], "podAnnotations": {"image": operator}}
    command = ("helm", "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", "--values", "-")
    run(*command, "--wait", "--timeout", "6m", stdin=json.dumps(values), timeout=420)


def start_registry() -> None:
    """The registry from its own files. Two Services name it, because Ollama fetches blobs from another host only."""
    files = {path.name: path.read_text() for path in sorted((ROOT / "tests/ollama").glob("*.py"))}
    labels = {"app": "registry"}
    container = {
        "name": "registry", "image": IMAGE, "command": ["python3", "/registry/registry.py", "5000", "registry-blobs:5000"],
        "volumeMounts": [{"name": "files", "mountPath": "/registry"}], "readinessProbe": {"tcpSocket": {"port": 5000}, "periodSeconds": 1},
    }  # fmt: skip
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0, "volumes": [{"name": "files", "configMap": {"name": "registry"}}]}
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:12]
    template = {"metadata": {"labels": labels, "annotations": {"files": digest}}, "spec": pod}
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"selector": labels, "ports": [{"port": 5000}]}}
    apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "registry"}, "data": files},
        {**service, "metadata": {"name": "registry"}},
        {**service, "metadata": {"name": "registry-blobs"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "registry"}, "spec": {"selector": {"matchLabels": labels}, "template": template}},
        namespace=NAMESPACE,
    )
    kubectl("rollout", "status", "deployment/registry", "--timeout=180s", namespace=NAMESPACE)


def model(name: str, **ollama: Any) -> dict[str, Any]:
    """A backend with a model of the registry, which goes with the test."""
    return {"name": "default", "provider": "ollama", "model": f"{REGISTRY}/tiny/{name}", "ollama": {"deletionPolicy": "Delete", **ollama}}


def pod_ready(name: str, but: str = "") -> None:
    """Waits until a pod, another than that of the uid `but`, is ready."""
    until(f"{name} is ready", lambda: is_ready(pod := get("pod", name, namespace=NAMESPACE)) and pod["metadata"]["uid"] != but, BOOT_SECONDS)
