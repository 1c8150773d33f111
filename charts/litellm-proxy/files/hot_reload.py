"""Serve ModelRoutes from a running LiteLLM proxy, without a restart.

LiteLLM loads this file through `litellm_settings.callbacks: ["hot_reload.instance"]` and runs it on its event
loop. It needs the standard library and what LiteLLM itself depends on; nothing else is installed for it.

    Sources ──▶ Table ────▶ Activation ──▶ LiteLLM's router
    API server  every       the routes         ▲
    or files    route       in use             │
                   ▲            ▲              │
                   Endpoints    Hooks ─────────┘
                   lists,       rules, then the route a request names
                   status

The table is a dictionary; only routes that requests name are in the router, because LiteLLM's boot, its requests
and its lists slow down with every deployment it holds. The table and the router change between two awaits, so a
request sees them before or after a change, never in the middle.

Environment: MODELROUTE_DIR (holds `routes/` and `credentials/`), MODELROUTE_STATUS_TOKEN; in a cluster also
MODELROUTE_NAMESPACE, MODELROUTE_ROUTES and MODELROUTE_CREDENTIALS. A route that nobody used for
MODELROUTE_IDLE_SECONDS (900) leaves the router.
"""

from __future__ import annotations

import asyncio
import base64
import fnmatch
import functools
import gc
import hashlib
import hmac
import itertools
import json
import logging
import os
import random
import signal
import ssl
import sys
import threading
import time
import types
from collections import Counter, deque
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import litellm
from fastapi import Depends, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from litellm._logging import verbose_proxy_logger
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from litellm.proxy._types import ProxyException, UserAPIKeyAuth
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth
from litellm.proxy.health_endpoints._health_endpoints import health_endpoint
from litellm.types.router import CredentialLiteLLMParams, Deployment, LiteLLM_Params
from pydantic import ValidationError

try:  # from LiteLLM 1.110 on, the router is a facade over a Rust core that changes by ChangeSet only
    from litellm.router_api import ChangeSet
except ImportError:
    ChangeSet = None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Mapping

TOKEN = os.environ.get("MODELROUTE_STATUS_TOKEN", "")
IDLE_SECONDS = float(os.environ.get("MODELROUTE_IDLE_SECONDS", "900"))
PAST = 16  # replaced deployments that a route's requests in flight may still come back to
SLICE_SECONDS = 0.005  # how long work that may wait keeps the event loop from requests at a time

log = logging.getLogger("modelroute")
log.handlers = verbose_proxy_logger.handlers  # LiteLLM's own, so that its json_logs setting formats ours too
log.propagate = False
log.setLevel(logging.INFO)


class Refused(Exception):
    """A route cannot be served. The text is a sentence for its owner and never holds a credential."""


# --------------------------------------------------------------------------------------------------------------
# Table: every route by name. Pure: no I/O, no LiteLLM.
# --------------------------------------------------------------------------------------------------------------


class Route:
    """One line of a shard. Its deployments stay text until a request needs them: parsed, 10,000 are 40 MB."""

    __slots__ = (
        "aliases", "credentials", "fallbacks", "info", "key", "line", "mode", "name", "problem", "retries", "secrets", "tools"
    )  # fmt: skip

    #: parameters that are no secrets wherever their values come from, and may well be in an error's text
    PLAIN = ("_base", "_version", "_name", "_region", "_location", "_project", "_endpoint", "organization")

    def __init__(self, line: str) -> None:
        self.line = line
        self.key = line.partition('"')[2].partition('"')[0]
        self.problem, self.name, self.aliases = "", "", ()
        self.credentials = self.secrets = frozenset[str]()
        try:
            self._read(self._value())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.problem = f"This version of the proxy's plugin cannot read the route: {error!r}"

    def _value(self) -> dict[str, Any]:
        (value,) = json.loads(f"{{{self.line.rstrip(', ')}}}").values()
        return value

    def _read(self, value: dict[str, Any]) -> None:
        deployments = value["deployments"]
        credentials = [item for d in deployments for item in d.get("credentials", {}).items()]
        limits = {f: v for f, v in deployments[0]["model_info"].items() if f in ("max_input_tokens", "max_output_tokens")}
        tools = value.get("functionCalling")
        self.aliases = tuple(value.get("aliases", ()))
        self.credentials = frozenset(key for _, key in credentials)
        self.secrets = frozenset(key for param, key in credentials if not param.endswith(self.PLAIN))
        self.fallbacks: dict[str, list[str]] = value.get("fallbacks", {})
        self.retries: dict[str, int] = value.get("retries", {})
        self.tools = sys.intern(tools) if tools in ("Supported", "Limited", "Unsupported") else "Unknown"
        self.mode = sys.intern(value.get("mode", "chat"))
        #: the rest of its entry in /v1/models; there are few distinct ones, so they are shared
        self.info = sys.intern(json.dumps({"mode": self.mode, **limits})[1:])
        self.name = value["modelName"]

    @property
    def names(self) -> tuple[str, ...]:
        """What clients may send as `model`."""
        return (self.name, *self.aliases)

    def deployments(self) -> list[dict[str, Any]]:
        """`{litellm_params, model_info, credentials}` of each, as written in the line."""
        return self._value()["deployments"]


