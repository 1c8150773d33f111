"""What LiteLLM knows of providers and models: a small extract of its cost map (`data/cost_map.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the cost map says of one model; None where it says nothing."""

    mode: str | None = None
    function_calling: bool | None = None


NOTHING_KNOWN = ModelFacts()
BARE = frozenset({
    "ai21", "ai21_chat", "anthropic", "bedrock", "cohere", "cohere_chat", "deepseek", "gemini", "openai", "text-completion-openai", "vertex_ai", "volcengine",
})  # fmt: skip
"""Providers whose models the cost map also names without a prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostMap:
    """Providers LiteLLM can call, and facts by the cost map's keys ("gpt-4.1", "azure/gpt-4.1", …)."""

    litellm_version: str
    providers: frozenset[str]
    models: Mapping[str, ModelFacts]

    def of(self, provider: str, model: str) -> ModelFacts:
        """Facts of one model at one provider: tried with the provider's prefix, bare, and without an Ollama tag."""
        prefix = "ollama" if provider == "ollama_chat" else provider
        names = [f"{prefix}/{model}"]
        if prefix in BARE:
            names.append(model)
        if prefix == "ollama" and ":" in model:
            names.append(f"{prefix}/{model.split(':', 1)[0]}")
        return next((self.models[name] for name in names if name in self.models), NOTHING_KNOWN)
