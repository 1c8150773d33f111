"""Whom the guide's `.env` names lead to: the real providers where their keys are set, the simulator for the others."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping

ANSWER_SECONDS = 3.0
REAL = {"openai": "OPENAI_API_KEY", "azure": "AZURE_API_KEY", "mistral": "MISTRAL_API_KEY", "ollama": "OLLAMA_API_BASE"}
"""The variable that, when set, means the real provider."""
NAMES = {
    "openai": ("OPENAI_API_KEY", "OPENAI_API_BASE"),
    "azure": ("AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION"),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_API_BASE"),
    "ollama": ("OLLAMA_API_BASE",),
}


def simulated(url: str) -> dict[str, dict[str, str]]:
    """Each provider's variables for a simulator at `url` (its own key, its own base)."""
    return {
        "openai": {"OPENAI_API_KEY": "sim-openai-key", "OPENAI_API_BASE": f"{url}/openai/v1"},
        "azure": {"AZURE_API_KEY": "sim-azure-key", "AZURE_API_BASE": f"{url}/azure", "AZURE_API_VERSION": "2024-10-21"},
        "mistral": {"MISTRAL_API_KEY": "sim-mistral-key", "MISTRAL_API_BASE": f"{url}/mistral/v1"},
        "ollama": {"OLLAMA_API_BASE": f"{url}/ollama"},
    }


def answering(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, without an OLLAMA_API_BASE at which nobody answers: the name is in every copy of the guide's .env."""
    found = dict(environ)
    if base := found.get("OLLAMA_API_BASE"):
        try:
            urllib.request.urlopen(f"{base.rstrip('/')}/api/version", timeout=ANSWER_SECONDS).close()
        except (OSError, ValueError):
            del found["OLLAMA_API_BASE"]
    return found


def chosen(environ: Mapping[str, str], url: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Each provider's variables, and the providers that are real."""
    variables = simulated(url)
    real = [provider for provider, name in REAL.items() if environ.get(name)]
    for provider in real:
        variables[provider] = {name: environ[name] for name in NAMES[provider] if environ.get(name)}
    return variables, real
