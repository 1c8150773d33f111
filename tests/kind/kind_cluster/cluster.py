"""The kind cluster of this checkout: keep it while it answers, replace it when it does not, leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

from . import checkout, engine, steps

READY_TIMEOUT = 180


def existing() -> list[str]:
    """The names of the kind clusters that the engine knows."""
    label = "io.x-k8s.kind.cluster"
    ok, output = steps.attempt("docker", "ps", "--all", "--filter", f"label={label}", "--format", f'{{{{.Label "{label}"}}}}')
    return sorted(set(output.split())) if ok else []


def name_here() -> str:
    """The name of this checkout's cluster, there or not."""
    known, there = checkout.owners(), existing()
    mine = checkout.cluster_in(checkout.KUBECONFIG)
    if mine in there and mine not in known:
        known[mine] = checkout.REPO
    return checkout.choose_name(checkout.REPO, known, there)


def node_of(name: str) -> str:
    """The container that is the cluster's node."""
    return f"{name}-control-plane"


def kubectl(tools: Path, *words: str, timeout: float = 20) -> tuple[bool, str]:
    """One kubectl command on this checkout's cluster: (it succeeded, what it said)."""
    return steps.attempt(tools / "kubectl", "--kubeconfig", checkout.KUBECONFIG, *words, timeout=timeout)


def fault(tools: Path, name: str, image: str) -> str:
    """Why the cluster cannot be used as it is, empty when it can."""
    format_ = "{{.State.Status}} {{.Image}}"
    ok, output = steps.attempt("docker", "container", "inspect", "--format", format_, node_of(name))
    if not ok:
        return "its node container is gone"
    state, node_image = output.split()
    if state != "running":
        return f"its node container is {state}"
    if node_image != engine.docker("image", "inspect", "--format", "{{.Id}}", image):
        return f"its node is not of the image {image}"
    ok, said = steps.attempt(tools / "kind", "export", "kubeconfig", "--name", name, "--kubeconfig", checkout.KUBECONFIG)
    if not ok:
        return f"kind cannot read its kubeconfig ({said.splitlines()[-1]})"
    if not steps.until(15, lambda: kubectl(tools, "get", "--raw", "/readyz", "--request-timeout=3s")[0], 0.5):
        return "its API server did not answer for 15 s"
    return ""


def ensure(tools: Path, name: str, image: str) -> None:
    """Have the cluster, Ready: the one that is there if it is sound, else a new one."""
    found = name in existing()
    if found:
        with steps.step("cluster", f"look at the cluster {name}") as current:
            reason = fault(tools, name, image)
            current.outcome = f"{name} is there" + (f", but {reason}: to be replaced" if reason else " and answers")
        if not reason and await_ready(tools, may_fail=True):
            checkout.record_owner(name, checkout.REPO)
            return
        delete(tools, name)
    create(tools, name, image)
    await_ready(tools)


def create(tools: Path, name: str, image: str) -> None:
    """Create the cluster, its kubeconfig at `.kube/config`."""
    with steps.step("cluster", f"create the kind cluster {name} from {image}") as current:
        checkout.KUBE.mkdir(exist_ok=True)
        checkout.KUBECONFIG.unlink(missing_ok=True)
        checkout.record_owner(name, checkout.REPO)
        command: list[str | Path] = [tools / "kind", "create", "cluster", "--name", name, "--image", image]
        command += ["--config", checkout.RECIPE / "kind.yaml", "--kubeconfig", checkout.KUBECONFIG]
        remedy = f"read the last lines above; `docker ps -a`, free memory (`free -h`) and {engine.LOG} say more"
        steps.run(current, *command, remedy=remedy, timeout=600)
        # Its checkout's next `up` starts or replaces it; a restarted engine must not start other checkouts' clusters.
        engine.docker("update", "--restart=no", node_of(name))
        current.outcome = f"created the kind cluster {name} from {image}"


