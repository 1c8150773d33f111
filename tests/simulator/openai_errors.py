"""The errors of OpenAI's API, word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .exchange import Refused, Reply, phrase

if TYPE_CHECKING:
    from .state import Rule


def error(status: int, message: str, *, kind: str, code: str | None, param: str | None = None) -> Reply:
    """OpenAI's error envelope."""
    return Reply({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def invalid(message: str, *, code: str | None = None, param: str | None = None) -> Refused:
    """The request itself is wrong."""
    return Refused(error(400, message, kind="invalid_request_error", code=code, param=param))


def unauthorized(key: str | None) -> Reply:
    """401, with the key masked as OpenAI masks it."""
    if key is None:
        return error(
            401, "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank "
            "username) if you're accessing the API from your browser and are prompted for a username and "
            "password. You can obtain an API key from https://platform.openai.com/account/api-keys.",
            kind="invalid_request_error", code=None,
        )  # fmt: skip
    masked = f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}" if len(key) > 12 else "*" * len(key)
    return error(
        401, f"Incorrect API key provided: {masked}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.", kind="invalid_request_error", code="invalid_api_key",
    )  # fmt: skip


def unreadable() -> Reply:
    """The body is not JSON."""
    return error(
        400, "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
        kind="invalid_request_error", code=None,
    )  # fmt: skip


def failure(rule: Rule, model: str) -> Reply:
    """The error OpenAI answers in each of these cases."""
    match rule.fail:
        case "rate-limit":
            limited = error(
                429, rule.message or f"Rate limit reached for {model} in organization org-simulator on "
                f"requests per min (RPM): Limit 10000, Used 10000, Requested 1. Please try again in "
                f"{rule.retry_after:g}s. Visit https://platform.openai.com/account/rate-limits to learn more.",
                kind="requests", code="rate_limit_exceeded",
            )  # fmt: skip
            wait = {
                "retry-after": f"{rule.retry_after:g}", "retry-after-ms": f"{rule.retry_after * 1000:.0f}",
                "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{rule.retry_after:g}s",
            }  # fmt: skip
            return Reply(limited.body, 429, headers=wait)
        case "context-window":
            return error(
                400, rule.message or "This model's maximum context length is 1047576 tokens. However, your "
                "messages resulted in 1200042 tokens. Please reduce the length of the messages.",
                kind="invalid_request_error", code="context_length_exceeded", param="messages",
            )  # fmt: skip
        case "content-policy":
            return error(
                400, rule.message or "Invalid prompt: your prompt was flagged as potentially violating our usage "
                "policy. Please try again with a different prompt: "
                "https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
                kind="invalid_request_error", code="invalid_prompt",
            )  # fmt: skip
    overloaded = "The server is currently overloaded with other requests. Sorry about that! Please try again."
    broken = "The server had an error while processing your request. Sorry about that!"
    if rule.status >= 500:
        said = rule.message or (overloaded if rule.status == 503 else broken)
        return error(rule.status, said, kind="server_error", code=None)
    return error(rule.status, rule.message or phrase(rule.status), kind="invalid_request_error", code=None)
