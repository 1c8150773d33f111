"""Ollama's HTTP API, as far as the operator needs it: what a server holds, what a model can do, pull, delete."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp

from modelroute_operator.core.ollama import Facts, Held, Pull

SILENCE_SECONDS = 900.0
"""Ollama says nothing while it verifies what it has: longest for the largest models on slow disks."""


class OllamaError(Exception):
    """Ollama said no; the message is its own."""


FAULTS = (OllamaError, aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What a call may raise: Ollama's refusal, no connection, or an answer that is none of Ollama's."""


class OllamaApi:
    """A client for any number of servers. Every method may raise `FAULTS`."""

    def __init__(self) -> None:
        """Connects on demand."""
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()

    async def models(self, url: str) -> list[tuple[str, Held]]:
        """The models on a server by the names it gives them."""
        async with self._http().get(f"{url}/api/tags") as response:
            response.raise_for_status()
            listed = (await response.json())["models"]
        return [(model["name"], Held(digest=model["digest"], size=model["size"])) for model in listed or ()]

    async def facts(self, url: str, model: str) -> Facts | None:
        """What a model can do; None where the server cannot say."""
        async with self._http().post(f"{url}/api/show", json={"model": model}) as response:
            if response.status != 200:
                return None
            shown = await response.json()
        can, about = shown.get("capabilities") or (), shown.get("model_info") or {}
        length = about.get(f"{about.get('general.architecture')}.context_length")
        return Facts(
            tools="tools" in can,
            embedding="embedding" in can,
            vision="vision" in can,
            context_length=length if isinstance(length, int) else None,
        )

    async def pull(self, url: str, model: str, *, insecure: bool) -> AsyncIterator[Pull]:
        """Pulls a model, and tells the progress with every layer announced or grown. Ends when the model is there."""
        layers: dict[str, Pull] = {}
        body = {"model": model, "stream": True, "insecure": insecure}
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=SILENCE_SECONDS)
        async with self._http().post(f"{url}/api/pull", json=body, timeout=timeout) as response:
            async for raw in response.content:
                line = json.loads(raw)
                if "error" in line:
                    raise OllamaError(line["error"])
                if line.get("status") == "success":
                    return
                if "digest" in line and "total" in line:
                    layers[line["digest"]] = Pull(completed=line.get("completed", 0), total=line["total"])
                    yield Pull(completed=sum(each.completed for each in layers.values()), total=sum(each.total for each in layers.values()))
        message = "Ollama ended the pull without a result"
        raise OllamaError(message)

    async def delete(self, url: str, model: str) -> None:
        """Deletes a model; one that is not there is deleted."""
        async with self._http().delete(f"{url}/api/delete", json={"model": model}) as response:
            if response.status not in {200, 404}:
                raise OllamaError(await response.text())

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, timeout=aiohttp.ClientTimeout(total=20, connect=5))
        return self._session