def await_ready(tools: Path, *, may_fail: bool = False) -> bool:
    """Wait until node, DNS, storage and the default service account are there.

    Returns:
        False when they are not there in time and `may_fail`.

    Raises:
        StepError: they are not there in time.
    """
    waits = (
        ("wait", "node", "--all", "--for=condition=Ready"),
        ("--namespace=kube-system", "rollout", "status", "deployment/coredns"),
        ("--namespace=local-path-storage", "rollout", "status", "deployment/local-path-provisioner"),
        ("wait", "--for=create", "serviceaccount/default"),
    )
    with steps.step("cluster", "wait for node, DNS, storage and service account") as current:
        for wait in waits:
            timeout = 30 if may_fail else READY_TIMEOUT
            ok, said = kubectl(tools, *wait, f"--timeout={timeout}s", timeout=timeout + 10)
            if not ok and may_fail:
                current.outcome = f"`kubectl {' '.join(wait)}` failed: the cluster is to be replaced"
                return False
            if not ok:
                pods = kubectl(tools, "get", "pods", "--all-namespaces", "--output=wide")[1]
                raise steps.StepError(
                    f"the cluster was created but is not Ready: `kubectl {' '.join(wait)}`",
                    "see the pods above and run it again; `docker stats` shows whether the machine is overloaded",
                    f"{said}\n{pods}",
                )
        current.outcome = "node, DNS, storage and service account are ready"
    return True


def delete(tools: Path, name: str) -> None:
    """Delete a cluster and the record of its owner."""
    with steps.step("cluster", f"delete the cluster {name}") as current:
        unused = checkout.CACHE / "unused-kubeconfig"  # kind would otherwise edit the person's own
        command = (tools / "kind", "delete", "cluster", "--name", name, "--kubeconfig", unused)
        steps.run(current, *command, remedy="see `docker ps -a`", timeout=120)
        unused.unlink(missing_ok=True)
        checkout.forget_owner(name)
        current.outcome = f"deleted the cluster {name}"


def delete_abandoned(tools: Path) -> None:
    """Delete the clusters of checkouts that no longer exist."""
    owners = checkout.owners()
    for name in checkout.abandoned(owners):
        with steps.step("cluster", f"{name} belongs to {owners[name]}, which is gone: to be deleted"):
            pass
        delete(tools, name)


def remove_leftovers() -> None:
    """Remove what a deleted cluster leaves: the kubeconfig, and kind's network when no cluster needs it."""
    for file in (checkout.KUBECONFIG, checkout.KUBE / "config.lock", checkout.KUBE / "bin"):
        file.unlink(missing_ok=True)
    if checkout.KUBE.is_dir() and not any(checkout.KUBE.iterdir()):
        checkout.KUBE.rmdir()
    if not existing():
        steps.attempt("docker", "network", "rm", "kind")


def load(name: str, images: list[str]) -> None:
    """Bring images of the engine into the node, those that it does not have yet."""
    ok, listed = steps.attempt("docker", "exec", node_of(name), "ctr", "--namespace=k8s.io", "images", "list")
    if not ok:
        raise steps.StepError(f"the node of the cluster {name} does not run", "bring it up: cluster.py up", listed)
    there = targets(listed)
    wanted = [image for image in images if not is_loaded(image, there)]
    with steps.step("load", f"load {', '.join(wanted)}" if wanted else "the node has every image") as current:
        if wanted:
            into_node = ["docker", "exec", "--interactive", node_of(name), "ctr", "--namespace=k8s.io", "images", "import", "-"]
            steps.pipe(current, ["docker", "save", *wanted], into_node, remedy="is the disk full? see `df -h`")


def targets(listed: str) -> dict[str, str]:
    """What `ctr images list` says: reference (a name, or the id of an image) to the digest it stands for."""
    return {line.split()[0]: line.split()[2] for line in listed.splitlines()[1:] if len(line.split()) > 2}


def is_loaded(image: str, there: dict[str, str]) -> bool:
    """True when the node's image of this name is the engine's: Kubernetes also lists each image under its id."""
    name = image if "." in image.partition("/")[0] else f"docker.io/{image}"
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", image)
    return name in there and there[name] in (there.get(identity), identity)


def state(tools: Path, name: str) -> dict[str, str]:
    """The cluster in a few words, for `status`."""
    ok, output = kubectl(tools, "get", "nodes", "--output=json", "--request-timeout=5s")
    nodes = json.loads(output)["items"] if ok else []
    ready = [c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"]
    return {
        "cluster": name,
        "ready": "yes" if ready and set(ready) == {"True"} else "no",
        "version": ", ".join(node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes) or "-",
        "kubeconfig": str(checkout.KUBECONFIG),
        "tools": str(tools),
        "cache": str(checkout.CACHE),
    }
