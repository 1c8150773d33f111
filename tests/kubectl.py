"""kubectl and helm against this checkout's cluster, as a user would call them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KUBECONFIG = ROOT / ".kube/config"
RELEASE, NAMESPACE = "litellm", "ai"
CHART = ROOT / "charts/litellm-proxy"


class CommandError(Exception):
    """A command failed; the text is what it said."""


def run(*command: str, stdin: str | None = None, timeout: float = 300) -> str:
    """Runs a command of .kube/bin. Returns its output.

    Raises:
        CommandError: with its error output.

    """
    environment = {**os.environ, "KUBECONFIG": str(KUBECONFIG), "PATH": f"{ROOT / '.kube/bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None, namespace: str = NAMESPACE, timeout: float = 300) -> str:
    """Kubectl in the release's namespace."""
    return run("kubectl", "--namespace", namespace, *arguments, stdin=stdin, timeout=timeout)


def get(kind: str, name: str = "", *arguments: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """One object, or a list of them, as JSON."""
    found: dict[str, Any] = json.loads(kubectl("get", kind, *([name] if name else []), *arguments, "-o", "json", namespace=namespace))
    return found


def apply(*objects: dict[str, Any], namespace: str = NAMESPACE) -> str:
    """Kubectl apply of objects given as data."""
    body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    return kubectl("apply", "-f", "-", stdin=json.dumps(body), namespace=namespace)


def secret(name: str, values: dict[str, str], namespace: str = NAMESPACE) -> None:
    """Creates or replaces a Secret."""
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}, namespace=namespace)