def digest_of(text: str) -> str:
    """The contract's 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keyed_digest_of(value: object) -> str:
    """The same of any JSON value, keyed, so that publishing it tells nothing about credentials in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hmac.new(TOKEN.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


class Table:
    """Which route answers to which name, and the credential values that routes refer to.

    `wanted` is what the shards say. `served` is the same, except that a route whose credential is missing keeps
    the line it was last served with, or is left out, and so does one that cannot be read; `unmet` says why.
    `version` rises with every change.
    """

    RECENT = "recent.json"  # its lines stand for those in the shards; null for none

    def __init__(self) -> None:
        self.loaded = False
        self.version = 0
        self.shards: dict[str, dict[str, Route | None]] = {}  # file -> key -> route
        self.digests: dict[str, str] = {}  # file -> digest
        self.wanted: dict[str, Route] = {}
        self.served: dict[str, Route] = {}
        self.names: dict[str, Route] = {}
        self.unmet: dict[str, str] = {}
        self.secret: dict[str, str] = {}  # as last read
        self.values: dict[str, str] = {}  # and what served routes still use of an earlier one
        self.secret_digest = keyed_digest_of({})

    @property
    def digest(self) -> str:
        """Of all that is in the table."""
        files = [f"{file} {digest}" for file, digest in sorted(self.digests.items())]
        return digest_of("\n".join([*files, f"credentials {self.secret_digest}"]))

    def differs(self, secret: Mapping[str, str] | None) -> bool:
        """Whether the Secret's content is known and not the one held."""
        return secret is not None and keyed_digest_of(secret) != self.secret_digest

    def update(
        self,
        files: Iterable[str] | None = None,
        texts: Mapping[str, str] | None = None,
        secret: Mapping[str, str] | None = None,
    ) -> list[tuple[Route | None, Route | None]]:
        """Take what changed; return (before, after) of every route that is served differently from now on.

        files: every shard there is. texts: the changed ones, whole. secret: all credentials. None: unchanged.
        """
        if secret is not None and self.differs(secret):
            self.secret, self.secret_digest = dict(secret), keyed_digest_of(secret)
        touched = set(self.unmet)
        if files is not None:
            touched |= self._read(set(files), texts or {})
            self.loaded = True
        changes = [change for key in sorted(touched) if (change := self._decide(key))]
        for before, _ in changes:  # all before any: names move between routes
            for name in before.names if before else ():
                if self.names.get(name) is before:
                    del self.names[name]
        for _, after in changes:
            if after:
                self.names.update(dict.fromkeys(after.names, after))
        self._keep_values_in_use()
        self.version += 1
        return changes

    def _read(self, files: set[str], texts: Mapping[str, str]) -> set[str]:
        """Replace the shards' lines; return the keys of those that differ. Equal lines are not parsed again."""
        touched: set[str] = set()
        for file in self.shards.keys() - files:
            touched.update(self.shards.pop(file))
            del self.digests[file]
        for file, text in texts.items():
            before = self.shards.get(file, {})
            after: dict[str, Route | None] = {}
            for line in (line.removesuffix(",") for line in text.splitlines()):  # the last route of a shard has no comma
                if len(line) > 1:  # the first and the last hold a brace each
                    key = line[1 : line.index('": ')]
                    known = (before.get(key), self.wanted.get(key))  # a line may have moved here from another file
                    route = next((route for route in known if route and route.line == line), None)
                    if route is None and not line.endswith('": null'):
                        route = Route(line)
                    after[route.key if route else key] = route
            touched |= {key for key in before.keys() | after.keys() if before.get(key, self) is not after.get(key, self)}
            self.shards[file], self.digests[file] = after, digest_of(text)
        for key in touched:  # all after any: routes move between shards
            homes = [self.shards[file] for file in (self.RECENT, *self.shards) if key in self.shards.get(file, ())]
            if homes and (route := homes[0][key]):
                self.wanted[key] = route
            else:
                self.wanted.pop(key, None)
        return touched

    def _decide(self, key: str) -> tuple[Route | None, Route | None] | None:
        want, have = self.wanted.get(key), self.served.get(key)
        self.unmet.pop(key, None)
        if want is have:
            return None
        missing = sorted(want.credentials - self.secret.keys()) if want else []
        if want and (missing or want.problem):
            problem = want.problem or f"Credential {missing[0]} is not in the credentials Secret (yet)."
            self.unmet[key] = problem + (" Until then it is served as it was before." if have else "")
            return None
        if want:
            self.served[key] = want
        else:
            del self.served[key]
        return have, want

    def _keep_values_in_use(self) -> None:
        values = dict(self.secret)
        if gone := self.values.keys() - values.keys():
            used = frozenset[str]().union(*(route.credentials for route in self.served.values()))
            values.update((key, self.values[key]) for key in gone & used)
        if values != self.values:  # the object's identity tells users of it whether anything changed
            self.values = values


# --------------------------------------------------------------------------------------------------------------
# Activation: the routes in use, in LiteLLM's router.
# --------------------------------------------------------------------------------------------------------------


class PythonRouter:
    """The router up to LiteLLM 1.108."""

    def __init__(self, router: Any) -> None:
        self.router = router

    def change(self, add: list[Deployment], drop: list[str]) -> None:
        """Add deployments, then remove others by id. Raises whatever LiteLLM raises for one it cannot take."""
        for deployment in add:
            self.router.add_deployment(deployment)
        for id_ in drop:
            if removed := self.router.delete_deployment(id_):
                with suppress(ValueError):
                    self.router.deployment_names.remove(removed["litellm_params"]["model"])  # LiteLLM only appends

    def has(self, id_: str) -> bool:
        return bool(self.router.has_model_id(id_))

    def knows(self, name: str) -> bool:
        """Whether it has a group, an alias or a deployment id of that name."""
        return bool(self.router.is_recognized_model(name))

    def matches(self) -> bool:
        """Whether it may serve names it does not know: wildcards, a default deployment, pass-through."""
        router = self.router
        everything = router.default_deployment or router.router_general_settings.pass_through_all_models
        return bool(everything or router.pattern_router.patterns)

    def deployments(self) -> list[dict[str, Any]]:
        """The live list."""
        deployments: list[dict[str, Any]] = self.router.model_list
        return deployments

    def pinned(self, ids: list[str]) -> list[dict[str, Any]]:
        """Of deployments that leave: those that requests in flight have to go on with. This router offers what is there now."""
        return []


class RustRouter(PythonRouter):
    """The router from LiteLLM 1.110 on, by its public entry points: the old methods are to be removed."""

    def change(self, add: list[Deployment], drop: list[str]) -> None:
        self.router.apply(ChangeSet(upsert=add, delete=drop))

    def has(self, id_: str) -> bool:
        return bool(self.router.registry().has_deployment(id_))

    def knows(self, name: str) -> bool:
        return bool(self.router.registry().resolve(name, kind="recognized"))

    def matches(self) -> bool:
        settings = self.router.settings()
        everything = settings.default_deployment or settings.router_general_settings.pass_through_all_models
        return bool(everything or self.router.registry().patterns().patterns)

    def deployments(self) -> list[dict[str, Any]]:
        deployments: list[dict[str, Any]] = self.router.registry().all()
        return deployments

    def pinned(self, ids: list[str]) -> list[dict[str, Any]]:
        """All: to a retry or fallback it offers the deployments there were when the request came."""
        return [found for id_ in ids if (found := self.router.registry().deployment_dict(id_))]


def build(route: Route, values: Mapping[str, str]) -> list[Deployment]:
    """The route's deployments with their credentials. Raises Refused.

    The id of a deployment ends in a keyed digest of all it is made of. So what LiteLLM remembers by id, such as
    the cooldown after a 401, ends with the key or address it was about, even when a request that used the old one
    fails last; and all replicas use the same ids.
    """
    if {",", "*"} & set(route.name):
        raise Refused(f"{route.name} cannot be a model's name: , and * have a meaning of their own to LiteLLM.")
    deployments = []
    for entry in route.deployments():
        secrets: dict[str, str] = {}
        try:
            secrets = {param: values[key] for param, key in entry.get("credentials", {}).items()}
            params, info = entry["litellm_params"] | secrets, entry["model_info"]
            refuse_references(params)
            if params["model"].startswith(("ollama/", "ollama_chat/")) and not params.get("api_base"):
                raise Refused("api_base is missing; without one, LiteLLM starts an Ollama server of its own.")
            info = info | {
                "id": f"{info['id']}#{keyed_digest_of([route.name, route.tools, params, info])[:8]}",
                "modelroute_name": route.name,
                "modelroute_tools": route.tools,
            }
            litellm.get_llm_provider(params["model"], params.get("custom_llm_provider"), params.get("api_base"), params.get("api_key"))
            deployments.append(Deployment(route.name, LiteLLM_Params(**params), info))
        except Exception as error:
            raise Refused(explain(error, secrets.values())) from None
    return deployments


def stable_id(id_: str) -> str:
    """`<namespace>/<route>/<backend>` of a deployment id in the router."""
    return id_.partition("#")[0]


def refuse_references(value: object, name: str = "") -> None:
    """Refuse what makes LiteLLM read the proxy's own environment or files and send that to the route's address."""
    if isinstance(value, dict):
        for key, inner in value.items():
            refuse_references(inner, key)
    elif isinstance(value, list):
        for inner in value:
            refuse_references(inner, name)
    elif isinstance(value, str):
        if value.startswith(("os.environ/", "oidc/")):
            raise Refused(f"{name} refers to the proxy's own environment: name a key of a Secret instead.")
        if name.endswith(("_file", "_path")) or (name == "vertex_credentials" and "{" not in value):
            raise Refused(f"{name} names a file of the proxy: put its content into a Secret instead.")


def explain(error: Exception, secrets: Iterable[str]) -> str:
    """One line on why LiteLLM refused: without credentials, and without the values that pydantic quotes."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_input=False, include_url=False)
        text = "; ".join(": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"]))) for problem in problems)
    else:
        text = str(getattr(error, "message", None) or error or type(error).__name__).strip().split("\n")[0]
        text = text.removeprefix(f"litellm.{type(error).__name__}: ")
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text if isinstance(error, Refused) else f"LiteLLM refused it: {text}"


class Plan:
    """A route that is in the router."""

    __slots__ = ("ids", "past", "request", "route", "seen", "targets", "upstreams", "used", "users", "values")

    def __init__(self) -> None:
        self.route: Route
        self.values: Mapping[str, str]  # the Table.values it was built with
        self.ids: list[str] = []
        self.upstreams: list[str] = []  # LiteLLM's names of its models
        self.seen = -1  # the Table.version that its targets were looked up in
        self.targets: list[Plan] = []  # the routes that its requests may fall back to
        self.request: dict[str, Any] = {}  # what its requests tell the router
        self.used = 0.0
        self.users = 0  # requests in flight
        self.past: deque[dict[str, Any]] = deque(maxlen=PAST)  # what it was made of when they came


class Activation:
    """Puts a route into the router when a request names it, and takes it out when it is idle or deleted.

    A router write takes 6-10 ms of the event loop, so those that no request waits for happen one per turn of it.
    """

    FALLBACKS = {
        "fallbacks": "onError",
        "context_window_fallbacks": "onContextWindowExceeded",
        "content_policy_fallbacks": "onContentPolicyViolation",
    }
    RETRIES = {
        "rateLimit": ("RateLimitErrorRetries",),
        "timeout": ("TimeoutErrorRetries",),
        "internalServerError": ("InternalServerErrorRetries", "ServiceUnavailableErrorRetries"),
    }
    SECRET_LENGTH = 8  # shorter ones would be found in innocent words
    REACH = 16  # routes that one request's fallbacks may lead to; LiteLLM follows five (max_fallbacks)

    def __init__(self, table: Table, report: Callable[[], None]) -> None:
        self.table = table
        self.report = report  # called when a request finds that LiteLLM refuses its route
        self.invalid: dict[str, tuple[Route, Mapping[str, str], str]] = {}  # what LiteLLM refused, and why
        self.plans: dict[str, Plan] = {}
        self.leaving: dict[str, list[Plan]] = {}  # by model name: taken out once they have no users
        self.ids: dict[str, Route] = {}  # of the deployments in the router
        self.upstreams: Counter[str] = Counter()
        self._secrets: dict[str, None] = {}  # values in use or lately so, the latest last
        self._router = PythonRouter(None)
        self._todo: deque[Plan] = deque()
        self._wake = asyncio.Event()

    @property
    def router(self) -> PythonRouter:
        """LiteLLM's router of this moment. Raises Refused while there is none."""
        live = proxy_server.llm_router
        if live is None:
            raise Refused("LiteLLM is still starting.")
        if self._router.router is not live:
            self._router = RustRouter(live) if ChangeSet else PythonRouter(live)
            for held in (self.plans, self.leaving, self.ids, self.upstreams):
                held.clear()
            proxy_server.llm_model_list = self._router.deployments()  # so that /health sees what is in use
            for handler in verbose_proxy_logger.handlers:
                handler.format = functools.partial(self._format, type(handler).format, handler)
        return self._router

    def plan(self, route: Route) -> Plan:
        """The route's plan, with the router serving its present version. Raises Refused."""
        plan = self._active(route)
        # A target may have left, idle, while this one was renewed by a change that no request came with.
        if plan.seen != self.table.version or any(self.plans.get(target.route.key) is not target for target in plan.targets):
            self._link(plan)
        return plan

    def is_foreign(self, name: str) -> bool:
        """Whether LiteLLM knows the name from elsewhere, such as the model_list of its own configuration."""
        return name not in self.ids and name not in self.leaving and self.router.knows(name)

    def lease(self, plans: list[Plan]) -> None:
        """Keep the plans' routes in the router until the request that is being handled has ended."""
        now = time.monotonic()
        for plan in plans:
            plan.used = now
            plan.users += 1
        if task := asyncio.current_task():  # the server runs one per request, streams included
            task.add_done_callback(functools.partial(self._release, plans))

    def resolve(self, targets: list[Any], plans: list[Plan]) -> list[Any]:
        """A fallback list with its names resolved; the routes it leads to are put into the router and `plans`."""
        resolved: list[Any] = []
        for target in targets:
            if isinstance(target, str):
                if route := self.table.names.get(target):
                    with suppress(Refused):
                        plans.append(self._active(route))
                        resolved.append(route.name)
                elif self.is_foreign(target):
                    resolved.append(target)
            elif isinstance(target, dict) and isinstance(target.get("model"), str):  # with parameters of its own
                strip(target)
                resolved += [target | {"model": name} for name in self.resolve([target["model"]], plans)]
            elif isinstance(target, dict):  # {a name: its fallbacks}
                entries = {name: self.resolve(names, plans) for name, names in target.items() if isinstance(names, list)}
                named = {getattr(self.table.names.get(name), "name", name): names for name, names in entries.items()}
                resolved += [{name: names} for name, names in named.items() if names]
        return resolved

    def censor(self, text: str) -> str:
        """The text without credentials: an upstream may quote the key it was sent, and LiteLLM passes that on."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _format(self, inner: Callable[..., str], handler: logging.Handler, record: logging.LogRecord) -> str:
        return self.censor(inner(handler, record))

    def check(self, route: Route) -> None:
        """Find out whether LiteLLM would take the route; `invalid` says."""
        try:
            build(route, self.table.values)
            self._refuse_twice(route)
            self.invalid.pop(route.key, None)
        except Refused as refusal:
            self.invalid[route.key] = (route, self.table.values, str(refusal))

    def follow(self, changes: list[tuple[Route | None, Route | None]]) -> None:
        """Bring the router up to date with the table, soon; requests that come earlier do it themselves."""
        for before, after in changes:
            if before is None:
                continue
            self.invalid.pop(before.key, None)
            plan = self.plans.get(before.key)
            if plan and (after is None or after.name != plan.route.name):
                self._leave(plan)
        self._todo.extend(plan for plan in self.plans.values() if not self._is_current(plan))
        self._wake.set()

    async def run(self) -> None:
        """Do what no request waits for: never returns."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(IDLE_SECONDS / 3, 30))
            self._wake.clear()
            while self._todo:
                plan = self._todo.popleft()
                if plan in self.leaving.get(plan.route.name, ()) and not plan.users:
                    self._take_out(plan)
                elif self.plans.get(plan.route.key) is plan and (route := self.table.served.get(plan.route.key)):
                    with suppress(Refused):
                        self.plan(route)
                await asyncio.sleep(0)
            long_ago = time.monotonic() - IDLE_SECONDS
            for plan in [plan for plan in self.plans.values() if not plan.users and plan.used < long_ago]:
                self._leave(plan)

    def _is_current(self, plan: Plan) -> bool:
        return self.table.served.get(plan.route.key) is plan.route and plan.values is self.table.values

    def _active(self, route: Route) -> Plan:
        router, values, plan = self.router, self.table.values, self.plans.get(route.key)
        if plan and plan.route is route and plan.values is values:
            return plan
        refused = self.invalid.get(route.key)
        if refused and refused[0] is route and refused[1] is values:
            raise Refused(refused[2])
        try:
            return self._activate(router, route, plan)
        except Refused as refusal:
            self.invalid[route.key] = (route, values, str(refusal))
            self.report()
            raise

    def _activate(self, router: PythonRouter, route: Route, plan: Plan | None) -> Plan:
        values = self.table.values
        deployments = {str(d.model_info.id): d for d in build(route, values)}
        self._refuse_twice(route)
        plan = plan or Plan()
        others = self.leaving.pop(route.name, [])  # or the router would share requests out between them and this
        old = [id_ for other in (plan, *others) for id_ in other.ids]
        add = [deployment for id_, deployment in deployments.items() if id_ not in old]
        drop = [id_ for id_ in old if id_ not in deployments]
        past = router.pinned(drop) if any(other.users for other in (plan, *others)) else []
        try:
            if add or drop:
                router.change(add, drop)
            if not all(map(router.has, deployments)):
                raise Refused("LiteLLM left it out of its router; the proxy's log says why.")
        except Exception as error:
            router.change([], [id_ for id_ in {*old, *deployments} if router.has(id_)])
            self._forget([plan, *others])
            self.plans.pop(route.key, None)
            raise Refused(explain(error, [values[key] for key in route.credentials])) from None
        self._forget([plan, *others], kept=deployments)
        plan.route, plan.values, plan.seen, plan.used = route, values, -1, time.monotonic()
        plan.past.extend(past)
        plan.ids, plan.upstreams = [*deployments], [d.litellm_params.model for d in deployments.values()]
        self.plans[route.key] = plan
        self.ids.update(dict.fromkeys(plan.ids, route))
        self.upstreams.update(plan.upstreams)
        self.invalid.pop(route.key, None)
        for secret in (values[key] for key in route.secrets):
            if len(secret) >= self.SECRET_LENGTH:
                self._secrets.pop(secret, None)
                self._secrets[secret] = None
        while len(self._secrets) > 1000 + len(self.ids):
            del self._secrets[next(iter(self._secrets))]
        clients = litellm.in_memory_llm_clients_cache  # one per key and address; evicting one in use costs a quarter
        clients.max_size_in_memory = max(clients.max_size_in_memory, 200 + 2 * len(self.ids))
        return plan

    def _refuse_twice(self, route: Route) -> None:
        if route.key not in self.plans and self.is_foreign(route.name):
            raise Refused(f"{route.name} is also in the model_list of the proxy's own configuration.")

    def _link(self, plan: Plan) -> None:
        """Find the routes that fallbacks lead to from here, and what to tell the router about them."""
        reach = [plan.route]
        for route in reach:
            for name in [name for names in route.fallbacks.values() for name in names]:
                target = self.table.names.get(name)
                if target and target not in reach and len(reach) <= self.REACH:
                    reach.append(target)
        plan.targets, plan.request = [], {}
        for field, kind in self.FALLBACKS.items():
            lists = [{route.name: route.fallbacks[kind]} for route in reach if route.fallbacks.get(kind)]
            if lists and (resolved := self.resolve(lists, plan.targets)):
                plan.request[field] = resolved
        for route in [route for route in reach if route.retries]:
            policy = {error: n for kind, n in route.retries.items() for error in self.RETRIES.get(kind, ())}
            plan.request.setdefault("model_group_retry_policy", {})[route.name] = policy
        if n := plan.route.retries.get("internalServerError"):
            plan.request["num_retries"] = n  # LiteLLM has no policy for a 500 of Azure, a 502 or a 504
        plan.seen = self.table.version

    def _release(self, plans: list[Plan], _: object) -> None:
        for plan in plans:
            plan.users -= 1
            plan.used = time.monotonic()
            if plan.users:
                continue
            plan.past.clear()
            if plan in self.leaving.get(plan.route.name, ()):
                self._todo.append(plan)
                self._wake.set()

    def _leave(self, plan: Plan) -> None:
        del self.plans[plan.route.key]
        self.leaving.setdefault(plan.route.name, []).append(plan)
        self._todo.append(plan)
        self._wake.set()

    def _take_out(self, plan: Plan) -> None:
        self.leaving[plan.route.name].remove(plan)
        if not self.leaving[plan.route.name]:
            del self.leaving[plan.route.name]
        self.router.change([], plan.ids)
        self._forget([plan])

    def _forget(self, plans: list[Plan], kept: Container[str] = ()) -> None:
        for plan in plans:
            self.upstreams -= Counter(plan.upstreams)
            for id_ in plan.ids:
                del self.ids[id_]
                if id_ not in kept:
                    litellm.model_cost.pop(id_, None)  # LiteLLM itself keeps an entry per deployment for good
            plan.ids, plan.upstreams = [], []


# --------------------------------------------------------------------------------------------------------------
# Hooks: what happens to a request.
# --------------------------------------------------------------------------------------------------------------

TOOLS = ("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls")

#: What a caller could use to have a key sent elsewhere, to use another's credential, or to get past these rules.
#: LiteLLM refuses some of it, with settings that allow it again; on a ModelRoute, none of it is the caller's to say.
FORBIDDEN = frozenset(CredentialLiteLLMParams.model_fields) | {
    "_target_order",
    "base_url",
    "configurable_clientside_auth_params",
    "custom_llm_provider",
    "litellm_credential_name",
    "litellm_params",
    "model_group_retry_policy",
    "model_info",
    "model_list",
    "organization",
    "router_settings_override",
    "specific_deployment",
    "user_config",
}
FORBIDDEN_PREFIXES = ("aws_", "azure_ad_token", "s3_", "vertex_")
FORBIDDEN_HEADERS = frozenset({"api-key", "authorization", "host", "x-api-key", "x-goog-api-key"})


def strip(body: dict[str, Any]) -> None:
    """Remove from a request's body what only a route may say, in place."""
    for key in [key for key in body if key in FORBIDDEN or key.startswith(FORBIDDEN_PREFIXES)]:
        del body[key]
    if isinstance(extra := body.get("extra_body"), dict):
        strip(extra)
    for field in ("extra_headers", "headers"):
        if isinstance(headers := body.get(field), dict):
            body[field] = {name: v for name, v in headers.items() if name.lower() not in FORBIDDEN_HEADERS}


def not_found(message: str) -> ProxyException:
    """A 404 as OpenAI and LiteLLM shape it."""
    return ProxyException(message, type="invalid_request_error", param="model", code=404)


class Hooks(CustomLogger):
    """What LiteLLM calls. It looks for the hooks on the class itself, so they are all here."""

    #: calls whose `model` is nothing but a route's name; others may carry names that LiteLLM resolves otherwise
    CALLS = frozenset(
        "acompletion completion atext_completion text_completion aembedding embeddings embedding aresponses responses"
        " anthropic_messages atranscription audio_transcription transcription aspeech speech arerank rerank aocr"
        " aimage_generation image_generation aimage_edit agenerate_content agenerate_content_stream".split()
    )

    #: calls whose `model` is no name of ours, and whose body goes elsewhere as it is
    ELSEWHERE = frozenset({"pass_through_endpoint", "call_mcp_tool", "list_mcp_tools"})

    def __init__(self, table: Table, activation: Activation) -> None:
        super().__init__()
        self.table = table
        self.activation = activation

    async def async_pre_call_hook(self, user_api_key_dict: UserAPIKeyAuth, cache: Any, data: dict[str, Any], call_type: str) -> None:
        """Resolve the model's name and see that the router serves it. Raises ProxyException (404)."""
        name = data.get("model")
        if not isinstance(name, str) or call_type in self.ELSEWHERE:
            return
        if route := self.table.names.get(name):
            self._serve([route], data)
            data["model"] = route.name
        elif "," in name and call_type == "acompletion":  # LiteLLM asks several models at once
            parts = [part.strip() for part in name.split(",")]
            self._serve([route for part in parts if (route := self._find(part, call_type))], data)
            data["model"] = ",".join(getattr(self.table.names.get(part), "name", part) for part in parts)
        else:
            self._find(name, call_type)
            if data.keys() & Activation.FALLBACKS.keys():
                self._serve([], data)

    def _find(self, name: str, call_type: str) -> Route | None:
        """The route of that name; None when LiteLLM may know what else it is."""
        if route := self.table.names.get(name):
            return route
        if self.activation.is_foreign(name):
            return None
        ours = name in self.activation.ids or name in self.activation.leaving
        if self.activation.router.matches() and not ours:
            return None
        for key, sentence in self.table.unmet.items():
            if name in self.table.wanted[key].names:
                raise not_found(f"The model `{name}` is not served: {sentence}")
        if ours or call_type in self.CALLS or name in self.activation.upstreams:
            raise not_found(f"The model `{name}` does not exist. GET /v1/models lists those that do; `kubectl get modelroutes -A` says why one is not served.")
        return None

    def _serve(self, routes: list[Route], data: dict[str, Any]) -> None:
        """See that the router serves the routes and what they, or the caller, would fall back to."""
        if routes:
            strip(data)
        plans: list[Plan] = []
        callers = [field for field in Activation.FALLBACKS if isinstance(data.get(field), list)]
        for field in callers:  # they replace the route's
            data[field] = self.activation.resolve(data[field], plans)
        for route in routes:
            try:
                plan = self.activation.plan(route)
            except Refused as refusal:
                raise not_found(f"The model `{route.name}` is not served: {refusal}") from None
            plans += (plan, *plan.targets)
            for field, value in plan.request.items():
                if isinstance(value, dict):
                    data[field] = data.get(field, {}) | value
                elif isinstance(value, int):
                    data.setdefault(field, value)
                elif field not in callers:
                    data[field] = [*data.get(field, ()), *value]
        self.activation.lease(plans)

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: Any,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Give a request in flight back what it may go on with: LiteLLM 1.110 has nothing in its place once it was replaced."""
        if all(healthy_deployments):
            return healthy_deployments
        route = self.table.names.get(model)
        plan = self.activation.plans.get(route.key) if route else None
        return [*filter(None, healthy_deployments), *(plan.past if plan else ())]

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """Drop tools for a deployment that is not up to them: per attempt, so that fallbacks get what they can use."""
        if any(kwargs.get(field) is not None for field in TOOLS):
            info = kwargs.get("model_info") or {}
            if info.get("modelroute_tools") in ("Limited", "Unsupported"):
                return {field: value for field, value in kwargs.items() if field not in TOOLS}
        return None

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: UserAPIKeyAuth,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Name the deployment that answered by its stable id, and warn when it was not up to the request's tools."""
        call = litellm_call_info or {}
        info = call.get("model_info") or {}  # of the first deployment that was tried
        id_ = call.get("model_id") or info.get("id") or ""
        if route := self.activation.ids.get(id_):
            name, tools = route.name, route.tools
        elif "modelroute_name" in info:  # the route changed meanwhile
            name, tools = info["modelroute_name"], info["modelroute_tools"]
        else:
            return None
        headers = {"x-litellm-model-id": stable_id(id_)}
        dropped = [field for field in TOOLS if data.get(field)]
        if dropped and tools != "Supported" and response is not None:
            headers["x-modelroute-warning"] = self._warning(name, tools, dropped)
        return headers

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: UserAPIKeyAuth,
        traceback_str: str | None = None,
    ) -> None:
        """Take credentials out of what the caller is told."""
        censor, error = self.activation.censor, original_exception
        error.args = tuple(censor(arg) if isinstance(arg, str) else arg for arg in error.args)
        if isinstance(text := getattr(error, "message", None), str):
            error.message = censor(text)

    def _warning(self, name: str, tools: str, dropped: list[str]) -> str:
        if tools == "Unknown":
            text = f"Tool support of model '{name}' is unknown; passed the tools on."
        else:
            has = "limited" if tools == "Limited" else "no"
            text = f"Model '{name}' has {has} function calling support; dropped {', '.join(dropped)}."
        invalid = self.activation.invalid
        able = (r for r in self.table.served.values() if (r.tools, r.mode) == ("Supported", "chat") and r.key not in invalid)
        if better := ", ".join(route.name for route in itertools.islice(able, 5)):
            text += f" Consider using: {better}"
        return text.encode("ascii", "replace").decode()


