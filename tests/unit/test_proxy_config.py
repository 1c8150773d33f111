"""LiteLLM's dialect: one route → one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from modelroute_operator.core import proxy_config, routes
from unit import make

SECONDS = {"120s": 120.0, "1m30s": 90.0, "1500ms": 1.5, "2h": 7200.0, "0.5s": 0.5, "1h1m1s1ms": 3661.001, "0s": 0.0}


@pytest.mark.parametrize("duration", SECONDS)
def test_durations_become_seconds(duration: str) -> None:
    assert proxy_config.seconds(duration) == SECONDS[duration]


MODELS = {
    ("openai", "gpt-4.1", "chat"): "openai/gpt-4.1",
    ("azure", "deployment", "audio_transcription"): "azure/deployment",
    ("ollama", "llama3.2", "chat"): "ollama_chat/llama3.2",
    ("ollama", "llama3.2", "responses"): "ollama_chat/llama3.2",
    ("ollama_chat", "llama3.2", "chat"): "ollama_chat/llama3.2",
    ("ollama", "nomic-embed-text", "embedding"): "ollama/nomic-embed-text",
    ("ollama_chat", "nomic-embed-text", "embedding"): "ollama/nomic-embed-text",
    ("ollama", "codellama", "completion"): "ollama/codellama",
    ("openai", None, "chat"): "openai/name-of-the-route",
}


@pytest.mark.parametrize(("provider", "model", "mode"), MODELS)
def test_litellm_is_told_the_model_by_its_provider(provider: str, model: str | None, mode: str) -> None:
    backend = make.backend_of(provider=provider, model=model)
    assert proxy_config.litellm_model(backend, "name-of-the-route", mode) == MODELS[provider, model, mode]


def line(*backends: dict[str, Any], ollama: str = "", **spec: Any) -> dict[str, Any]:
    """The line of a route, parsed."""
    release = make.release(ollama_api_base=ollama)
    served = routes.resolve(make.snapshot([make.route("r", *backends, **spec)], release=release)).served["ai/r"]
    text = proxy_config.line(served, release)
    assert "\n" not in text
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    return json.loads(text)


def params(**fields: Any) -> dict[str, Any]:
    """The litellm_params of a single backend."""
    ollama = fields.pop("chart_ollama", "")
    return line(make.backend(**fields), ollama=ollama)["deployments"][0]["litellm_params"]


def test_a_single_backend_has_no_weight_and_no_order() -> None:
    assert params(weight=5, priority=3) == {"model": "openai/gpt-4.1"}


def test_several_backends_have_weights_and_orders() -> None:
    found = line(make.backend("a", weight=3), make.backend("b", priority=2))["deployments"]
    assert [(d["litellm_params"]["weight"], d["litellm_params"]["order"]) for d in found] == [(3, 0), (1, 2)]


def test_params_go_through_verbatim_and_a_field_wins() -> None:
    assert params(params={"temperature": 0.2, "extra_headers": {"a": "b"}}, timeout="2s") == {
        "model": "openai/gpt-4.1",
        "temperature": 0.2,
        "extra_headers": {"a": "b"},
        "timeout": 2.0,
    }


def test_a_credential_in_params_never_reaches_a_config_map() -> None:
    """Admission refuses it; an object that was stored under an older schema may still have it."""
    assert params(params={"api_key": "sk-leak", "aws_secret_access_key": "leak", "base_url": "http://elsewhere"}) == {"model": "openai/gpt-4.1"}


KEEP_ALIVE = {"5m": "5m", "-1": -1, "0": 0}


@pytest.mark.parametrize("text", KEEP_ALIVE)
def test_keep_alive_is_what_ollama_can_parse(text: str) -> None:
    assert params(provider="ollama", apiBase="http://o", ollama={"keepAlive": text})["keep_alive"] == KEEP_ALIVE[text]


def test_only_ollama_gets_the_charts_ollama_and_its_own_address_wins() -> None:
    assert params(provider="ollama", chart_ollama="http://chart:11434")["api_base"] == "http://chart:11434"
    assert params(provider="ollama", apiBase="http://own:11434", chart_ollama="http://chart:11434")["api_base"] == "http://own:11434"
    assert "api_base" not in params(chart_ollama="http://chart:11434")


def test_an_alias_that_repeats_the_default_model_name_is_dropped() -> None:
    assert line(aliases=["r", "z", "a"])["aliases"] == ["a", "z"]


def test_azures_base_model_has_the_cost_maps_prefix() -> None:
    found = line(make.backend(provider="azure", apiBase="https://a", baseModel="gpt-4.1"), make.backend("b", provider="openai", baseModel="gpt-4.1"))["deployments"]
    assert [d["model_info"]["base_model"] for d in found] == ["azure/gpt-4.1", "gpt-4.1"]


CALLING = {
    "what the route says stands": ([make.backend()], {"capabilities": {"functionCalling": "Limited"}}, "Limited"),
    "else what the cost map says": ([make.backend()], {}, "Supported"),
    "an Ollama tag is looked up without it": ([make.backend(provider="ollama", model="llama3.1:8b", apiBase="http://o")], {}, "Supported"),
    "one backend that cannot makes the route that cannot": ([make.backend(), make.backend("b", model="tool-less")], {}, "Unsupported"),
    "one backend nobody knows makes the route unknown": ([make.backend(), make.backend("b", model="nobody-knows")], {}, "Unknown"),
    "a deployment is looked up by its base model": ([make.backend(provider="azure", model="d", baseModel="gpt-4.1", apiBase="https://a")], {}, "Supported"),
}


@pytest.mark.parametrize("sentence", CALLING)
def test_function_calling(sentence: str) -> None:
    backends, spec, expected = CALLING[sentence]
    assert line(*backends, **spec)["functionCalling"] == expected


def test_mode_comes_from_the_route_then_from_the_cost_map_then_is_chat() -> None:
    assert line(make.backend(), mode="completion")["mode"] == "completion"
    assert line(make.backend(model="text-embedding-3-large"))["mode"] == "embedding"
    assert line(make.backend(model="nobody-knows"))["mode"] == "chat"


def test_what_is_unset_is_not_written() -> None:
    assert set(line(make.backend())) == {"aliases", "deployments", "functionCalling", "generation", "mode", "modelName"}
    assert line(make.backend(), retries={"rateLimit": 0})["retries"] == {"rateLimit": 0}
