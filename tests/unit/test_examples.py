"""What `examples/` promises: every model of the guide, ready for `kubectl apply`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ask
import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"

GUIDE = {
    "openai": "openai-gpt41 openai-gpt41-mini openai-gpt41-nano openai-gpt35 openai-embedding-large openai-embedding-small openai-whisper",
    "azure": "azure-gpt41 azure-gpt41-mini azure-gpt41-nano azure-embedding azure-embedding-3-large azure-whisper",
    "mistral": "mistral-large-3 mistral-medium-31 mistral-small-32 ministral-14b ministral-8b ministral-3b mistral-embedding codestral-embed "
    "voxtral-small voxtral-mini voxtral-transcribe",
    "ollama": "ollama-llama32 ollama-llama31-8b ollama-llama31-70b ollama-mistral ollama-mixtral ollama-qwen25 ollama-phi4 ollama-embedding ollama-mxbai-embed",
}


def routes(provider: str) -> list[Any]:
    return list(yaml.safe_load_all((EXAMPLES / f"{provider}.yaml").read_text()))


EVERY = [route for provider in GUIDE for route in routes(provider)]


@pytest.mark.parametrize("provider", GUIDE)
def test_every_model_of_the_guide_is_there(provider: str) -> None:
    assert [route["metadata"]["name"] for route in routes(provider)] == GUIDE[provider].split()


def test_there_are_33_and_no_other_file_is_applied_with_them() -> None:
    assert len(EVERY) == 33
    assert sorted(file.stem for file in EXAMPLES.glob("*.yaml")) == sorted(GUIDE)


@pytest.mark.parametrize("route", EVERY, ids=lambda route: route["metadata"]["name"])
def test_route_goes_into_any_namespace_and_takes_its_providers_secret(route: dict[str, Any]) -> None:
    assert (route["apiVersion"], route["kind"], set(route["metadata"])) == ("modelroute.dev/v1alpha1", "ModelRoute", {"name"})
    (backend,) = route["spec"]["backends"]
    assert backend["name"] == "default"
    assert backend["credentialsSecretRef"] == {"name": backend["provider"]}
    assert route["spec"]["mode"] in ("chat", "embedding", "audio_transcription")
    assert ("functionCalling" in route["spec"].get("capabilities", {})) == (route["spec"]["mode"] == "chat")
    assert ("baseModel" in backend) == (backend["provider"] == "azure")


def test_each_role_is_an_alias_on_exactly_one_route() -> None:
    held = [(alias, route["metadata"]["name"]) for route in EVERY for alias in route["spec"].get("aliases", [])]
    assert held == [("chat-default", "openai-gpt41"), ("embedding-default", "openai-embedding-large"), ("transcription-default", "openai-whisper")]


def test_only_phi4_is_limited_in_its_tools() -> None:
    limited = [route["metadata"]["name"] for route in EVERY if route["spec"].get("capabilities", {}).get("functionCalling", "Supported") != "Supported"]
    assert limited == ["ollama-phi4"]


def test_what_ask_asks_for_is_among_the_examples_in_the_right_mode() -> None:
    modes = {route["metadata"]["name"]: route["spec"]["mode"] for route in EVERY}
    kinds = {"embedding": "embedding", "transcription": "audio_transcription"}
    assert {question.model: kinds.get(question.kind, "chat") for question in ask.QUESTIONS} == {question.model: modes[question.model] for question in ask.QUESTIONS}


def test_env_example_names_the_guides_variables_and_gives_nothing_away() -> None:
    lines = [line for line in (EXAMPLES / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    names = [line.partition("=")[0] for line in lines]
    assert names == ["OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION", "MISTRAL_API_KEY", "OLLAMA_API_BASE"]
    assert all(line.partition("=")[2].startswith("your-") for line in lines if "_API_KEY=" in line)
