"""One exchange, from the request to the last byte: read, record, check the key, apply the rules, answer.

A provider only says how it differs: where the key is, what its errors look like, which headers it sends, and
for each path a function from the call to a `Reply` or a `Stream`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import BodyPartReader, web

from .state import Effects, Received, Rule, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

STATE: Final = web.AppKey("state", State)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: JSON, or a text that is sent as it is."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def bearer(request: web.Request) -> str | None:
    """The Bearer token, for the providers that take their key so."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in chunks, each sent on its own."""

    chunks: Iterable[bytes]
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818 (an answer, not a mistake of ours)
    """The provider's error answer; raised wherever a call turns out to deserve it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Dropped(Exception):  # noqa: N818 (an answer, not a mistake of ours)
    """No answer at all: the connection is dropped."""


@dataclass(slots=True)
class Upload:
    """A file that came with a form."""

    filename: str
    content_type: str
    data: bytes

    def report(self) -> dict[str, Any]:
        """What is recorded of it: never the bytes themselves."""
        digest = hashlib.sha256(self.data).hexdigest()
        return {
            "filename": self.filename,
            "contentType": self.content_type,
            "bytes": len(self.data),
            "sha256": digest,
        }


@dataclass(slots=True)
class Call:
    """A request as its provider sees it."""

    request: web.Request
    state: State
    received: Received
    body: dict[str, Any]
    files: dict[str, Upload]
    model: str
    """The upstream model or Azure deployment; empty where the path has none."""
    effects: Effects = field(default_factory=Effects)

    @property
    def ordinal(self) -> int:
        """The request's number since the simulator started, from 1."""
        return self.received.ordinal


class Provider(Protocol):
    """How one provider differs from the others."""

    name: str
    prefix: str

    def routes(self) -> list[tuple[str, str, Callable[[Call], Reply | Stream]]]:
        """Method, path below the prefix, and what answers there."""

    def key(self, request: web.Request) -> str | None:
        """The key the request carries."""

    def unauthorized(self, key: str | None) -> Reply:
        """The answer to a missing or wrong key."""

    def failure(self, rule: Rule, call: Call) -> Reply:
        """The true error of the failure a rule asks for (status, rate-limit, context-window, content-policy)."""

    def unreadable(self) -> Reply:
        """The answer to a body that is not JSON."""

    def headers(self, call: Call) -> dict[str, str]:
        """The headers every answer carries."""


def handler(provider: Provider, answer: Callable[[Call], Reply | Stream]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of one path of one provider."""

    async def handle(request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        body, files = await read(request)
        call = record(provider, request, body, files)
        try:
            reply = await decide(provider, answer, call, readable=body is not None)
            if isinstance(reply, Stream):
                return await send(call, reply, provider.headers(call))
            return whole(call, reply, provider.headers(call))
        except Refused as refused:
            return whole(call, refused.reply, provider.headers(call))
        except Dropped:
            return drop(call, web.Response())
        finally:
            call.received.seconds = time.perf_counter() - started

    return handle


async def decide(provider: Provider, answer: Callable[[Call], Reply | Stream], call: Call, *, readable: bool) -> Reply | Stream:
    """The answer a call gets, after the delay the rules ask for. Raises Refused and Dropped."""
    if call.state.keys[provider.name] and call.received.key_name is None:
        raise Refused(provider.unauthorized(call.received.key))
    if not readable:
        raise Refused(provider.unreadable())
    if call.state.rules and call.model:
        call.effects = call.state.effects(provider.name, call.model)
        await asyncio.sleep(call.effects.delay)
        if failure := call.effects.failure:
            raise Dropped if failure.fail == "disconnect" else Refused(provider.failure(failure, call))
    return answer(call)


async def read(request: web.Request) -> tuple[dict[str, Any] | None, dict[str, Upload]]:
    """The body's fields and files; None for a body that is no JSON object.

    JSON is read whatever its content type: LiteLLM sends Ollama's as application/octet-stream.
    """
    if request.content_type.startswith("multipart/"):
        return await read_form(request)
    raw = await request.read()
    if not raw:
        return {}, {}
    try:
        body = json.loads(raw)
    except ValueError:
        return None, {}
    return (body if isinstance(body, dict) else None), {}


async def read_form(request: web.Request) -> tuple[dict[str, Any], dict[str, Upload]]:
    """A form's fields and files; a field named `x[]`, or sent twice, is a list `x`."""
    fields: dict[str, Any] = {}
    files: dict[str, Upload] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data = bytes(await part.read())
        if part.filename is not None:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            files[part.name] = Upload(part.filename, kind, data)
        elif part.name.endswith("[]"):
            fields.setdefault(part.name[:-2], []).append(data.decode())
        else:
            fields[part.name] = data.decode()
    return fields, files


def record(provider: Provider, request: web.Request, body: dict[str, Any] | None, files: dict[str, Upload]) -> Call:
    """Notes the request. Cheap: headers and body are kept as they are and put in words only when asked for."""
    state, fields = request.app[STATE], body or {}
    model = str(request.match_info.get("deployment") or fields.get("model") or fields.get("name") or "")
    key = provider.key(request)
    shown = {**fields, **{name: file.report() for name, file in files.items()}} if files else body
    received = Received(
        ordinal=next(state.ordinals), at=time.time(), provider=provider.name, model=model or None,
        method=request.method, path=request.path, query=request.query, headers=request.headers,
        key=key, key_name=state.key_name(provider.name, key), body=shown,
    )  # fmt: skip
    state.counts[provider.name, model] += 1
    if state.recording:
        state.received.append(received)
    return Call(request, state, received, fields, files, model)


def whole(call: Call, reply: Reply, headers: dict[str, str]) -> web.Response:
    """A whole answer as aiohttp sends it."""
    call.received.status = reply.status
    text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body, separators=(",", ":"))
    typed = {**headers, **reply.headers, "Content-Type": reply.content_type}
    return web.Response(status=reply.status, body=text.encode(), headers=typed)


async def send(call: Call, stream: Stream, headers: dict[str, str]) -> web.StreamResponse:
    """Sends a stream chunk by chunk, as slowly and as far as the rules say."""
    response = web.StreamResponse(headers={**headers, **stream.headers, "Content-Type": stream.content_type})
    call.received.status = response.status
    try:
        await response.prepare(call.request)
        for number, chunk in enumerate(stream.chunks):
            if number == call.effects.cut_after_chunks:
                return drop(call, response)
            if number and call.effects.chunk_delay:
                await asyncio.sleep(call.effects.chunk_delay)
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        call.received.aborted = True
    return response


def drop(call: Call, response: web.StreamResponse) -> web.StreamResponse:
    """Drops the connection, as a provider's load balancer does on a bad day."""
    call.received.aborted = True
    if call.request.transport is not None:
        call.request.transport.abort()
    return response


def sse(data: object) -> bytes:
    """One server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data, separators=(',', ':'))}\n\n".encode()


def phrase(status: int) -> str:
    """What HTTP calls a status: the message of an error that has none of its own."""
    return HTTPStatus(status).phrase