# --------------------------------------------------------------------------------------------------------------
# Status: what the operator reads, and one place where every change passes.
# --------------------------------------------------------------------------------------------------------------


class Plugin:
    """Takes changes from the sources into the table, has the router follow, and publishes what came of it."""

    def __init__(self) -> None:
        self.table = Table()
        self.activation = Activation(self.table, self.publish)
        self.source = "files"
        self.problems: dict[str, str] = {}  # by what they are about; they explain why `source` may be behind
        self.status: dict[str, Any] = {"version": int(time.time() * 1000), "digest": "", "refused": {}}
        self._changed = asyncio.Event()
        self._stopping = False
        self._unchecked: deque[Route] = deque()
        self._checking: asyncio.Task[None] | None = None

    def apply(
        self,
        files: Iterable[str] | None = None,
        texts: Mapping[str, str] | None = None,
        secret: Mapping[str, str] | None = None,
    ) -> None:
        """Take a change, as Table.update has it; requests see it as soon as this returns."""
        started, values, first = time.perf_counter(), self.table.values, not self.table.loaded
        changes = self.table.update(files, texts, secret)
        if first and self.table.loaded:
            # What is there from the start on is no garbage, and the collector shall not walk through it during requests.
            # (LiteLLM 1.110 does the same when it starts, before the routes have come.)
            gc.collect()
            gc.freeze()
        self.activation.follow(changes)
        self._unchecked.extend(after for _, after in changes if after)
        if self.table.values is not values:
            self._unchecked.extend(route for route, *_ in self.activation.invalid.values())
        self._check()
        kinds = Counter("added" if not before else "changed" if after else "removed" for before, after in changes)
        log.info(
            "configuration %s: %d added, %d changed, %d removed, %d routes%s, in %.1f ms",
            self.table.digest,
            kinds["added"],
            kinds["changed"],
            kinds["removed"],
            len(self.table.served),
            ", credentials changed" if self.table.values is not values else "",
            (time.perf_counter() - started) * 1000,
        )

    def _check(self) -> None:
        """Check changed routes: a slice now, the rest later; publish the digest when all are done."""
        until = time.perf_counter() + SLICE_SECONDS
        while self._unchecked and time.perf_counter() < until:
            route = self._unchecked.popleft()
            if self.table.served.get(route.key) is route:
                self.activation.check(route)
        if not self._unchecked:
            self.publish()
        elif self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._check_rest())

    async def _check_rest(self) -> None:
        while self._unchecked:
            await asyncio.sleep(0)
            self._check()

    def publish(self) -> None:
        """Make the status say what is so; wake who waits for it if that is news."""
        refused = self.table.unmet | {key: sentence for key, (_, _, sentence) in self.activation.invalid.items()}
        news = {
            "digest": self.table.digest if self.table.loaded and not self._unchecked else self.status["digest"],
            "refused": refused,
            "source": self.source,
            "message": " ".join(self.problems.values()),
        }
        if news.items() <= self.status.items():
            return
        told = sorted(refused.items() - self.status["refused"].items())
        for key, sentence in told[:20]:
            log.warning("route %s: %s", key, sentence)
        if len(told) > 20:
            log.warning("and %d more routes that are not served as they should be; GET /modelroutes/status", len(told) - 20)
        self.status = news | {"version": self.status["version"] + 1}
        self._changed.set()
        self._changed = asyncio.Event()

    def problem(self, subject: str, sentence: str | None) -> None:
        """Say, once, that something keeps the configuration from following; None when it does again."""
        if sentence == self.problems.get(subject):
            return
        if sentence:
            self.problems[subject] = sentence
            log.warning("%s The configuration served stays as it is meanwhile.", sentence)
        else:
            log.info("%s: follows again", subject)
            del self.problems[subject]
        self.publish()

    def not_ready(self) -> str | None:
        """Why requests cannot be served yet."""
        if proxy_server.llm_router is None:
            return "LiteLLM is still starting."
        if not self.table.loaded:
            return self.status.get("message") or "No configuration has come yet; the operator writes it."
        return None

    def stop_waiting(self) -> None:
        """Answer whoever waits for news: the server ends only when the last answer is given."""
        self._stopping = True
        self._changed.set()

    async def news(self, after: int, wait: float) -> dict[str, Any]:
        """The status; if its version is `after`, the next one, waiting at most `wait` seconds for it."""
        if self.status["version"] == after and wait > 0 and not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)
        counts = {"routes": len(self.table.served) - len(self.activation.invalid), "active": len(self.activation.plans)}
        return self.status | counts


