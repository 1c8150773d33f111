"""Mistral: `/mistral/v1`. Reads like OpenAI's API, and refuses every field it does not know."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from . import answers, audio, models
from .exchange import Refused, Reply, Stream, bearer, phrase, sse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from .answers import Answer
    from .exchange import Call
    from .state import Rule

HEX: Final = "0123456789abcdef"
ALPHANUMERIC: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOOL_CALL_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")

CHAT_FIELDS: Final = frozenset(
    {
        "frequency_penalty",
        "guardrails",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_mode",
        "random_seed",
        "reasoning_effort",
        "response_format",
        "safe_prompt",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)
MESSAGE_FIELDS: Final = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
EMBEDDING_FIELDS: Final = frozenset({"model", "input", "metadata", "output_dimension", "output_dtype", "encoding_format"})


def error(status: int, message: str, *, kind: str, code: str) -> Reply:
    """Mistral's error envelope."""
    body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    return Reply({**body, "raw_status_code": status}, status)


def extra(fields: list[tuple[list[str | int], object]]) -> Refused:
    """422: fields the API does not know, each with its place."""
    detail = [
        {
            "type": "extra_forbidden",
            "loc": ["body", *place],
            "msg": "Extra inputs are not permitted",
            "input": value,
        }
        for place, value in fields
    ]
    return Refused(Reply({"detail": detail}, 422))


