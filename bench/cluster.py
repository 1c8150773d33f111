"""The bench's own namespace on the cluster of this checkout: release, simulator, and the pod that measures."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import zipapp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from deploy import IMAGE, VALUES  # noqa: E402
from kubectl import CHART, ROOT, CommandError, apply, get, kubectl, run  # noqa: E402

NAMESPACE = RELEASE = "bench"
SIMULATOR = f"http://simulator.{NAMESPACE}:8080"
READS_ITSELF = "import json,sys; s=open('/proc/1/stat').read().rsplit(')',1)[1].split(); r=open('/proc/1/smaps_rollup').read(); print(s[11], s[12], r.split('Rss:')[1].split()[0])"
TICKS_PER_SECOND = 100


def pod(name: str, command: list[str], *, files: str = "") -> dict[str, Any]:
    """A pod of the LiteLLM image, which has Python and aiohttp."""
    container: dict[str, Any] = {"name": name, "image": IMAGE, "command": command}
    spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 1, "enableServiceLinks": False}
    if files:
        container["volumeMounts"] = [{"name": "files", "mountPath": "/files"}]
        spec["volumes"] = [{"name": "files", "configMap": {"name": files}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def simulator() -> list[dict[str, Any]]:
    """A simulator of our own: others may change the rules of the shared one."""
    files = {path.name: path.read_text() for path in sorted((ROOT / "tests/simulator").glob("*.py"))}
    command = ["python3", "/files", "--host", "0.0.0.0", "--port", "8080", "--no-record"]
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "simulator"}, "data": files},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "simulator"}, "spec": {"selector": {"app": "simulator"}, "ports": [{"port": 8080}]}},
        pod("simulator", command, files="simulator"),
    ]


@contextlib.contextmanager
def deployed(*, replicas: int = 2) -> Iterator[None]:
    """Everything up for as long as the block runs, then all of it gone."""
    grant = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}],
    }  # fmt: skip
    remove()
    try:
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, grant, namespace=NAMESPACE)
        kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s", namespace=NAMESPACE)
        apply(*simulator(), pod("client", ["sleep", "infinity"]), namespace=NAMESPACE)
        install = ("helm", "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--set", "crds.install=false", "--set", f"proxy.replicas={replicas}")
        run(*install, *VALUES, "--wait", "--timeout", "6m", timeout=420)
        kubectl("wait", "--for=condition=Ready", "pod/simulator", "pod/client", "--timeout=60s", namespace=NAMESPACE)
        _load()
        measure("prepare")
        yield
    finally:
        remove()


def remove() -> None:
    """The operator first, so that nobody reports on routes that go. Returns when all is gone: what is measured next is not slowed down by it."""
    if not kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name", namespace="default"):
        return
    with contextlib.suppress(CommandError):
        run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, timeout=300)
    kubectl("delete", "clusterrolebinding", NAMESPACE, "--ignore-not-found", namespace="default")
    kubectl("delete", "--raw", f"/apis/modelroute.dev/v1alpha1/namespaces/{NAMESPACE}/modelroutes", namespace=NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--timeout=300s", namespace="default", timeout=320)


def _load() -> None:
    """Brings `inside/` into the pod, as one file through stdin."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "bench.pyz"
        zipapp.create_archive(HERE / "inside", archive, filter=lambda path: path.suffix == ".py")
        encoded = base64.b64encode(archive.read_bytes()).decode()
    kubectl("exec", "-i", "client", "--", "sh", "-c", "base64 -d > /tmp/bench.pyz", stdin=encoded, namespace=NAMESPACE)


def measure(what: str, *, timeout: float = 900, **arguments: Any) -> Any:
    """Runs one command of inside/ in the pod; its result."""
    rollout = what == "rollout"
    given = {"simulator": SIMULATOR} if what != "clear" else {}
    given |= {"release": RELEASE} if what in {"change", "rotation", "load"} else {}
    given |= {"image": IMAGE} if rollout else {}
    task = json.dumps({"do": what, **given, **arguments})
    try:
        return json.loads(kubectl("exec", "client", "--", "python3", "/tmp/bench.pyz", task, namespace=NAMESPACE, timeout=timeout))
    except subprocess.TimeoutExpired:
        raise CommandError(f"bench: {what} took more than {timeout:.0f} s") from None


def usage(deployment: str) -> tuple[float, float]:
    """CPU seconds used so far, and resident MB, of the first process of the deployment's pod."""
    user, system, kilobytes = kubectl("exec", f"deployment/{deployment}", "--", "python3", "-c", READS_ITSELF, namespace=NAMESPACE).split()
    return (int(user) + int(system)) / TICKS_PER_SECOND, int(kilobytes) / 1024


def written() -> dict[str, str]:
    """What every write changes: the versions of all that the operator writes."""
    kinds = "modelroutes,configmaps,secrets,events"
    template = '{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{"\\n"}{end}'
    lines = kubectl("get", kinds, "-o", f"jsonpath={template}", namespace=NAMESPACE).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


def requests_to_write() -> int:
    """How many writes of ModelRoutes and their statuses the API server has been asked for: also those that change nothing."""
    lines = kubectl("get", "--raw", "/metrics", namespace="default").splitlines()
    wanted = [line for line in lines if line.startswith("apiserver_request_total{") and 'group="modelroute.dev"' in line]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in wanted if not any(f'verb="{verb}"' in line for verb in ("GET", "LIST", "WATCH"))))


def environment_of_proxy() -> dict[str, str]:
    """The plain environment variables that the chart gives LiteLLM, for a stock one beside it."""
    containers = get("deployment", f"{RELEASE}-proxy", namespace=NAMESPACE)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in containers[0]["env"] if "value" in entry and not entry["name"].startswith("MODELROUTE")}


def version() -> str:
    """The API server's."""
    return str(json.loads(kubectl("version", "-o", "json", namespace="default"))["serverVersion"]["gitVersion"])