# --------------------------------------------------------------------------------------------------------------
# Sources: where changes come from.
# --------------------------------------------------------------------------------------------------------------


class Torn(Exception):
    """What was read does not belong together (yet): the writer is at it."""


class Source(Protocol):
    """Where `load` reads from. `secret` is the newest content of the credentials Secret that was read, if any."""

    secret: dict[str, str] | None

    async def read_shard(self, file: str, config_map: str) -> str: ...
    async def read_secret(self) -> None: ...


async def load(plugin: Plugin, source: Source, index_text: str) -> None:
    """Read what the index names and the table does not hold; take it once all of it is there. Raises Torn."""
    index, table = json.loads(index_text), plugin.table
    shards: dict[str, dict[str, str]] = index["shards"]
    changed = [file for file, shard in shards.items() if table.digests.get(file) != shard["digest"]]
    reads: list[Awaitable[Any]] = [source.read_shard(file, shards[file]["configMap"]) for file in changed]
    if index["credentials"] != table.secret_digest:  # so that a new route and its key are taken together
        reads.append(source.read_secret())
    texts: dict[str, str] = dict(zip(changed, await asyncio.gather(*reads), strict=False))
    for file, text in texts.items():
        if digest_of(text) != shards[file]["digest"]:
            raise Torn(f"{file} is not the version that index.json names.")
    if changed or not table.loaded or table.digests.keys() != shards.keys() or table.differs(source.secret):
        plugin.apply(shards, texts, source.secret)


