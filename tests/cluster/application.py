"""An application in the cluster: what a Service's clients see, no port-forward between."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.harness import SECONDS
from deploy import IMAGE
from kubectl import KUBECONFIG, NAMESPACE, RELEASE, ROOT, apply, kubectl

CLIENT = "cluster-tests-client"
"""Name of the pod and of its ConfigMap."""


class Client:
    """A pod that has the official `openai` client."""

    def start(self) -> None:
        """Starts the pod."""
        files = {path.name: path.read_text() for path in (ROOT / "tests/ask.py", Path(__file__).parent / "load.py")}
        key = {"name": "LITELLM_MASTER_KEY", "valueFrom": {"secretKeyRef": {"name": f"{RELEASE}-master-key", "key": "LITELLM_MASTER_KEY"}}}
        container = {"name": "client", "image": IMAGE, "command": ["sleep", "infinity"], "env": [key], "volumeMounts": [{"name": "files", "mountPath": "/client"}]}
        pod = {"containers": [container], "terminationGracePeriodSeconds": 0, "volumes": [{"name": "files", "configMap": {"name": CLIENT}}]}
        self.stop()
        apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CLIENT}, "data": files},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": CLIENT}, "spec": pod},
        )
        kubectl("wait", "--for=condition=Ready", f"pod/{CLIENT}", "--timeout=120s")

    def stop(self) -> None:
        """Removes it."""
        kubectl("delete", "pod,configmap", CLIENT, "--ignore-not-found")

    def run(self, *arguments: str) -> str:
        """Runs one of its scripts."""
        return kubectl("exec", CLIENT, "--", "python3", *arguments)

    @contextlib.contextmanager
    def load(self, model: str, expected: str, workers: int) -> Iterator[dict[str, Any]]:
        """Asks through the Service from several threads for as long as the block runs; then `asked` and `failures` are filled in."""
        command = [str(ROOT / ".kube/bin/kubectl"), "-n", NAMESPACE, "exec", "-i", CLIENT, "--", "python3", "/client/load.py"]
        command += [f"http://{RELEASE}:4000", model, expected, str(workers)]
        environment = {**os.environ, "KUBECONFIG": str(KUBECONFIG)}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        result: dict[str, Any] = {}
        try:
            yield result
        except BaseException as failure:
            said, error = process.communicate("", timeout=SECONDS)
            failure.add_note(f"the load ended with {process.returncode}: {said[-2000:]}{error}")
            raise
        said, error = process.communicate("", timeout=SECONDS)
        assert process.returncode == 0, error
        result.update(json.loads(said))
