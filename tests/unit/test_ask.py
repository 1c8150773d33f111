"""What `tests/ask.py` promises to `make run`, `make demo` and the cluster tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ask
import openai
import pytest
import simulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    """The simulator's OpenAI: it answers as a proxy does, but warns of nothing."""
    with simulator.in_background() as sim, openai.OpenAI(base_url=sim.openai, api_key="sim-openai-key", max_retries=0) as made:
        yield made


def question(kind: str, model: str) -> ask.Question:
    return ask.Question(provider="openai", kind=kind, model=model)


@pytest.mark.parametrize(
    ("kind", "model", "answer"),
    [
        ("chat", "gpt-4.1", "openai gpt-4.1 says: The capital of France, in one word?"),
        ("stream", "gpt-4.1", "openai gpt-4.1 says: The capital of France, in one word?"),
        ("tools", "gpt-4.1", "get_weather(Paris), then: openai gpt-4.1 says: the tool answered 18 degrees, sunny"),
        ("embedding", "text-embedding-3-small", "1536 numbers: "),
        ("transcription", "whisper-1", "openai whisper-1 heard 1.0 seconds of audio."),
    ],
)
def test_each_kind_of_question_brings_its_answer(client: openai.OpenAI, kind: str, model: str, answer: str) -> None:
    asked = ask.one(client, question(kind, model))
    assert asked.problem == ""
    assert asked.answer.startswith(answer)
    assert asked.milliseconds > 0


def test_a_limited_model_that_gets_the_tools_all_the_same_is_a_failure(client: openai.OpenAI) -> None:
    assert ask.one(client, question("limited tools", "gpt-4.1")).problem == "the tool was not taken away: it called it"


def test_a_refusal_is_told_as_a_sentence(client: openai.OpenAI) -> None:
    asked = ask.one(client, question("chat", "gpt-9"))
    assert asked.problem == "HTTP 404: The model `gpt-9` does not exist or you do not have access to it."


def test_the_table_lines_up_and_ends_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    good = ask.Asked(question=question("chat", "openai-gpt41"), answer="word " * 40, milliseconds=12.3)
    warned = ask.Asked(question=question("limited tools", "ollama-phi4"), answer="x", warning="no tools", milliseconds=5)
    bad = ask.Asked(question=question("stream", "azure-gpt41"), problem="HTTP 500: broken", milliseconds=5)
    assert ask.report([good, warned, bad], width=100) == [good, warned, bad]
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if not line.startswith(" ")]
    assert {len(line) for line in rows} == {100}
    assert [line.strip() for line in lines if line.startswith(" ")] == ["x-modelroute-warning: no tools", "HTTP 500: broken"]
    assert ask.verdict([good, warned]) == "All 2 questions answered."
    assert ask.verdict([good, warned, bad]) == "1 of 3 questions failed: stream of azure-gpt41."


def test_every_provider_is_asked_every_kind_the_guide_promises() -> None:
    kinds = {provider: [each.kind for each in ask.QUESTIONS if each.provider == provider] for provider in ask.PROVIDERS}
    hosted = ["chat", "stream", "tools", "embedding", "transcription"]
    assert kinds == {"openai": hosted, "azure": hosted, "mistral": hosted, "ollama": ["chat", "stream", "tools", "limited tools", "embedding"]}