FAILURES = (Torn, aiohttp.ClientError, OSError, ValueError, LookupError, TypeError)  # of reading


class Directory:
    """Files: mounted ConfigMaps and Secret, or a plain directory whose writer replaces files by renaming."""

    EVERY = 0.05

    def __init__(self, plugin: Plugin) -> None:
        directory = Path(os.environ["MODELROUTE_DIR"])
        self.plugin = plugin
        self.routes = directory / "routes"
        self.credentials = directory / "credentials"
        self.secret: dict[str, str] | None = None

    async def run(self) -> None:
        """Follow the directory: never returns."""
        watched = (self.routes / "index.json", self.credentials, self.credentials / "..data")
        seen: list[object] = []
        failures = 0
        while True:
            stamps = [self._stamp(path) for path in watched]
            if stamps != seen:
                try:
                    await self.read_secret()
                    if self.plugin.table.loaded and self.plugin.table.differs(self.secret):
                        self.plugin.apply(secret=self.secret)
                    await load(self.plugin, self, watched[0].read_text())
                    seen, failures = stamps, 0
                    self.plugin.problem("files", None)
                except FAILURES as error:
                    failures += 1  # most are gone at the next look
                    if failures > 5 or not self.plugin.table.loaded:
                        self.plugin.problem("files", f"The routes in {self.routes} cannot be read: {error}")
            await asyncio.sleep(self.EVERY * max(1, min(failures, 20)))

    @staticmethod
    def _stamp(path: Path) -> object:
        try:
            stat = path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    async def read_shard(self, file: str, _: str) -> str:
        return (self.routes / file).read_text()

    async def read_secret(self) -> None:
        if self.credentials.is_dir():
            files = [path for path in self.credentials.iterdir() if path.is_file()]
            self.secret = {path.name: path.read_text(errors="replace") for path in files}


