"""`make demo`: the guide's routes on the cluster, one answered request of each kind through the Service, and the table."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import ask
import providers
from deploy import SIMULATOR
from kubectl import KUBECONFIG, NAMESPACE, RELEASE, ROOT, get, kubectl, secret


def shown(*arguments: str) -> None:
    """Runs kubectl as the user would, showing both."""
    print(f"\n$ kubectl -n {NAMESPACE} {' '.join(arguments)}", flush=True)
    print(kubectl(*arguments), end="", flush=True)


def master_key() -> str:
    """The key that clients send."""
    return base64.b64decode(get("secret", f"{RELEASE}-master-key")["data"]["LITELLM_MASTER_KEY"]).decode()


@contextlib.contextmanager
def forwarded(service: str, port: int, namespace: str = NAMESPACE) -> Iterator[str]:
    """`kubectl port-forward` to a Service, for as long as the block runs; its address."""
    command = [str(ROOT / ".kube/bin/kubectl"), "-n", namespace, "port-forward", f"service/{service}", f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "KUBECONFIG": str(KUBECONFIG)})
    try:
        assert process.stdout
        line = process.stdout.readline()  # Forwarding from 127.0.0.1:43210 -> 4000
        yield f"http://{line.split()[2]}"
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """The demo, step by step."""
    variables, real = providers.chosen(os.environ, f"http://{SIMULATOR}.{SIMULATOR}:8080")
    print(f"\nSecrets, one per provider, from the guide's .env names (real keys: {', '.join(real) or 'none'}; the others lead to the simulator)")
    for provider, values in variables.items():
        secret(provider, values)
    started = time.monotonic()
    shown("apply", "-f", "examples/")
    shown("wait", "--for=condition=Ready", "modelroutes", "--all", "--timeout=120s")
    print(f"\nfrom apply to all Ready: {time.monotonic() - started:.1f} s")
    print("\nThe official openai client asks, through the Service:\n", flush=True)
    with forwarded(RELEASE, 4000) as url:
        asked = ask.report(ask.everything(url, master_key()))
    print(f"\n{ask.verdict(asked)}")
    shown("get", "modelroutes")
    return int(any(each.problem for each in asked))


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
