"""One door to the API server: JSON in, JSON out, over the official client's connection and credentials."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from kubernetes.aio import client, config

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_MANAGER = "modelroute-operator"

Json = dict[str, Any]


class ApiError(Exception):
    """The API server said no. `status`: the HTTP status; the message is the server's sentence and what was asked."""

    def __init__(self, status: int, message: str) -> None:
        """Keeps the status beside the sentence."""
        super().__init__(message)
        self.status = status


FAILURES = (ApiError, aiohttp.ClientError, TimeoutError, OSError)
"""What a request may raise: it is tried again."""


def cause(error: BaseException) -> str:
    """Why, in words: a time-out has none of its own."""
    return str(error) or type(error).__name__


class Api:
    """The API server. Reads the token anew as the official client does."""

    def __init__(self, connection: client.ApiClient) -> None:
        """Use `connect()`."""
        self._client = connection

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def call(self, method: str, path: str, body: Json | None = None, *, content_type: str = "application/json", seconds: float = 30.0, **query: str) -> Json:
        """One request; the answer's JSON.

        Raises:
            ApiError: any status that is not 2xx.
            aiohttp.ClientError, TimeoutError: no answer.

        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = await self._client.param_serialize(method, path, query_params=list(query.items()), header_params=headers, body=body, auth_settings=["BearerToken"])
        response = await self._client.call_api(*request, _request_timeout=seconds)
        text = await response.read()
        if 200 <= response.status <= 299:
            answer: Json = json.loads(text)
            return answer
        raise ApiError(response.status, f"{method} {path}: {response.status} {_sentence(text)}")

    async def get(self, path: str) -> Json | None:
        """One object, or None where there is none."""
        try:
            return await self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, path: str, body: Json) -> Json:
        """Server-side apply: ours are exactly the fields of `body`."""
        return await self.call("PATCH", path, body, content_type=APPLY_PATCH, fieldManager=FIELD_MANAGER, force="true")


def _sentence(text: bytes | str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return (text.decode(errors="replace") if isinstance(text, bytes) else text)[:200]


async def connect() -> Api:
    """Inside a pod by its service account, else by KUBECONFIG."""
    try:
        config.load_incluster_config()
    except config.ConfigException:
        await config.load_kube_config()
    configuration = client.Configuration.get_default_copy()
    configuration.client_session_kwargs = {"trust_env": False}  # else a look at ~/.netrc and the proxies for every request
    return Api(client.ApiClient(configuration))
