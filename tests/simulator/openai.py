"""OpenAI: `/openai/v1`."""

from __future__ import annotations

import json
import string
import time
from typing import TYPE_CHECKING, Any, Final

from . import answers, audio, models, openai_errors
from .exchange import Refused, Reply, Stream, bearer, sse
from .openai_errors import error, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from .answers import Answer
    from .exchange import Call
    from .state import Rule

ALPHANUMERIC: Final = string.ascii_letters + string.digits
HEX: Final = "0123456789abcdef"

CHAT_FIELDS: Final = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)


class OpenAI:
    """OpenAI's own API. Azure OpenAI is this with other doors (`azure.py`)."""

    name = "openai"
    prefix = "/openai/v1"

    def routes(self) -> list[tuple[str, str, Callable[[Call], Reply | Stream]]]:
        """The paths of OpenAI's API that the guide uses."""
        return [
            ("POST", "/chat/completions", self.chat),
            ("POST", "/embeddings", self.embeddings),
            ("POST", "/audio/transcriptions", self.transcriptions),
            ("GET", "/models", self.models),
            ("GET", "/models/{name}", self.one_model),
        ]

    def key(self, request: web.Request) -> str | None:
        """The Bearer token."""
        return bearer(request)

    def unauthorized(self, key: str | None) -> Reply:
        """401, with the key masked as OpenAI masks it."""
        return openai_errors.unauthorized(key)

    def unreadable(self) -> Reply:
        """The body is not JSON."""
        return openai_errors.unreadable()

    def headers(self, call: Call) -> dict[str, str]:
        """What OpenAI sends with every answer."""
        return {
            "openai-organization": "org-simulator", "openai-processing-ms": "42", "openai-version": "2020-10-01",
            "x-request-id": f"req_{answers.identifier(call.ordinal, HEX, 32)}", "x-content-type-options": "nosniff",
            "x-ratelimit-limit-requests": "10000", "x-ratelimit-limit-tokens": "2000000",
            "x-ratelimit-remaining-requests": "9999", "x-ratelimit-remaining-tokens": "1999950",
            "x-ratelimit-reset-requests": "6ms", "x-ratelimit-reset-tokens": "1ms",
        }  # fmt: skip

    def failure(self, rule: Rule, call: Call) -> Reply:
        """The error OpenAI answers in each of these cases."""
        return openai_errors.failure(rule, call.model)

    def known(self, call: Call) -> bool:
        """Tells whether this account has the model: those set through `/_sim/models`, else the catalogue."""
        have = call.state.models[self.name]
        return call.model in (models.OPENAI if have is None else have)

    def require_model(self, call: Call) -> None:
        """Refuses a missing or unknown model."""
        if not call.model:
            raise invalid("you must provide a model parameter")
        if not self.known(call):
            raise Refused(
                error(
                    404, f"The model `{call.model}` does not exist or you do not have access to it.",
                    kind="invalid_request_error", code="model_not_found",
                )
            )  # fmt: skip

    def wrong_operation(self, call: Call, operation: str) -> Refused:
        """The model exists but is of another kind."""
        if operation == "chatCompletion":
            return Refused(
                error(
                    404, "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you "
                    "mean to use v1/completions?", kind="invalid_request_error", code=None, param="model",
                )
            )  # fmt: skip
        return Refused(error(403, f"You are not allowed to use {call.model} here", kind="invalid_request_error", code=None))

    def unknown_fields(self, fields: list[str]) -> Refused:
        """The body has fields the API does not know."""
        return invalid(f"Unknown parameter: '{fields[0]}'.", code="unknown_parameter", param=fields[0])

    def snapshot(self, call: Call) -> str:
        """The model that the answer says it came from."""
        return models.OPENAI.get(call.model, call.model)

    def chat(self, call: Call) -> Reply | Stream:
        """`POST /chat/completions`."""
        self.require_model(call)
        body = call.body
        if unknown := sorted(body.keys() - CHAT_FIELDS):
            raise self.unknown_fields(unknown)
        if not isinstance(body.get("messages"), list):
            raise invalid("Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages")
        if not models.chats(call.model):
            raise self.wrong_operation(call, "chatCompletion")
        answer = answers.chat(
            provider=self.name, model=call.model, messages=body["messages"], tools=body.get("tools") or (),
            tool_choice=body.get("tool_choice"), response_format=body.get("response_format"),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        )  # fmt: skip
        if body.get("stream"):
            include = bool((body.get("stream_options") or {}).get("include_usage"))
            events = self.events(call, answer, include_usage=include)
            return Stream((sse(event) for event in events), "text/event-stream; charset=utf-8")
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.tool_call:
            message["tool_calls"] = [self.tool_call(call, answer)]
        message["annotations"] = []
        choice = {"message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        choices = [{"index": index, **choice} for index in range(body.get("n") or 1)]
        return Reply({**self.frame(call, "chat.completion"), "choices": choices, "usage": usage(answer)})

    def frame(self, call: Call, kind: str) -> dict[str, Any]:
        """What every completion and every chunk begins with."""
        return {
            "id": f"chatcmpl-{answers.identifier(call.ordinal, ALPHANUMERIC, 29)}", "object": kind,
            "created": int(time.time()), "model": self.snapshot(call), "service_tier": "default",
            "system_fingerprint": "fp_simulator",
        }  # fmt: skip

    def tool_call(self, call: Call, answer: Answer) -> dict[str, Any]:
        """The answer's tool call in OpenAI's shape."""
        assert answer.tool_call
        arguments = json.dumps(answer.tool_call.arguments)
        return {
            "id": f"call_{answers.identifier(call.ordinal, ALPHANUMERIC, 24)}", "type": "function",
            "function": {"name": answer.tool_call.name, "arguments": arguments},
        }  # fmt: skip

    def events(self, call: Call, answer: Answer, *, include_usage: bool) -> Iterator[object]:
        """The stream's events: the role, the words or the pieces of the arguments, the reason, the usage, the end."""
        frame = self.frame(call, "chat.completion.chunk")
        last = {"usage": None} if include_usage else {}
        for delta, reason in self.deltas(call, answer):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield {**frame, "choices": [choice], **last}
        if include_usage:
            yield {**frame, "choices": [], "usage": usage(answer)}
        yield "[DONE]"

    def deltas(self, call: Call, answer: Answer) -> Iterator[tuple[dict[str, Any], str | None]]:
        """What each chunk adds, and why the last one ends."""
        if answer.tool_call:
            whole = {"index": 0, **self.tool_call(call, answer)}
            named = {**whole, "function": {"name": answer.tool_call.name, "arguments": ""}}
            yield {"role": "assistant", "content": None, "tool_calls": [named], "refusal": None}, None
            arguments = whole["function"]["arguments"]
            for start in range(0, len(arguments), 6):
                part = {"index": 0, "function": {"arguments": arguments[start : start + 6]}}
                yield {"tool_calls": [part]}, None
        else:
            yield {"role": "assistant", "content": "", "refusal": None}, None
            for piece in answers.pieces(answer.text):
                yield {"content": piece}, None
        yield {}, answer.finish_reason

    def embeddings(self, call: Call) -> Reply:
        """`POST /embeddings`."""
        self.require_model(call)
        body, found = call.body, models.embedding(call.model)
        if found is None:
            raise self.wrong_operation(call, "embeddings")
        texts = answers.texts(body.get("input"))
        if not texts or "" in texts:
            raise invalid("'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")
        if body.get("dimensions") and not found.shortens:
            raise invalid("This model does not support specifying dimensions.")
        length = body.get("dimensions") or found.dimensions
        if not 0 < length <= found.dimensions:
            raise invalid(f"Invalid value for 'dimensions' = {length}. Must be less than or equal to {found.dimensions}.")
        vectors = [answers.encoded(answers.vector(found.space, text, length), body.get("encoding_format")) for text in texts]
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        used = sum(answers.tokens(text) for text in texts)
        total = {"prompt_tokens": used, "total_tokens": used}
        return Reply({"object": "list", "data": data, "model": self.snapshot(call), "usage": total})

    def transcriptions(self, call: Call) -> Reply:
        """`POST /audio/transcriptions`."""
        self.require_model(call)
        if not models.transcribes(call.model):
            raise self.wrong_operation(call, "audio.transcriptions")
        file = call.files.get("file")
        if file is None:
            raise invalid("1 validation error for Request\nbody -> file\n  field required (type=value_error.missing)")
        if file.filename.rpartition(".")[2].lower() not in audio.SUFFIXES:
            raise invalid(f"Invalid file format. Supported formats: {list(audio.SUFFIXES)}", param="file")
        length = audio.seconds(file)
        if length < 0.1:
            raise invalid(
                "Audio file is too short. Minimum audio length is 0.1 seconds.",
                code="audio_too_short",
                param="file",
            )
        wanted = call.body.get("response_format", "json")
        if wanted not in audio.FORMATS:
            raise invalid(f"'{wanted}' is not one of {list(audio.FORMATS)} - 'response_format'", param="response_format")
        return audio.transcription(audio.heard(self.name, call, file), length, wanted, call.body)

    def models(self, call: Call) -> Reply:
        """`GET /models`."""
        have = call.state.models[self.name]
        return Reply(
            {
                "object": "list",
                "data": [described(name) for name in sorted(models.OPENAI if have is None else have)],
            }
        )

    def one_model(self, call: Call) -> Reply:
        """`GET /models/{name}`."""
        call.model = call.request.match_info["name"]
        self.require_model(call)
        return Reply(described(call.model))


def described(name: str) -> dict[str, Any]:
    """One entry of the model list."""
    return {"id": name, "object": "model", "created": 1744316542, "owned_by": "system"}


def usage(answer: Answer) -> dict[str, Any]:
    """The tokens an answer is billed for."""
    return {
        "prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip
