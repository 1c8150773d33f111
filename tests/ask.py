"""Asks a LiteLLM proxy that serves `examples/` one question of each kind for each provider.

    python tests/ask.py --base-url http://localhost:4000 --key $LITELLM_MASTER_KEY

The questions go through the official `openai` client, as the guide has an application ask them: its `base_url`
is the proxy's address and nothing else. As a library: `for asked in ask.everything(url, key): …`.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import shutil
import sys
import textwrap
import time
import wave
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from openai import APIStatusError, OpenAI, OpenAIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

WARNING: Final = "x-modelroute-warning"
"""The response header in which the proxy says that it took the tools out of a request."""

CHAT: Final = "The capital of France, in one word?"
WEATHER: Final = "What is the weather in Paris?"
TOOL: Final[Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One kind of request to one model of `examples/`."""

    provider: str
    kind: str
    """chat, stream, tools, limited tools, embedding or transcription."""
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question and what came of it."""

    question: Question
    answer: str = ""
    """What the model said; empty when it failed."""
    problem: str = ""
    """Why it failed; empty when it did not."""
    warning: str = ""
    """The header `x-modelroute-warning`, where the answer had one."""
    milliseconds: float = 0.0


QUESTIONS: Final = tuple(
    Question(provider=provider, kind=kind, model=model)
    for provider, kind, model in (
        ("openai", "chat", "openai-gpt41"),
        ("openai", "stream", "openai-gpt41-mini"),
        ("openai", "tools", "openai-gpt41"),
        ("openai", "embedding", "openai-embedding-large"),
        ("openai", "transcription", "openai-whisper"),
        ("azure", "chat", "azure-gpt41"),
        ("azure", "stream", "azure-gpt41-mini"),
        ("azure", "tools", "azure-gpt41"),
        ("azure", "embedding", "azure-embedding"),
        ("azure", "transcription", "azure-whisper"),
        ("mistral", "chat", "mistral-large-3"),
        ("mistral", "stream", "mistral-small-32"),
        ("mistral", "tools", "mistral-large-3"),
        ("mistral", "embedding", "mistral-embedding"),
        ("mistral", "transcription", "voxtral-transcribe"),
        ("ollama", "chat", "ollama-llama32"),
        ("ollama", "stream", "ollama-mistral"),
        ("ollama", "tools", "ollama-llama32"),
        ("ollama", "limited tools", "ollama-phi4"),
        ("ollama", "embedding", "ollama-embedding"),
    )
)
PROVIDERS: Final = tuple(dict.fromkeys(question.provider for question in QUESTIONS))


class WrongAnswerError(Exception):
    """The proxy answered, but not what was asked for; the text says what is wrong."""


def chat(client: OpenAI, model: str) -> tuple[str, str]:
    """Asks in words."""
    raw = client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": CHAT}])
    return raw.parse().choices[0].message.content or "", raw.headers.get(WARNING, "")


def stream(client: OpenAI, model: str) -> tuple[str, str]:
    """Asks in words and reads the answer as it comes."""
    raw = client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": CHAT}], stream=True)
    said = [chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices]
    return "".join(said), raw.headers.get(WARNING, "")


def tools(client: OpenAI, model: str) -> tuple[str, str]:
    """Offers a tool, answers the call of it, and returns the call and what the model makes of the result."""
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, tools=[TOOL])
    message = raw.parse().choices[0].message
    if not message.tool_calls:
        raise WrongAnswerError(f"it called no tool but said: {message.content}")
    call: Any = message.tool_calls[0]
    city = json.loads(call.function.arguments).get("city")
    function = {"name": call.function.name, "arguments": call.function.arguments}
    made: Any = {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"}
    second = client.chat.completions.create(model=model, messages=[*messages, made, result], tools=[TOOL])
    said = second.choices[0].message.content or ""
    return f"{call.function.name}({city}), then: {said}", raw.headers.get(WARNING, "")


def limited_tools(client: OpenAI, model: str) -> tuple[str, str]:
    """Offers a tool to a model that is not good with tools: the proxy takes it away and warns."""
    raw = client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": WEATHER}], tools=[TOOL])
    message = raw.parse().choices[0].message
    if message.tool_calls:
        raise WrongAnswerError("the tool was not taken away: it called it")
    if WARNING not in raw.headers:
        raise WrongAnswerError(f"the answer carries no header {WARNING}")
    return message.content or "", raw.headers[WARNING]


def embedding(client: OpenAI, model: str) -> tuple[str, str]:
    """Turns a text into a vector."""
    raw = client.embeddings.with_raw_response.create(model=model, input="Your text here")
    vector = raw.parse().data[0].embedding
    shown = ", ".join(f"{value:+.3f}" for value in vector[:3])
    return f"{len(vector)} numbers: {shown}, ...", raw.headers.get(WARNING, "")


def transcription(client: OpenAI, model: str) -> tuple[str, str]:
    """Turns a second of sound into text. A real model may hear nothing in a plain tone."""
    raw = client.audio.transcriptions.with_raw_response.create(model=model, file=("tone.wav", tone()))
    return raw.parse().text or "(nothing heard)", raw.headers.get(WARNING, "")


def tone(seconds: float = 1.0, hertz: float = 440.0, rate: int = 8000) -> bytes:
    """A WAV file of one plain tone, mono, 16 bits."""
    samples = (int(8000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(int(seconds * rate)))
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return file.getvalue()


ASK: Final[dict[str, Callable[[OpenAI, str], tuple[str, str]]]] = {
    "chat": chat,
    "stream": stream,
    "tools": tools,
    "limited tools": limited_tools,
    "embedding": embedding,
    "transcription": transcription,
}


def one(client: OpenAI, question: Question) -> Asked:
    """Asks one question; a failure is an answer too."""
    started = time.perf_counter()
    try:
        answer, warning = ASK[question.kind](client, question.model)
        problem = "" if answer else "the answer is empty"
        asked = Asked(question=question, answer=answer, warning=warning, problem=problem)
    except (OpenAIError, WrongAnswerError) as error:
        asked = Asked(question=question, problem=sentence(error))
    return replace(asked, milliseconds=(time.perf_counter() - started) * 1000)


def sentence(error: Exception) -> str:
    """What an error says, without the JSON around it."""
    body = error.body if isinstance(error, APIStatusError) else None
    said = body.get("message") if isinstance(body, dict) else None
    return f"HTTP {error.status_code}: {said}" if isinstance(error, APIStatusError) and said else str(error)


def everything(base_url: str, key: str, providers: Sequence[str] = PROVIDERS, timeout: float = 60.0) -> Iterator[Asked]:
    """Asks all questions about these providers, one after the other. `timeout` is in seconds, for each."""
    with OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=timeout) as client:
        for question in QUESTIONS:
            if question.provider in providers:
                yield one(client, question)


def report(asked: Iterable[Asked], width: int = 0) -> list[Asked]:
    """Prints a row for each answer as it comes. `width` is in columns; 0 is the terminal's, 120 at most."""
    width = width or min(shutil.get_terminal_size((120, 24)).columns, 120)
    kind = max(len(question.kind) for question in QUESTIONS)
    model = max(len(question.model) for question in QUESTIONS)
    room = max(width - kind - model - 12, 30)
    print(f"{'KIND':<{kind}}  {'MODEL':<{model}}  {'ANSWER':<{room}}  {'MS':>6}")
    seen = []
    for each in asked:
        seen.append(each)
        question = each.question
        answer = "FAILED" if each.problem else shortened(each.answer, room)
        row = f"{question.kind:<{kind}}  {question.model:<{model}}  {answer:<{room}}"
        print(f"{row}  {each.milliseconds:>6.0f}", flush=True)
        for note in (each.problem, each.warning and f"{WARNING}: {each.warning}"):
            if note:
                indent = " " * (kind + model + 4)
                print(textwrap.fill(note, width, initial_indent=indent, subsequent_indent=indent))
    return seen


