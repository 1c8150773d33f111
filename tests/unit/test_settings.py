"""The operator's environment, as the chart sets it."""

from __future__ import annotations

import pytest
from modelroute_operator.edges import settings

NEEDED = {"MODELROUTE_RELEASE": "litellm", "MODELROUTE_NAMESPACE": "ai"}
READ = {
    "nothing more than the release": ({}, {"namespaces": ("ai",), "everywhere": False, "master_key": "litellm-master-key", "allowed_namespaces": ()}),
    "an empty variable counts as unset": ({"MODELROUTE_WATCH_NAMESPACES": "", "MODELROUTE_ROUTE_SELECTOR": ""}, {"namespaces": ("ai",), "route_selector": {}}),
    "several namespaces": ({"MODELROUTE_WATCH_NAMESPACES": "a, b,,c"}, {"namespaces": ("a", "b", "c"), "everywhere": False}),
    "all namespaces": ({"MODELROUTE_WATCH_NAMESPACES": "*"}, {"everywhere": True}),
    "allowed patterns": ({"MODELROUTE_ALLOWED_NAMESPACES": "ai,team-*"}, {"allowed_namespaces": ("ai", "team-*")}),
    "a label selector": ({"MODELROUTE_ROUTE_SELECTOR": "tier=prod, a==b"}, {"route_selector": {"tier": "prod", "a": "b"}}),
    "a label without a value": ({"MODELROUTE_ROUTE_SELECTOR": "tier="}, {"route_selector": {"tier": ""}}),
    "the user's own master key": (
        {"MODELROUTE_MASTER_KEY_SECRET": "mine", "MODELROUTE_MASTER_KEY_EXISTING": "true"}, {"master_key": "mine", "master_key_existing": True},
    ),
    "the chart's Ollama": ({"MODELROUTE_OLLAMA_API_BASE": "http://litellm-ollama:11434"}, {"ollama_api_base": "http://litellm-ollama:11434"}),
}  # fmt: skip


@pytest.mark.parametrize("what", READ)
def test_environment_is_read(what: str) -> None:
    environ, expected = READ[what]
    found = settings.from_environment({**NEEDED, **environ})
    assert {name: getattr(found, name) for name in expected} == expected


REFUSED = {
    "no release": ({"MODELROUTE_RELEASE": ""}, "release"),
    "no namespace": ({"MODELROUTE_NAMESPACE": ""}, "namespace"),
    "a set-based selector": ({"MODELROUTE_ROUTE_SELECTOR": "tier in (prod)"}, "label=value"),
    "an inequality": ({"MODELROUTE_ROUTE_SELECTOR": "tier!=prod"}, "label=value"),
    "a boolean that is none": ({"MODELROUTE_MASTER_KEY_EXISTING": "perhaps"}, "master_key_existing"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_missing_or_malformed_is_refused_by_name(what: str) -> None:
    environ, name = REFUSED[what]
    with pytest.raises(ValueError, match=name):
        settings.from_environment({**NEEDED, **environ})


def test_the_packaged_cost_map_knows_the_guides_models() -> None:
    costs = settings.cost_map()
    assert {"openai", "azure", "mistral", "ollama"} <= costs.providers
    assert costs.of("openai", "gpt-4.1").function_calling
    assert costs.of("azure", "gpt-4.1").function_calling
    assert costs.of("mistral", "mistral-large-latest").function_calling
    assert costs.of("ollama_chat", "llama3.1:8b") == costs.of("ollama", "llama3.1")
    assert costs.of("openai", "text-embedding-3-large").mode == "embedding"
    assert costs.of("openai", "whisper-1").mode == "audio_transcription"
    assert costs.of("anthropic", "claude-haiku-4-5").function_calling
    assert costs.of("groq", "gpt-4.1").mode is None
