"""The release's proxy replicas, each asked by its own pod IP: what a client sends, and what the operator asks."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from kube import Kube


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A chat request's answer. Seconds of time.perf_counter()."""

    status: int
    text: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class Replicas:
    """Use as `async with Replicas(kube, release) as replicas`."""

    def __init__(self, kube: Kube, release: str) -> None:
        """`release` is in the namespace of this pod."""
        self._kube, self._release = kube, release

    async def __aenter__(self) -> Replicas:
        """Finds the pods and the keys."""
        selector = f"app.kubernetes.io/instance={self._release},app.kubernetes.io/component=proxy"
        pods = (await self._kube.call("GET", self._kube.core("pods"), labelSelector=selector))["items"]
        self.urls = [f"http://{pod['status']['podIP']}:4000" for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        secret = (await self._kube.call("GET", self._kube.core("secrets", f"{self._release}-master-key")))["data"]
        keys = {name: base64.b64decode(value).decode() for name, value in secret.items()}
        self._client = {"Authorization": f"Bearer {keys['LITELLM_MASTER_KEY']}"}
        self._operator = {"Authorization": f"Bearer {keys['MODELROUTE_STATUS_TOKEN']}"}
        self.service = f"http://{self._release}:4000"
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closed."""
        await self.session.close()

    async def chat(self, url: str, model: str, question: str = "Hello") -> Answer:
        """One chat request. status 0: no answer; the text is then the error, else the answer or the body of a refusal."""
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        began = time.perf_counter()
        try:
            async with self.session.post(f"{url}/v1/chat/completions", json=body, headers=self._client) as response:
                data = await response.json()
                ended = time.perf_counter()
                text = data["choices"][0]["message"]["content"] if response.status == 200 else str(data)
                return Answer(status=response.status, text=text, began=began, ended=ended)
        except aiohttp.ClientError as error:
            return Answer(status=0, text=f"{type(error).__name__} {error}", began=began, ended=time.perf_counter())

    async def chat_everywhere(self, model: str) -> float:
        """Seconds until every replica has answered the same question, asked at once."""
        answers = await asyncio.gather(*(self.chat(url, model) for url in self.urls))
        for answer in answers:
            if answer.status not in {200, 404}:
                raise RuntimeError(f"{model}: {answer.status} {answer.text}")
        return max(answer.seconds for answer in answers)

    async def news(self, url: str, after: int, wait: float) -> dict[str, Any]:
        """The plugin's status, as soon as it is no longer version `after`."""
        query = {"after": str(after), "wait": str(wait)}
        async with self.session.get(f"{url}/modelroutes/status", params=query, headers=self._operator) as response:
            response.raise_for_status()
            return dict(await response.json())


@dataclass(kw_only=True)
class Arrival:
    """When a change arrived at one replica."""

    news: float
    answer: Answer
    asked: int


async def arrival(replicas: Replicas, url: str, model: str, status: int, text: str) -> Arrival:
    """Waits for news, then asks `model` until the answer has this status (and, for 200, this text).

    The replica's news are an event, so waiting costs it nothing; polling it with requests would slow down what is measured.
    """
    version = int((await replicas.news(url, 0, 0))["version"])
    asked = 0
    while True:
        version = int((await replicas.news(url, version, 30))["version"])
        came = time.perf_counter()
        answer = await replicas.chat(url, model)
        asked += 1
        if answer.status == status and (status != 200 or answer.text == text):
            return Arrival(news=came, answer=answer, asked=asked)
        if answer.status not in {200, 404}:
            raise RuntimeError(f"{model} at {url}: {answer.status} {answer.text}")
