"""Ollama: `/ollama/api`. Streams newline-delimited JSON, and streams unless told not to."""

from __future__ import annotations

import ast
import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from . import answers, models, ollama_library
from .exchange import Refused, Reply, Stream, phrase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aiohttp import web

    from .answers import Answer
    from .exchange import Call
    from .state import Rule

JSON: Final = "application/json; charset=utf-8"
NDJSON: Final = "application/x-ndjson"
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
FUNCTIONS: Final = re.compile(r"To call a function, reply with JSON.*?functions are available to you:", re.DOTALL)
"""How LiteLLM tells its `ollama/` models about tools: in the prompt, then one Python dict a line."""


def error(status: int, message: str) -> Reply:
    """Ollama's error envelope."""
    return Reply({"error": message}, status, JSON)


def lines(objects: Iterable[object]) -> Stream:
    """A stream of JSON objects, one a line."""
    return Stream((json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in objects), NDJSON)


def now() -> str:
    """The time as Go writes it, to the nanosecond."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


def durations(answer: Answer) -> dict[str, int]:
    """What the last object of an answer adds. Durations are in nanoseconds."""
    return {
        "total_duration": 42_000_000 + answer.completion_tokens * 1_000_000, "load_duration": 12_000_000,
        "prompt_eval_count": answer.prompt_tokens, "prompt_eval_duration": 20_000_000,
        "eval_count": answer.completion_tokens, "eval_duration": answer.completion_tokens * 1_000_000,
    }  # fmt: skip


class Ollama:
    """Ollama's own API (not its imitation of OpenAI's)."""

    name = "ollama"
    prefix = "/ollama"

    def routes(self) -> list[tuple[str, str, Callable[[Call], Reply | Stream]]]:
        """Inference here; the models on the server in `ollama_library.py`."""
        return [
            ("POST", "/api/chat", self.chat),
            ("POST", "/api/generate", self.generate),
            ("POST", "/api/embed", self.embed),
            *ollama_library.routes(),
        ]

    def key(self, request: web.Request) -> str | None:
        """The Bearer token that a proxy before Ollama may ask for."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    def unauthorized(self, key: str | None) -> Reply:  # noqa: ARG002 (Ollama does not tell a wrong key from none)
        """401; only when keys were set through `/_sim/keys/ollama`."""
        return error(401, "unauthorized")

    def unreadable(self) -> Reply:
        """The body is not JSON."""
        return error(400, "invalid character 'x' looking for beginning of value")

    def headers(self, call: Call) -> dict[str, str]:  # noqa: ARG002 (Ollama sends none of its own)
        """Nothing beyond HTTP's own."""
        return {}

    def failure(self, rule: Rule, call: Call) -> Reply:
        """The error Ollama answers in each of these cases. It limits nobody but when its queue is full: 503."""
        match rule.fail:
            case "rate-limit":
                limited = error(429, rule.message or "too many requests")
                return Reply(limited.body, 429, JSON, {"Retry-After": f"{rule.retry_after:g}"})
            case "context-window":
                embeds = models.embedding(call.model) is not None
                said = "the input length exceeds the context length" if embeds else "prompt too long; exceeded max context length by 4096 tokens"
                return error(400, rule.message or said)
        full = "server busy, please try again.  maximum pending requests exceeded"
        broken = "llama runner process has terminated: exit status 2"
        said = full if rule.status == 503 else broken if rule.status >= 500 else phrase(rule.status)
        return error(rule.status, rule.message or said)

    def require_model(self, call: Call, *, capability: str) -> None:
        """Refuses a model that was not pulled, or cannot do this."""
        if not call.model:
            raise Refused(error(400, "model is required"))
        name = ollama_library.tagged(call.model)
        if name not in ollama_library.have(call):
            raise Refused(error(404, f"model '{call.model}' not found"))
        if capability not in ollama_library.capabilities(name):
            if capability == "tools":
                raise Refused(error(400, f"registry.ollama.ai/library/{name} does not support tools"))
            verb = {"completion": "chat", "embedding": "embeddings"}[capability]
            raise Refused(error(400, f'"{call.model}" does not support {verb}'))

    def chat(self, call: Call) -> Reply | Stream:
        """`POST /api/chat`."""
        self.require_model(call, capability="completion")
        body = call.body
        if body.get("tools"):
            self.require_model(call, capability="tools")
        if not body.get("messages"):
            return self.whole(call, {"message": {"role": "assistant", "content": ""}}, "load", {})
        answer = self.answer(call, body["messages"], body.get("tools") or ())
        if body.get("stream", True):
            return lines(self.chat_objects(call, answer))
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.tool_call:
            message["tool_calls"] = tool_calls(call, answer)
        return self.whole(call, {"message": message}, done_reason(answer), durations(answer))

    def answer(self, call: Call, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | tuple[()]) -> Answer:
        """The answer within Ollama's own limits and format."""
        wanted = call.body.get("format")
        as_json = {"type": "json_object"} if wanted == "json" else {"type": "json_schema", "json_schema": {"schema": wanted}}
        limit = (call.body.get("options") or {}).get("num_predict")
        return answers.chat(
            provider=self.name, model=call.model, messages=messages, tools=tools,
            response_format=as_json if wanted else None, max_tokens=limit if limit and limit > 0 else None,
        )  # fmt: skip

    def chat_objects(self, call: Call, answer: Answer) -> Iterator[dict[str, Any]]:
        """The stream's objects: the words, or the tool call whole, then the end with the durations."""
        frame = {"model": call.model, "created_at": now()}
        empty = {"role": "assistant", "content": ""}
        if answer.tool_call:
            yield {**frame, "message": {**empty, "tool_calls": tool_calls(call, answer)}, "done": False}
        for piece in answers.pieces(answer.text):
            yield {**frame, "message": {"role": "assistant", "content": piece}, "done": False}
        end = {"done": True, "done_reason": done_reason(answer), **durations(answer)}
        yield {**frame, "message": empty, **end}

    def generate(self, call: Call) -> Reply | Stream:
        """`POST /api/generate`."""
        self.require_model(call, capability="completion")
        prompt = call.body.get("prompt") or ""
        if not prompt:
            return self.whole(call, {"response": ""}, "load", {})
        answer = self.generated(call, prompt)
        if not call.body.get("stream", True):
            return self.whole(
                call,
                {"response": answer.text},
                done_reason(answer),
                {"context": [1, 2, 3], **durations(answer)},
            )
        frame = {"model": call.model, "created_at": now()}
        words = [{**frame, "response": piece, "done": False} for piece in answers.pieces(answer.text)]
        end = {"done": True, "done_reason": done_reason(answer), "context": [1, 2, 3], **durations(answer)}
        return lines([*words, {**frame, "response": "", **end}])

    def generated(self, call: Call, prompt: str) -> Answer:
        """The answer to a prompt: a call of a function in JSON if the prompt describes any, as LiteLLM has it."""
        question, *described = FUNCTIONS.split(prompt, maxsplit=1)
        functions = [ast.literal_eval(line) for line in "".join(described).splitlines() if line.startswith("{")]
        answer = self.answer(call, [{"role": "user", "content": prompt}], ())
        if not functions:
            return answer
        called = answers.tool_call(functions, None, question)
        text = json.dumps({"name": called.name, "arguments": called.arguments})
        return answers.Answer(text, None, "stop", answer.prompt_tokens, answers.tokens(text))

    def whole(self, call: Call, said: dict[str, Any], reason: str, more: dict[str, Any]) -> Reply:
        """An answer in one object."""
        frame = {"model": call.model, "created_at": now()}
        return Reply({**frame, **said, "done": True, "done_reason": reason, **more}, content_type=JSON)

    def embed(self, call: Call) -> Reply:
        """`POST /api/embed`."""
        self.require_model(call, capability="embedding")
        found = models.embedding(call.model)
        assert found
        texts = answers.texts(call.body.get("input"))
        length = min(call.body.get("dimensions") or found.dimensions, found.dimensions)
        vectors = [list(answers.vector(found.space, text, length)) for text in texts]
        used = sum(answers.tokens(text) for text in texts)
        took = {"total_duration": 14_000_000, "load_duration": 1_000_000, "prompt_eval_count": used}
        return Reply({"model": call.model, "embeddings": vectors, **took}, content_type=JSON)


def tool_calls(call: Call, answer: Answer) -> list[dict[str, Any]]:
    """The answer's tool call in Ollama's shape: the arguments are an object, not a string."""
    assert answer.tool_call
    function = {"index": 0, "name": answer.tool_call.name, "arguments": answer.tool_call.arguments}
    return [{"id": f"call_{answers.identifier(call.ordinal, LETTERS, 8)}", "function": function}]


def done_reason(answer: Answer) -> str:
    """Ollama says stop after a tool call too."""
    return "length" if answer.finish_reason == "length" else "stop"