class Unexpected(OSError):
    """The API server did not answer as it should: what follows must begin with the object as it is."""


class ApiServer:
    """The Kubernetes API server: watches the index and the Secret, reads the shards that changed."""

    ACCOUNT = Path(os.environ.get("MODELROUTE_SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
    LONGEST_PAUSE = 5.0

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.namespace = os.environ["MODELROUTE_NAMESPACE"]
        self.index_name = os.environ["MODELROUTE_ROUTES"]
        self.secret_name = os.environ["MODELROUTE_CREDENTIALS"]
        self.secret: dict[str, str] | None = None
        self._secret_version = -1
        self._index: dict[str, Any] = {}
        self._offered = asyncio.Event()
        self._files: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow both objects: never returns."""
        async with aiohttp.ClientSession() as self._session:
            await asyncio.gather(
                self._follow("configmaps", self.index_name, self._offer),
                self._follow("secrets", self.secret_name, self._take_secret),
                self._load_offered(),
            )

    async def _load_offered(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            index, pause = self._index, 0.02
            while index is self._index:  # a newer one makes this one pointless: its shards may be gone
                try:
                    await load(self.plugin, self, index["data"]["index.json"])
                except FAILURES as error:
                    if pause > 1:
                        self.plugin.problem("routes", f"The routes that {self.index_name} names cannot be read: {error}")
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._offered.wait(), pause)
                    pause = min(pause * 2, self.LONGEST_PAUSE)
                else:
                    self._prefer_to_files()
                    self.plugin.problem("routes", None)
                    break

    def _offer(self, index: dict[str, Any]) -> None:
        self._index = index
        self._offered.set()

    def _take_secret(self, secret: dict[str, Any]) -> None:
        version = int(secret["metadata"]["resourceVersion"])
        if version <= self._secret_version:  # an answer and an event may overtake each other
            return
        self._secret_version = version
        data: dict[str, str] = secret.get("data") or {}
        self.secret = {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
        if self.plugin.table.loaded and self.plugin.table.differs(self.secret):
            self.plugin.apply(secret=self.secret)

    async def read_shard(self, file: str, config_map: str) -> str:
        item = self._index if config_map == self.index_name else await self._get("configmaps", config_map)
        if item is None:
            raise Torn(f"ConfigMap {config_map} does not exist.")
        text: str = item["data"][file]
        return text

    async def read_secret(self) -> None:
        if secret := await self._get("secrets", self.secret_name):
            self._take_secret(secret)

    async def _follow(self, kind: str, name: str, take: Callable[[dict[str, Any]], None]) -> None:
        """Call `take` with the object and every newer state of it that can be had, without a gap: never returns.

        A watch from no version begins with the object as it is. (One from the version that a GET tells may be
        refused: objects that rarely change have versions that are long gone.)
        """
        version, failures, opened = "", 0, 0.0
        while True:
            try:
                async for event, item in self._watch(kind, name, version):
                    if event == "OPENED":
                        opened = time.monotonic()
                    else:
                        version, failures = item["metadata"]["resourceVersion"], 0
                    self.plugin.problem(name, f"{name} was deleted." if event == "DELETED" else None)
                    if event in ("ADDED", "MODIFIED"):
                        take(item)
                raise ConnectionError("the watch ended")
            except FAILURES as error:
                if isinstance(error, Unexpected):
                    version = ""
                failures = 1 if opened and time.monotonic() - opened > 1 else failures + 1
                opened = 0.0
                if failures > 1:  # one alone is a watch that was over or cut, and nothing is missed by that
                    self.plugin.problem(name, f"{name} cannot be followed: {str(error).rstrip('.')}.")
                    self._resort_to_files()
                await asyncio.sleep(min(self.LONGEST_PAUSE, 0.05 * 2**failures) * random.uniform(0.5, 1))

    def _resort_to_files(self) -> None:
        if self.plugin.source == "files" and self._files is None:
            self._files = asyncio.get_running_loop().create_task(Directory(self.plugin).run())

    def _prefer_to_files(self) -> None:
        """From its first answer on, the API server is ahead of the mounted files."""
        if self._files:
            self._files.cancel()
            self._files = None
        self.plugin.source = "watch"
        self.plugin.problem("files", None)
        self.plugin.publish()

    async def _get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object, or None when there is none."""
        async with self._request(f"{kind}/{name}", {}, 10) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            self._expect_ok(response, kind)
            item: dict[str, Any] = await response.json()
            return item

    async def _watch(self, kind: str, name: str, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(type, object) of each event, until the API server ends the watch."""
        seconds = random.randint(60, 90)  # short, because a dead connection may look like a quiet one
        params = {"watch": "true", "fieldSelector": f"metadata.name={name}", "allowWatchBookmarks": "true"}
        params |= {"timeoutSeconds": str(seconds), "resourceVersion": version}
        async with self._request(kind, params, seconds + 10) as response:
            self._expect_ok(response, kind)
            yield "OPENED", {}
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for event in map(json.loads, lines):
                    if event["type"] == "ERROR":  # mostly 410: the version is too old to go on from
                        raise Unexpected(event["object"].get("message", "the watch failed"))
                    yield event["type"], event["object"]

    def _request(self, path: str, params: dict[str, str], seconds: float) -> Any:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        return self._session.get(
            f"https://{f'[{host}]' if ':' in host else host}:{port}/api/v1/namespaces/{self.namespace}/{path}",
            params=params,
            headers={"Authorization": f"Bearer {(self.ACCOUNT / 'token').read_text().strip()}"},  # it is rotated
            ssl=trust(self.ACCOUNT / "ca.crt"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=seconds),
        )

    def _expect_ok(self, response: aiohttp.ClientResponse, kind: str) -> None:
        if response.status == HTTPStatus.FORBIDDEN:
            raise Unexpected(f"the proxy's Role must allow get and watch of these {kind} (403)")
        if response.status != HTTPStatus.OK:
            raise Unexpected(f"the API server answered {response.status}")


@functools.cache
def trust(ca: Path) -> ssl.SSLContext:
    """A TLS context that trusts this authority only."""
    return ssl.create_default_context(cafile=str(ca))


# --------------------------------------------------------------------------------------------------------------
# Endpoints: LiteLLM's lists from the table, and the plugin's own.
# --------------------------------------------------------------------------------------------------------------


class Endpoints:
    """Routes put in front of LiteLLM's own. LiteLLM's take 7 s for 10,000 models, and know only those in use."""

    CREATED = 1677610602  # what LiteLLM says for every model
    LONGEST_WAIT = 55.0

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.table = plugin.table
        self._list = (0, 0, b"")  # version, number of models of LiteLLM's own, body

    def install(self) -> None:
        """Put them in front."""
        paths: list[tuple[str, Any]] = [
            ("/v1/models", self.list_models),
            ("/models", self.list_models),
            ("/v1/models/{model:path}", self.get_model),
            ("/models/{model:path}", self.get_model),
            ("/v1/model/info", self.model_info),
            ("/model/info", self.model_info),
            ("/health", self.censored(health_endpoint)),
            ("/modelroutes/status", self.status),
            ("/modelroutes/ready", self.ready),
        ]
        routes = proxy_server.app.router.routes
        routes[:0] = [APIRoute(path, endpoint, methods=["GET"], include_in_schema=False) for path, endpoint in paths]

    def censored(self, endpoint: Any) -> Any:
        """LiteLLM's endpoint, without credentials in what upstreams answered."""

        @functools.wraps(endpoint)
        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = json.dumps(jsonable_encoder(await endpoint(*args, **kwargs)))
            return json.loads(self.plugin.activation.censor(answer))

        return call

    async def ready(self) -> Response:
        """Whether requests can be served."""
        if message := self.plugin.not_ready():
            return JSONResponse({"ready": False, "message": message}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"ready": True})

    async def status(self, request: Request, after: int = 0, wait: float = 0) -> Response:
        """What is served; with `after`, as soon as it is no longer that version."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not TOKEN or not hmac.compare_digest(given.encode(), TOKEN.encode()):
            return JSONResponse({"message": "Send the token: Authorization: Bearer …"}, HTTPStatus.UNAUTHORIZED)
        return JSONResponse(await self.plugin.news(after, min(wait, self.LONGEST_WAIT)))

    async def list_models(self, request: Request, user: UserAPIKeyAuth = Depends(user_api_key_auth)) -> Response:
        """Every name that may be asked for, as OpenAI lists them, or Anthropic for its clients."""
        may = allowed(user)
        own = [entry for entry in self._own() if may(entry["id"])]
        if "anthropic-version" in request.headers:
            from litellm.llms.anthropic.common_utils import create_anthropic_model_list_response

            entries = [json.loads(self._entry(name, route)) for name, route in self._served() if may(name)]
            return JSONResponse(create_anthropic_model_list_response([*own, *entries]))
        return Response(self._body(own, may), media_type="application/json")

    async def get_model(self, model: str, user: UserAPIKeyAuth = Depends(user_api_key_auth)) -> Response:
        """One of them."""
        if allowed(user)(model):
            if route := self.table.names.get(model):
                return Response(self._entry(model, route), media_type="application/json")
            if own := next((entry for entry in self._own() if entry["id"] == model), None):
                return JSONResponse(own)
        raise not_found(f"The model `{model}` does not exist. GET /v1/models lists those that do.")

    async def model_info(self, litellm_model_id: str | None = None, user: UserAPIKeyAuth = Depends(user_api_key_auth)) -> Response:
        """Every deployment, with what LiteLLM knows of its model, without credentials."""
        own = json.loads((await proxy_server.model_info_v1(user_api_key_dict=user)).body)["data"] if self._own() else []
        own = [entry for entry in own if entry["model_info"]["id"] not in self.plugin.activation.ids]
        if litellm_model_id:
            own = [entry for entry in own if entry["model_info"]["id"] == litellm_model_id]
        return StreamingResponse(self._infos(own, litellm_model_id, allowed(user)), media_type="application/json")

    async def _infos(self, own: list[Any], id_: str | None, may: Callable[[str], bool]) -> AsyncIterator[str]:
        separator, pause_at = '{"data":[', time.perf_counter() + SLICE_SECONDS
        for entry in own:
            yield separator + json.dumps(entry)
            separator = ","
        for route in list(self.table.served.values()):
            if not any(map(may, route.names)):
                continue
            for entry in route.deployments():
                if id_ in (None, entry["model_info"]["id"]):
                    info = known_of(entry["litellm_params"]["model"]) | entry["model_info"]
                    info |= {"aliases": route.aliases, "db_model": False}
                    params = entry["litellm_params"]
                    yield separator + json.dumps({"model_name": route.name, "litellm_params": params, "model_info": info})
                    separator = ","
            if time.perf_counter() > pause_at:
                await asyncio.sleep(0)
                pause_at = time.perf_counter() + SLICE_SECONDS
        yield "]}" if separator == "," else separator + "]}"

    def _served(self) -> list[tuple[str, Route]]:
        invalid = self.plugin.activation.invalid
        names = sorted(self.table.names)
        return [(name, route) for name in names if (route := self.table.names[name]).key not in invalid]

    def _entry(self, name: str, route: Route) -> str:
        return f'{{"id": {json.dumps(name)}, "object": "model", "created": {self.CREATED}, "owned_by": "openai", {route.info}'

    def _own(self) -> list[dict[str, Any]]:
        """Entries of the models in LiteLLM's own configuration."""
        activation = self.plugin.activation
        with suppress(Refused):
            deployments = [d for d in activation.router.deployments() if d["model_info"]["id"] not in activation.ids]
            names = sorted({d["model_name"] for d in deployments} - self.table.names.keys())
            return [{"id": name, "object": "model", "created": self.CREATED, "owned_by": "openai"} for name in names]
        return []

    def _body(self, own: list[dict[str, Any]], may: Callable[[str], bool]) -> bytes:
        version = self.plugin.status["version"] + self.table.version
        if may is everything and self._list[:2] == (version, len(own)):
            return self._list[2]
        entries = [*map(json.dumps, own), *(self._entry(name, route) for name, route in self._served() if may(name))]
        body = f'{{"data":[{",".join(entries)}],"object":"list"}}'.encode()
        if may is everything:
            self._list = (version, len(own), body)
        return body


def everything(_: str) -> bool:
    return True


def allowed(user: UserAPIKeyAuth) -> Callable[[str], bool]:
    """Which names the caller's key may see. Only for lists: LiteLLM itself checks requests."""
    models = set(user.models or ())
    if not models or "all-team-models" in models:
        models = set(user.team_models or ())
    if not models or models & {"all-proxy-models", "*"}:
        return everything
    return lambda name: any(fnmatch.fnmatchcase(name, model) for model in models)


@functools.lru_cache(maxsize=1024)
def known_of(model: str) -> dict[str, Any]:
    """What LiteLLM's cost map says of a model."""
    try:
        return {key: value for key, value in litellm.get_model_info(model).items() if value is not None}
    except Exception:  # it raises a bare Exception for a model it does not know
        return {}


# --------------------------------------------------------------------------------------------------------------
# Start
# --------------------------------------------------------------------------------------------------------------


def on_signal(number: signal.Signals, act: Callable[[], object]) -> None:
    """Do something more when the signal comes, before what the server does then."""
    servers = signal.getsignal(number)
    if callable(servers) and threading.current_thread() is threading.main_thread():

        def both(signum: int, frame: types.FrameType | None) -> None:
            act()
            servers(signum, frame)

        signal.signal(number, both)


def start() -> Hooks:
    """Begin to follow the source, on the event loop that LiteLLM loads this file on."""
    if not TOKEN or "MODELROUTE_DIR" not in os.environ:
        raise RuntimeError("hot_reload.py needs MODELROUTE_DIR and MODELROUTE_STATUS_TOKEN in the environment.")
    plugin = Plugin()
    Endpoints(plugin).install()
    in_cluster = os.environ.get("MODELROUTE_ROUTES") and (ApiServer.ACCOUNT / "token").exists()
    source = ApiServer(plugin) if in_cluster else Directory(plugin)

    async def forever(run: Callable[[], Awaitable[None]]) -> None:
        while proxy_server.llm_router is None:  # LiteLLM makes it right after it has loaded this file
            await asyncio.sleep(0.01)
        while True:
            try:
                await run()
            except Exception:
                log.exception("a defect of hot_reload.py; going on")
                await asyncio.sleep(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        on_signal(number, functools.partial(asyncio.get_running_loop().call_soon_threadsafe, plugin.stop_waiting))
    hooks = Hooks(plugin.table, plugin.activation)
    loop = asyncio.get_running_loop()
    hooks.tasks = [loop.create_task(forever(run)) for run in (source.run, plugin.activation.run)]
    return hooks


# LiteLLM executes this file once for every setting that names it, and does not put it into sys.modules.
_module = sys.modules.setdefault("modelroute_hot_reload", types.ModuleType("modelroute_hot_reload"))
if not hasattr(_module, "instance"):
    _module.instance = start()
instance = _module.instance
