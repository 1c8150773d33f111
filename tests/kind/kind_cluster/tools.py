"""Go builds: kind, helm and kubectl for the person, and what a node image is made of."""

from __future__ import annotations

import re
from pathlib import Path

from . import checkout, steps

RECIPE = checkout.RECIPE / "node"
GO_SOURCES = ("go.mod", "go.sum", "*/*.go")
TOOLS = ("sigs.k8s.io/kind", "helm.sh/helm/v3/cmd/helm", "k8s.io/kubernetes/cmd/kubectl", "./runc")
NODE_PARTS = ("./kube", "./dns", "./pause", "./runc", "go.etcd.io/etcd/server/v3")
# A build of its own: beside kind's, its logrus is imported under two spellings of one path.
PROVISIONER = "github.com/rancher/local-path-provisioner"
REMEDY = "read the compiler's message above; an unreachable Go module proxy is the usual cause, then run it again"


def kubernetes_version() -> str:
    """The version that go.mod pins, like v1.34.4."""
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (RECIPE / "go.mod").read_text())
    assert found is not None
    return found.group(1)


def go_is_unfit(said: str) -> bool:
    """True unless `go version` names 1.21 or newer, the first that fetches the toolchain go.mod asks for."""
    found = re.search(r"go1\.(\d+)", said)
    return found is None or int(found.group(1)) < 21


def build(current: steps.Step, into: Path, *packages: str) -> None:
    """Compile packages of the recipe's module into the folder `into`."""
    ok, said = steps.attempt("go", "version")
    if not ok or go_is_unfit(said):
        raise steps.StepError(
            f"{current.text}: Go 1.21 or newer is needed, found {said if ok else 'none'}",
            "install Go (Debian 13: apt-get install golang-go; Debian 12: the same from bookworm-backports) and run it again",
        )
    version = kubernetes_version()
    stamp = {
        "k8s.io/component-base/version.gitVersion": version,
        "k8s.io/component-base/version.gitMajor": version[1:].split(".")[0],
        "k8s.io/component-base/version.gitMinor": version[1:].split(".")[1],
        "k8s.io/client-go/pkg/version.gitVersion": version,
    }
    flags = "-s -w " + " ".join(f"-X {name}={value}" for name, value in stamp.items())
    command = ("go", "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", f"{into}/", *packages)
    steps.run(current, *command, cwd=RECIPE, env={"CGO_ENABLED": "0"}, remedy=REMEDY, timeout=3600)


def build_node_parts(into: Path) -> None:
    """Compile every binary of a node image."""
    with steps.step("go", f"compile Kubernetes {kubernetes_version()}, etcd, CoreDNS (10 min when Go's cache is cold)") as current:
        build(current, into, *NODE_PARTS)
        build(current, into, PROVISIONER)
        current.outcome = f"compiled Kubernetes {kubernetes_version()}, etcd, CoreDNS"


def module_folder(module: str) -> Path:
    """Where Go keeps the source of a module of the recipe."""
    with steps.step("go", f"find the source of {module}") as current:
        return Path(steps.run(current, "go", "list", "-m", "-f", "{{.Dir}}", module, cwd=RECIPE, remedy=REMEDY).strip())


def kept_in() -> Path:
    """The folder of kind, helm, kubectl and the relaxed runc, built or not."""
    return checkout.CACHE / "bin" / checkout.digest(checkout.digest_files(RECIPE, GO_SOURCES), *TOOLS)


def ensure() -> Path:
    """The folder of the tools, built once for this machine, and linked at `.kube/bin` of this checkout."""
    folder = kept_in()
    if not folder.is_dir():
        text = "compile kind, helm and kubectl (3 min when Go's cache is cold)"
        with checkout.work_folder() as work, steps.step("go", text) as current:
            build(current, work / "bin", *TOOLS)
            folder.parent.mkdir(parents=True, exist_ok=True)
            (work / "bin").rename(folder)
            current.outcome = "compiled kind, helm and kubectl"
    link = checkout.KUBE / "bin"
    if not link.is_symlink() or link.readlink() != folder:
        checkout.KUBE.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
    return folder