def shortened(text: str, room: int) -> str:
    """The text on one line, cut where it does not fit."""
    line = " ".join(text.split())
    return line if len(line) <= room else f"{line[: room - 3].rstrip()}..."


def verdict(asked: Sequence[Asked]) -> str:
    """One sentence: how many questions were answered, and which were not."""
    failed = [each.question for each in asked if each.problem]
    if not failed:
        return f"All {len(asked)} questions answered."
    named = ", ".join(f"{question.kind} of {question.model}" for question in failed)
    return f"{len(failed)} of {len(asked)} questions failed: {named}."


def main() -> int:
    """Reads the command line, asks, prints; 0 when every question was answered."""
    parser = argparse.ArgumentParser(prog="ask", description="Asks a proxy one question of each kind per provider.")
    parser.add_argument("--base-url", default="http://localhost:4000", help="the proxy's address")
    parser.add_argument("--key", default=os.environ.get("LITELLM_MASTER_KEY"), help="default: $LITELLM_MASTER_KEY")
    parser.add_argument("--providers", default=",".join(PROVIDERS), help="comma-separated (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.key:
        parser.error("the proxy wants a key: give --key or set LITELLM_MASTER_KEY")
    providers = arguments.providers.split(",")
    if unknown := sorted(set(providers) - set(PROVIDERS)):
        parser.error(f"there is no provider {', '.join(unknown)}; there are {', '.join(PROVIDERS)}")
    asked = report(everything(arguments.base_url, arguments.key, providers))
    failed = any(each.problem for each in asked)
    print(f"\n{verdict(asked)}", file=sys.stderr if failed else sys.stdout)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
