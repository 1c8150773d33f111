"""Everything the guide promises: four providers, chat, streams, tools, embeddings, transcriptions, all 33 models."""

from __future__ import annotations

from typing import Any

import ask
import pytest
import yaml
from cluster.application import Client
from cluster.harness import Proxies, Simulator
from kubectl import RELEASE, ROOT

GUIDE = {body["metadata"]["name"]: body["spec"] for path in sorted((ROOT / "examples").glob("*.yaml")) for body in yaml.safe_load_all(path.read_text())}


def answers(proxies: Proxies, name: str, spec: dict[str, Any]) -> list[str]:
    """What the provider says, through each replica."""
    provider, upstream = spec["backends"][0]["provider"], spec["backends"][0]["model"]
    said = []
    for proxy in proxies.ready():
        match spec["mode"]:
            case "chat":
                text = proxy.chat(name)
                assert text == f"{provider} {upstream} says: Hello", proxy.name
            case "embedding":
                text = str(proxy.openai.embeddings.create(model=name, input="Hello").data[0].embedding)
            case mode:
                assert mode == "audio_transcription"
                text = proxy.openai.audio.transcriptions.create(model=name, file=("tone.wav", ask.tone())).text
                assert text == f"{provider} {upstream} heard 1.0 seconds of audio.", proxy.name
        said.append(text)
    return said


def test_there_are_33(guide: dict[str, Any]) -> None:
    assert len(guide) == len(GUIDE) == 33


def test_every_kind_of_request_to_every_provider_through_the_service(guide: dict[str, Any], client: Client) -> None:
    """The official client, in a pod, with nothing but another base_url: chat, stream, tools on a capable and a limited model, embedding, transcription."""
    said = client.run("/client/ask.py", "--base-url", f"http://{RELEASE}:4000")
    assert f"All {len(ask.QUESTIONS)} questions answered." in said
    assert {(q.provider, q.kind) for q in ask.QUESTIONS} >= {(p, k) for p in ("openai", "azure", "mistral", "ollama") for k in ("chat", "stream", "tools", "embedding")}


@pytest.mark.parametrize("name", GUIDE)
def test_every_replica_answers_with_every_model(guide: dict[str, Any], proxies: Proxies, name: str) -> None:
    said = answers(proxies, name, guide[name])
    assert len(said) >= 2
    assert len(set(said)) == 1


def test_every_replica_lists_every_name(guide: dict[str, Any], proxies: Proxies) -> None:
    names = {name for route, spec in guide.items() for name in (route, *spec.get("aliases", ()))}
    for proxy in proxies.ready():
        assert names <= proxy.names(), proxy.name
        assert names <= {model.id for model in proxy.openai.models.list()}, proxy.name


@pytest.mark.parametrize(("alias", "upstream"), [("chat-default", "gpt-4.1"), ("embedding-default", "text-embedding-3-large"), ("transcription-default", "whisper-1")])
def test_an_alias_is_a_role(guide: dict[str, Any], proxies: Proxies, simulator: Simulator, alias: str, upstream: str) -> None:
    (spec,) = (spec for spec in guide.values() if alias in spec.get("aliases", ()))
    last = max((seen["ordinal"] for seen in simulator.received()), default=0)
    answers(proxies, alias, spec)
    assert [seen["model"] for seen in simulator.received(after=last)] == [upstream] * len(proxies.ready())
