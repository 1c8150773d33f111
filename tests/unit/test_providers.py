"""Whom `make run` asks: real providers where they can be asked, the simulator for the others."""

from __future__ import annotations

import providers
import simulator


def test_a_key_means_the_real_provider() -> None:
    variables, real = providers.chosen({"OPENAI_API_KEY": "sk-real"}, "http://sim")
    assert real == ["openai"]
    assert variables["openai"] == {"OPENAI_API_KEY": "sk-real"}
    assert variables["ollama"] == {"OLLAMA_API_BASE": "http://sim/ollama"}


def test_an_ollama_counts_if_it_answers() -> None:
    with simulator.in_background() as running:
        assert providers.answering({"OLLAMA_API_BASE": running.ollama}) == {"OLLAMA_API_BASE": running.ollama}
    assert providers.answering({"OLLAMA_API_BASE": "http://127.0.0.1:9", "OPENAI_API_KEY": "sk"}) == {"OPENAI_API_KEY": "sk"}
    assert providers.answering({"OLLAMA_API_BASE": "nonsense"}) == {}