class Mistral:
    """Mistral's own API."""

    name = "mistral"
    prefix = "/mistral/v1"

    def routes(self) -> list[tuple[str, str, Callable[[Call], Reply | Stream]]]:
        """The paths of Mistral's API that the guide uses."""
        return [
            ("POST", "/chat/completions", self.chat),
            ("POST", "/embeddings", self.embeddings),
            ("POST", "/audio/transcriptions", self.transcriptions),
            ("GET", "/models", self.models),
        ]

    def key(self, request: web.Request) -> str | None:
        """The Bearer token."""
        return bearer(request)

    def unauthorized(self, key: str | None) -> Reply:  # noqa: ARG002 (Mistral does not tell a wrong key from none)
        """401 in one word."""
        return Reply({"detail": "Unauthorized"}, 401)

    def unreadable(self) -> Reply:
        """The body is not JSON."""
        return Reply({"detail": [{"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}]}, 422)

    def headers(self, call: Call) -> dict[str, str]:
        """What Mistral sends with every answer."""
        correlation = str(uuid.UUID(answers.identifier(call.ordinal, HEX, 32)))
        return {
            "mistral-correlation-id": correlation, "x-kong-request-id": correlation, "x-envoy-upstream-service-time": "42",
            "x-ratelimit-limit-req-minute": "720", "x-ratelimit-remaining-req-minute": "719",
            "x-ratelimit-limit-tokens-minute": "5000000", "x-ratelimit-remaining-tokens-minute": "4999950",
            "x-ratelimit-tokens-query-cost": "50",
        }  # fmt: skip

    def failure(self, rule: Rule, call: Call) -> Reply:  # noqa: ARG002 (Mistral does not name the model)
        """The error Mistral answers in each of these cases."""
        match rule.fail:
            case "rate-limit":
                limited = error(429, rule.message or "Rate limit exceeded", kind="rate_limited", code="1300")
                wait = {"retry-after": f"{rule.retry_after:g}", "x-ratelimit-remaining-req-minute": "0"}
                return Reply(limited.body, 429, headers=wait)
            case "context-window":
                said = "Prompt contains 300042 tokens and 0 draft tokens, too large for model with 262144 maximum context length"
                return error(400, rule.message or said, kind="invalid_request_prompt", code="3051")
        if rule.status == 503:
            return error(503, rule.message or "Service unavailable.", kind="unreachable_backend", code="1100")
        if rule.status >= 500:
            said = rule.message or "Service unavailable."
            return error(rule.status, said, kind="internal_server_error", code="1000")
        return error(rule.status, rule.message or phrase(rule.status), kind="invalid_request_error", code="1000")

    def require_model(self, call: Call, *, fits: bool) -> None:
        """Refuses a model that is unknown, or of another kind, which to Mistral is the same."""
        have = call.state.models[self.name]
        if not fits or call.model not in (models.MISTRAL if have is None else have):
            raise Refused(error(400, f"Invalid model: {call.model}", kind="invalid_model", code="1500"))

    def chat(self, call: Call) -> Reply | Stream:
        """`POST /chat/completions`."""
        self.check_fields(call.body)
        self.require_model(call, fits=models.chats(call.model))
        self.check_messages(call.body["messages"])
        body = call.body
        answer = answers.chat(
            provider=self.name, model=call.model, messages=body["messages"], tools=body.get("tools") or (),
            tool_choice=body.get("tool_choice"), response_format=body.get("response_format"),
            max_tokens=body.get("max_tokens"),
        )  # fmt: skip
        frame = {
            "id": answers.identifier(call.ordinal, HEX, 32), "created": int(time.time()), "model": call.model,
        }  # fmt: skip
        if body.get("stream"):
            events = self.events({**frame, "object": "chat.completion.chunk"}, call, answer)
            return Stream((sse(event) for event in events), "text/event-stream; charset=utf-8")
        calls = self.tool_calls(call, answer)
        message = {"role": "assistant", "tool_calls": calls, "content": answer.text}
        choice = {"finish_reason": answer.finish_reason, "message": message}
        choices = [{"index": index, **choice} for index in range(body.get("n") or 1)]
        return Reply({**frame, "usage": usage(answer), "object": "chat.completion", "choices": choices})

    def check_fields(self, body: dict[str, Any]) -> None:
        """Refuses unknown fields of the body and of its messages, and a body without messages."""
        found: list[tuple[list[str | int], object]] = [([k], body[k]) for k in sorted(body.keys() - CHAT_FIELDS)]
        for index, message in enumerate(body.get("messages") or ()):
            role = message.get("role", "user")
            unknown = sorted(message.keys() - MESSAGE_FIELDS.get(role, set(message)))
            found.extend((["messages", index, role, name], message[name]) for name in unknown)
        if found:
            raise extra(found)
        if not isinstance(body.get("messages"), list):
            missing = {"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": body}
            raise Refused(Reply({"detail": [missing]}, 422))

    def check_messages(self, messages: list[dict[str, Any]]) -> None:
        """Refuses ids of tool calls that Mistral did not make, and a conversation it cannot continue."""
        for message in messages:
            named = [call.get("id") for call in message.get("tool_calls") or ()]
            for name in [*named, *([message["tool_call_id"]] if "tool_call_id" in message else [])]:
                if not TOOL_CALL_ID.fullmatch(str(name)):
                    said = f"Tool call id was {name} but must be a-z, A-Z, 0-9, with a length of 9."
                    raise Refused(error(400, said, kind="invalid_function_call", code="3280"))
        last = messages[-1] if messages else {}
        if last.get("role") not in ("user", "tool") and not last.get("prefix"):
            said = f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {last.get('role')}"
            raise Refused(error(400, said, kind="invalid_request_message_order", code="3230"))

    def tool_calls(self, call: Call, answer: Answer) -> list[dict[str, Any]] | None:
        """The answer's tool call in Mistral's shape: a 9-letter id, no type."""
        if answer.tool_call is None:
            return None
        function = {"name": answer.tool_call.name, "arguments": json.dumps(answer.tool_call.arguments)}
        return [{"id": answers.identifier(call.ordinal, ALPHANUMERIC, 9), "function": function, "index": 0}]

    def events(self, frame: dict[str, Any], call: Call, answer: Answer) -> Iterator[object]:
        """The stream's events. A tool call comes whole; the usage always comes, with the last choice."""
        for delta in [
            {"role": "assistant", "content": ""},
            *({"content": p} for p in answers.pieces(answer.text)),
        ]:
            yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        last: dict[str, Any] = {"content": ""}
        if calls := self.tool_calls(call, answer):
            last["tool_calls"] = calls
        choice = {"index": 0, "delta": last, "finish_reason": answer.finish_reason}
        yield {**frame, "choices": [choice], "usage": usage(answer)}
        yield "[DONE]"

    def embeddings(self, call: Call) -> Reply:
        """`POST /embeddings`."""
        body = call.body
        if unknown := sorted(body.keys() - EMBEDDING_FIELDS):
            raise extra([([name], body[name]) for name in unknown])
        found = models.embedding(call.model)
        self.require_model(call, fits=found is not None)
        assert found
        texts = answers.texts(body.get("input"))
        length = body.get("output_dimension") or found.dimensions
        vectors = [answers.encoded(answers.vector(found.space, text, length), body.get("encoding_format")) for text in texts]
        data = [{"object": "embedding", "embedding": vector, "index": i} for i, vector in enumerate(vectors)]
        used = sum(answers.tokens(text) for text in texts)
        total = {"prompt_tokens": used, "total_tokens": used, "completion_tokens": 0}
        name = answers.identifier(call.ordinal, HEX, 32)
        return Reply({"id": name, "object": "list", "data": data, "model": call.model, "usage": total})

    def transcriptions(self, call: Call) -> Reply:
        """`POST /audio/transcriptions`. Always JSON: Mistral knows no other format."""
        self.require_model(call, fits=models.transcribes(call.model))
        file = call.files.get("file")
        if file is None:
            missing = {"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}
            raise Refused(Reply({"detail": [missing]}, 422))
        length, text = audio.seconds(file), audio.heard(self.name, call, file)
        segments = []
        if call.body.get("timestamp_granularities"):
            segments = [{"text": text, "start": 0.0, "end": length, "type": "transcription_segment"}]
        said = answers.tokens(text)
        used = {
            "prompt_audio_seconds": int(length),
            "prompt_tokens": 4,
            "total_tokens": 4 + said,
            "completion_tokens": said,
        }
        return Reply(
            {
                "model": call.model,
                "text": text,
                "language": call.body.get("language"),
                "segments": segments,
                "usage": used,
            }
        )

    def models(self, call: Call) -> Reply:
        """`GET /models`."""
        have = call.state.models[self.name]
        return Reply(
            {
                "object": "list",
                "data": [described(name) for name in (models.MISTRAL if have is None else sorted(have))],
            }
        )


def described(name: str) -> dict[str, Any]:
    """One entry of the model list."""
    can = {
        "completion_chat": models.chats(name), "function_calling": models.chats(name), "completion_fim": False,
        "vision": "medium" in name or "large" in name, "audio": "voxtral" in name,
    }  # fmt: skip
    return {
        "id": name, "object": "model", "created": 1764547200, "owned_by": "mistralai", "capabilities": can, "name": name,
        "aliases": [], "max_context_length": 262144, "type": "base",
    }  # fmt: skip


def usage(answer: Answer) -> dict[str, int]:
    """The tokens an answer is billed for."""
    total = answer.prompt_tokens + answer.completion_tokens
    return {
        "prompt_tokens": answer.prompt_tokens,
        "total_tokens": total,
        "completion_tokens": answer.completion_tokens,
    }
