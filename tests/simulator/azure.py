"""Azure OpenAI: `/azure/openai/deployments/{deployment}/…?api-version=…`, key in the header `api-key`."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from . import models
from .exchange import Refused, Reply, Stream, phrase
from .openai import OpenAI
from .openai_errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from .answers import Answer
    from .exchange import Call
    from .state import Rule

API_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
NAMESPACE: Final = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")

SAFE: Final = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
JAILBREAK: Final = {"jailbreak": {"filtered": False, "detected": False}}


def error(status: int, code: str, message: str) -> Reply:
    """The error envelope of Azure's gateway; the models behind it answer OpenAI's."""
    return Reply({"error": {"code": code, "message": message}}, status)


class Azure(OpenAI):
    """OpenAI's API behind Azure's gateway: deployments instead of models, versions, content filters."""

    name = "azure"
    prefix = "/azure/openai"

    def routes(self) -> list[tuple[str, str, Callable[[Call], Reply | Stream]]]:
        """The paths of the resource's data plane."""
        deployment = "/deployments/{deployment}"
        return [
            ("POST", f"{deployment}/chat/completions", self.versioned(self.chat)),
            ("POST", f"{deployment}/embeddings", self.versioned(self.embeddings)),
            ("POST", f"{deployment}/audio/transcriptions", self.versioned(self.transcriptions)),
            ("GET", "/models", self.versioned(self.models)),
        ]

    def versioned(self, answer: Callable[[Call], Reply | Stream]) -> Callable[[Call], Reply | Stream]:
        """Refuses a call without a well-formed api-version: to Azure such a path does not exist."""

        def checked(call: Call) -> Reply | Stream:
            if not API_VERSION.fullmatch(call.request.query.get("api-version", "")):
                raise Refused(error(404, "404", "Resource not found"))
            return answer(call)

        return checked

    def key(self, request: web.Request) -> str | None:
        """The header `api-key`, else a Bearer token (Entra ID)."""
        return request.headers.get("api-key") or super().key(request)

    def unauthorized(self, key: str | None) -> Reply:
        """401: without any key the gateway asks for a token."""
        if key is None:
            return Reply(
                {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is incorrect "
                 "(https://cognitiveservices.azure.com), or have expired."}, 401,
            )  # fmt: skip
        return error(
            401, "401", "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
            "valid key for an active subscription and use a correct regional API endpoint for your resource.",
        )  # fmt: skip

    def headers(self, call: Call) -> dict[str, str]:
        """What Azure sends with every answer."""
        request_id = str(uuid.uuid5(NAMESPACE, str(call.ordinal)))
        sent = {
            "apim-request-id": request_id, "x-request-id": request_id, "x-ms-region": "Sweden Central",
            "x-ratelimit-limit-requests": "1000", "x-ratelimit-limit-tokens": "1000000",
            "x-ratelimit-remaining-requests": "999", "x-ratelimit-remaining-tokens": "999950",
            "x-content-type-options": "nosniff", "azureml-model-session": "simulator",
        }  # fmt: skip
        return {**sent, "x-ms-deployment-name": call.model} if call.model else sent

    def failure(self, rule: Rule, call: Call) -> Reply:
        """The error Azure answers in each of these cases."""
        match rule.fail:
            case "rate-limit":
                version = call.request.query.get("api-version", "")
                limited = error(
                    429, "429", rule.message or "Requests to the ChatCompletions_Create Operation under Azure OpenAI "
                    f"API version {version} have exceeded token rate limit of your current OpenAI S0 pricing tier. "
                    f"Please retry after {rule.retry_after:g} seconds. Please go here: https://aka.ms/oai/quotaincrease "
                    "if you would like to further increase the default rate limit.",
                )  # fmt: skip
                wait = {
                    "retry-after": f"{rule.retry_after:g}", "retry-after-ms": f"{rule.retry_after * 1000:.0f}",
                    "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{rule.retry_after:g}",
                    "policy-id": "DeploymentRatelimit-Token",
                }  # fmt: skip
                return Reply(limited.body, 429, headers=wait)
            case "content-policy":
                return self.filtered(rule)
            case "status" if rule.status >= 500:
                code = {500: "InternalServerError", 503: "ServiceUnavailable"}.get(rule.status, str(rule.status))
                said = rule.message or "The server had an error while processing your request. Sorry about that!"
                return error(rule.status, code, said)
            case "status":
                return error(rule.status, str(rule.status), rule.message or phrase(rule.status))
        return super().failure(rule, call)

    def filtered(self, rule: Rule) -> Reply:
        """The content filter found the prompt violent."""
        found = {**SAFE, **JAILBREAK, "violence": {"filtered": True, "severity": "medium"}}
        message = rule.message or (
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
            "modify your prompt and retry. To learn more about our content filtering policies please read our "
            "documentation: https://go.microsoft.com/fwlink/?linkid=2198766"
        )
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": found}
        whole = {"message": message, "type": None, "param": "prompt", "code": "content_filter", "status": 400}
        return Reply({"error": {**whole, "innererror": inner}}, 400)

    def known(self, call: Call) -> bool:
        """Deployment names are the user's own: all exist unless `/_sim/models/azure` lists them."""
        have = call.state.models[self.name]
        return have is None or call.model in have

    def require_model(self, call: Call) -> None:
        """Refuses a deployment that does not exist."""
        if not self.known(call):
            raise Refused(
                error(
                    404, "DeploymentNotFound", "The API deployment for this resource does not exist. If you created "
                    "the deployment within the last 5 minutes, please wait a moment and try again.",
                )
            )  # fmt: skip

    def wrong_operation(self, call: Call, operation: str) -> Refused:
        """The deployment exists but its model is of another kind."""
        return Refused(
            error(
                400, "OperationNotSupported", f"The {operation} operation does not work with the specified model, "
                f"{call.model}. Please choose different model and try again. You can learn more about which models can "
                "be used with each operation here: https://go.microsoft.com/fwlink/?linkid=2197993.",
            )
        )  # fmt: skip

    def unknown_fields(self, fields: list[str]) -> Refused:
        """The body has fields the API does not know."""
        return invalid(f"Unrecognized request argument supplied: {fields[0]}")

    def snapshot(self, call: Call) -> str:
        """The model behind the deployment."""
        found = models.embedding(call.model)
        return found.space if found else models.azure_snapshot(call.model)

    def chat(self, call: Call) -> Reply | Stream:
        """OpenAI's chat, with what the content filters found."""
        reply = super().chat(call)
        if isinstance(reply, Reply):
            for choice in reply.body["choices"]:
                choice["content_filter_results"] = SAFE
            reply.body["prompt_filter_results"] = prompt_filters()
        return reply

    def events(self, call: Call, answer: Answer, *, include_usage: bool) -> Iterator[object]:
        """OpenAI's events: a first one, with no choices, about the prompt, and filter results on each choice."""
        yield {
            "choices": [], "created": 0, "id": "", "model": "", "object": "",
            "prompt_filter_results": prompt_filters(),
        }  # fmt: skip
        for event in super().events(call, answer, include_usage=include_usage):
            if isinstance(event, dict):
                for choice in event["choices"]:
                    choice["content_filter_results"] = SAFE if choice["delta"].get("content") else {}
            yield event

    def models(self, call: Call) -> Reply:  # noqa: ARG002 (the same for every caller)
        """`GET /openai/models`: the base models of the resource's region."""
        data = [
            {"id": name, "object": "model", "created_at": 1744316542, "status": "succeeded", "lifecycle_status":
             "generally-available", "capabilities": {"chat_completion": models.chats(name), "completion": False,
             "embeddings": models.embedding(name) is not None, "fine_tune": False, "inference": True}}
            for name in sorted(models.OPENAI)
        ]  # fmt: skip
        return Reply({"data": data, "object": "list"})


def prompt_filters() -> list[dict[str, Any]]:
    """What the content filters say about an innocent prompt."""
    return [{"prompt_index": 0, "content_filter_results": {**SAFE, **JAILBREAK}}]
