"""The provider that routes lead to: `tests/simulator` as a process, its keys, and routes to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).parents[3]

#: long and without a form that LiteLLM's own redaction knows, as Azure's and Mistral's are
AZURE_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OPENAI_KEY = "sk-proj-Zx81kQw93LmNbVcXzAsDfGhJkLpOiUyTrEwQ1234567890abcdEFGH"
MISTRAL_KEY = "Vb5nM7kLpQ2wEr9tYu4iOpAsDfGhJk3L"
CREDENTIALS = {"ai.azure.api_key": AZURE_KEY, "ai.openai.api_key": OPENAI_KEY, "ai.mistral.api_key": MISTRAL_KEY}


class Simulator:
    """`tests/simulator` as a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, REPOSITORY / "tests/simulator", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.url = line.split(" listens on ")[1].split(": ")[0]
        self.client = httpx.Client(base_url=self.url, timeout=10)
        self.azure, self.openai, self.mistral = f"{self.url}/azure", f"{self.url}/openai/v1", f"{self.url}/mistral/v1"

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)

    def reset(self) -> None:
        """As if just started, with the keys of the tests."""
        self.client.delete("/_sim").raise_for_status()
        for provider, key in (("azure", AZURE_KEY), ("openai", OPENAI_KEY), ("mistral", MISTRAL_KEY)):
            self.keys(provider, current=key)

    def keys(self, provider: str, **keys: str) -> None:
        self.client.put(f"/_sim/keys/{provider}", json={"keys": keys}).raise_for_status()

    def rule(self, name: str, **rule: Any) -> None:
        self.client.put(f"/_sim/rules/{name}", json=rule).raise_for_status()

    def requests(self, model: str | None = None) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = self.client.get("/_sim/requests", params={"model": model} if model else {}).json()["requests"]
        return requests

    # -- routes to it

    def route(self, name: str, deployment: str | None = None, **fields: Any) -> dict[str, Any]:
        """A chat route to an Azure deployment; every deployment name exists there, so each test has its own."""
        params = {"model": f"azure/{deployment or name}", "api_base": self.azure, "api_version": "2024-10-21"}
        return route(name, params | fields.pop("params", {}), **{"credentials": {"api_key": "ai.azure.api_key"}} | fields)

    def mistral_route(self, name: str, **fields: Any) -> dict[str, Any]:
        params = {"model": "mistral/mistral-large-latest", "api_base": self.mistral}
        return route(name, params, **{"credentials": {"api_key": "ai.mistral.api_key"}} | fields)


def route(name: str, params: dict[str, Any], *, credentials: dict[str, str], mode: str = "chat", tools: str = "Supported", **fields: Any) -> dict[str, Any]:
    """A line's value. `key` among the fields: its `<namespace>/<name>`, where that is not `ai/<name>`."""
    key = fields.get("key", f"ai/{name}")
    info = {"id": f"{key}/default", "mode": mode, "max_input_tokens": 8192}
    deployment = {"litellm_params": {"timeout": 30.0, **params}, "model_info": info, "credentials": credentials}
    return {"generation": 1, "modelName": name, "aliases": [], "mode": mode, "functionCalling": tools, "deployments": [deployment]} | fields
