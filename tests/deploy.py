"""`make deploy`: the provider simulator, and the chart as release `litellm` in namespace `ai`, on this checkout's cluster."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kubectl import CHART, NAMESPACE, RELEASE, ROOT, CommandError, apply, kubectl, run

SIMULATOR = "simulator"
"""Namespace, Deployment and Service of the simulator."""
IMAGE = "ghcr.io/berriai/litellm:v1.108.7"
"""It has Python and aiohttp, which is all that the simulator needs."""
VALUES = (
    "--set", "proxy.probes.readiness.periodSeconds=1", "--set", "proxy.shutdown.delaySeconds=2",
    "--set", "proxy.resources.requests.cpu=20m", "--set", "operator.resources.requests.cpu=10m",
)  # fmt: skip
"""For two cores: probes that notice sooner, and room for a third replica and a second release. All else is as shipped."""


def step(what: str, do: Callable[[], object]) -> None:
    """Says what is done and how long it took."""
    started = time.monotonic()
    print(f"  {what} ...", flush=True)
    do()
    print(f"  {what}: {time.monotonic() - started:.0f} s", flush=True)


def simulator() -> None:
    """The simulator from its own files, in a namespace of its own."""
    kubectl("apply", "-f", "-", stdin=f'{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{SIMULATOR}"}}}}', namespace="default")
    files = {path.name: path.read_text() for path in sorted(Path(ROOT / "tests/simulator").glob("*.py"))}
    labels = {"app": SIMULATOR}
    container = {
        "name": SIMULATOR, "image": IMAGE, "command": ["python3", "/sim", "--host", "0.0.0.0", "--port", "8080"],
        "ports": [{"containerPort": 8080}], "volumeMounts": [{"name": "files", "mountPath": "/sim"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }  # fmt: skip
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1, "volumes": [{"name": "files", "configMap": {"name": SIMULATOR}}]}
    template = {"metadata": {"labels": labels, "annotations": {"files": str(hash_of(files))}}, "spec": pod}
    apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SIMULATOR}, "data": files},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SIMULATOR}, "spec": {"selector": labels, "ports": [{"port": 8080}]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": SIMULATOR}, "spec": {"selector": {"matchLabels": labels}, "template": template}},
        namespace=SIMULATOR,
    )  # fmt: skip
    kubectl("rollout", "status", "deployment/simulator", "--timeout=180s", namespace=SIMULATOR)


def hash_of(files: dict[str, str]) -> str:
    """Changed files roll the pod."""
    return hashlib.sha256("".join(files[name] for name in sorted(files)).encode()).hexdigest()[:12]


def release() -> None:
    """`helm install`, or an upgrade of what is there."""
    # The tag stays while the content changes: another content is another pod.
    operator = run("docker", "image", "inspect", "--format", "{{.Id}}", "modelroute/operator:0.1.0").strip().removeprefix("sha256:")[:12]
    rolls = ("--set-string", f"operator.podAnnotations.image={operator}")
    command = (
        "helm",
        "upgrade",
        "--install",
        RELEASE,
        str(CHART),
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--take-ownership",
        *VALUES,
        *rolls,
        "--wait",
        "--timeout",
        "6m",
    )
    run(*command, timeout=420)


def main() -> int:
    """Both, with what to do where it fails."""
    try:
        step("provider simulator", simulator)
        step(f"helm upgrade --install {RELEASE} charts/litellm-proxy --namespace {NAMESPACE}", release)
    except CommandError as error:
        print(f"\ndeploy failed: {error}\n", file=sys.stderr)
        with contextlib.suppress(CommandError):  # an API server that does not answer has been said above
            for what in (("get", "pods", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp"), ("logs", "-l", "app.kubernetes.io/component=operator", "--tail=20")):
                print(kubectl(*what), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
