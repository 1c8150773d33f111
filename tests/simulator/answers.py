"""What every simulated model says: deterministic, and naming who says it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of one tool."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a chat model says: a text, or a tool call instead."""

    text: str
    tool_call: ToolCall | None
    finish_reason: str
    """stop, length or tool_calls."""
    prompt_tokens: int
    completion_tokens: int


def chat(
    *,
    provider: str,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: object = None,
    response_format: object = None,
    max_tokens: int | None = None,
) -> Answer:
    """Answers a chat in OpenAI's words (Mistral's and Ollama's messages and tools read the same).

    With tools it calls the one that `tool_choice` names, else the first, unless the caller forbids it; once the
    caller has sent the tool's result it answers in words.
    """
    last = messages[-1] if messages else {}
    question = text_of(next((m for m in reversed(messages) if m.get("role") == "user"), last))
    prompt = sum(tokens(text_of(message)) + 4 for message in messages) + (tokens(json.dumps(tools)) if tools else 0)
    if tools and tool_choice != "none" and last.get("role") != "tool":
        called = tool_call(tools, tool_choice, question)
        return Answer("", called, "tool_calls", prompt, tokens(json.dumps(called.arguments)) + 8)
    who = f"{provider} {model}"
    said = f"the tool answered {text_of(last)}" if last.get("role") == "tool" else question
    text = as_format(f"{who} says: {said}", response_format, question)
    words = pieces(text)
    if max_tokens is not None and len(words) > max_tokens:
        return Answer("".join(words[:max_tokens]), None, "length", prompt, max_tokens)
    return Answer(text, None, "stop", prompt, len(words))


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; of a list of parts the texts, joined."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text", f"[{part.get('type')}]") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def pieces(text: str) -> list[str]:
    """The text word by word, each with the space that follows it: what a stream sends one at a time."""
    return re.findall(r"\S+\s*|\s+", text)


def tokens(text: str) -> int:
    """About as many tokens as a real tokenizer finds: one for four characters, one at least."""
    return max(1, math.ceil(len(text) / 4))


def as_format(text: str, response_format: object, question: str) -> str:
    """The text as the JSON that `response_format` asks for, if it asks for any."""
    if not isinstance(response_format, dict) or response_format.get("type", "text") == "text":
        return text
    schema = response_format.get("json_schema", {}).get("schema")
    return json.dumps(example(schema, "answer", question) if schema else {"answer": text})


def tool_call(tools: Sequence[Mapping[str, Any]], tool_choice: object, question: str) -> ToolCall:
    """A call of the tool that `tool_choice` names, else of the first, with arguments that fit its schema."""
    functions = [tool.get("function", tool) for tool in tools]
    wanted = tool_choice.get("function", {}).get("name") if isinstance(tool_choice, dict) else None
    function = next((f for f in functions if f.get("name") == wanted), functions[0])
    arguments = example(function.get("parameters") or {"type": "object"}, function.get("name", ""), question)
    return ToolCall(function.get("name", ""), arguments if isinstance(arguments, dict) else {})


def example(schema: Mapping[str, Any], name: str, question: str) -> Any:  # noqa: PLR0911 (one for each kind of JSON)
    """A value that fits the JSON schema: what it offers, else the subject of the question, else its own name."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(next((s for s in schema[key] if s.get("type") != "null"), {}), name, question)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            required = schema.get("required") or list(properties)
            return {key: example(properties.get(key, {}), key, question) for key in required}
        case "array":
            return [example(schema.get("items", {}), name, question)]
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 1))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return subject(question) or name


def subject(question: str) -> str:
    """The last capitalised word that does not begin a sentence: "What is the weather in Paris?" gives Paris."""
    found = re.findall(r"(?<=[\w,] )[A-Z][\w-]+", question)
    return found[-1] if found else ""


@lru_cache(maxsize=1024)
def vector(space: str, text: str, dimensions: int) -> tuple[float, ...]:
    """The unit vector of a text in a model's vector space: the same text, the same vector, for ever.

    Fewer dimensions than the model's own are the first ones of the whole vector, at length 1 again, as OpenAI
    shortens them.
    """
    source = random.Random(hashlib.sha256(f"{space}\n{text}".encode()).digest())
    drawn = [source.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(x * x for x in drawn))
    return tuple(round(x / length, 8) for x in drawn)


def encoded(values: Sequence[float], encoding_format: str | None) -> list[float] | str:
    """The vector as JSON numbers, or as base64 of little-endian 32-bit floats."""
    if encoding_format == "base64":
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    return list(values)


def texts(given: object) -> list[str]:
    """An embedding request's `input` as texts: one text, several, one list of token ids, or several."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    if given and all(isinstance(item, int) for item in given):
        return [json.dumps(given)]
    return [item if isinstance(item, str) else json.dumps(item) for item in given]


def identifier(ordinal: int, alphabet: str, length: int) -> str:
    """A random-looking id, the same for the same request number."""
    number = int.from_bytes(hashlib.sha512(f"id {ordinal}".encode()).digest(), "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(alphabet))
        letters.append(alphabet[index])
    return "".join(letters)
