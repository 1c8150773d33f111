"""`/_sim/`: tells the simulator how to behave and asks what it received. JSON in, JSON out.

| path | GET | PUT | DELETE |
|---|---|---|---|
| `/_sim` | what is set now | - | everything as if just started |
| `/_sim/rules`, `/_sim/rules/{name}` | the rules | one rule (`state.Rule`, keys in camelCase) | one or all |
| `/_sim/keys/{provider}` | key names and fingerprints | `{"keys": {"name": "key"}}`; `{}` lets everyone in | the default key |
| `/_sim/models/{provider}` | the models it has | `{"models": ["…"]}` | the catalogue |
| `/_sim/requests?provider=&model=&after=&limit=` | what came in, newest last | - | forgets them |
| `/_sim/counts` | requests by provider and model | - | - |
| `/_sim/recording` | on or off | `{"on": false}` | - |

`model` is the upstream model or the Azure deployment; a pattern where it selects.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from .exchange import STATE
from .state import PROVIDERS, Rule, State, WrongRuleError, camel, default_keys, fingerprint

routes = web.RouteTableDef()


def refused(message: str) -> web.HTTPBadRequest:
    """400, saying what was wrong."""
    return web.HTTPBadRequest(text=json.dumps({"error": message}), content_type="application/json")


async def sent(request: web.Request) -> dict[str, Any]:
    """The request's JSON object."""
    try:
        body = await request.json()
    except ValueError:
        raise refused("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise refused("The body is not a JSON object.")
    return body


def provider_of(request: web.Request) -> str:
    """The provider in the path."""
    name = request.match_info["provider"]
    if name not in PROVIDERS:
        raise refused(f"There is no provider {name}; there are {', '.join(PROVIDERS)}.")
    return name


def overview(state: State) -> dict[str, Any]:
    """All that is set, without any key."""
    keys = {provider: {name: fingerprint(key) for name, key in named.items()} for provider, named in state.keys.items()}
    models = {provider: None if have is None else sorted(have) for provider, have in state.models.items()}
    return {
        "rules": rules(state),
        "keys": keys,
        "models": models,
        "recording": state.recording,
        "received": len(state.received),
    }


def rules(state: State) -> list[dict[str, Any]]:
    """The rules, with how often each still applies (null: always)."""
    return [
        {
            **{camel(key): getattr(rule, key) for key in Rule.__dataclass_fields__},
            "left": state.left.get(rule.name),
        }
        for rule in state.rules.values()
    ]


@routes.get("/_sim")
async def get_overview(request: web.Request) -> web.StreamResponse:
    """What is set now."""
    return web.json_response(overview(request.app[STATE]))


@routes.delete("/_sim")
async def reset(request: web.Request) -> web.StreamResponse:
    """Everything as if just started."""
    request.app[STATE].reset()
    return web.json_response(overview(request.app[STATE]))


@routes.get("/_sim/rules")
async def get_rules(request: web.Request) -> web.StreamResponse:
    """The rules in force."""
    return web.json_response({"rules": rules(request.app[STATE])})


@routes.put("/_sim/rules/{name}")
async def put_rule(request: web.Request) -> web.StreamResponse:
    """Adds or replaces one rule."""
    try:
        request.app[STATE].put_rule(Rule.of(request.match_info["name"], await sent(request)))
    except WrongRuleError as wrong:
        raise refused(str(wrong)) from wrong
    return web.json_response({"rules": rules(request.app[STATE])})


@routes.delete("/_sim/rules")
@routes.delete("/_sim/rules/{name}")
async def drop_rules(request: web.Request) -> web.StreamResponse:
    """Drops one rule, or all."""
    request.app[STATE].drop_rules(request.match_info.get("name"))
    return web.json_response({"rules": rules(request.app[STATE])})


@routes.get("/_sim/keys/{provider}")
async def get_keys(request: web.Request) -> web.StreamResponse:
    """The names of the valid keys, each with its fingerprint."""
    return web.json_response({"keys": overview(request.app[STATE])["keys"][provider_of(request)]})


@routes.put("/_sim/keys/{provider}")
async def put_keys(request: web.Request) -> web.StreamResponse:
    """Sets the valid keys, by name."""
    keys = (await sent(request)).get("keys")
    if not isinstance(keys, dict):
        raise refused('Keys come as {"keys": {"name": "key"}}.')
    request.app[STATE].keys[provider_of(request)] = {str(name): str(key) for name, key in keys.items()}
    return await get_keys(request)


@routes.delete("/_sim/keys/{provider}")
async def default_key(request: web.Request) -> web.StreamResponse:
    """The default key again, and no other."""
    provider = provider_of(request)
    request.app[STATE].keys[provider] = default_keys()[provider]
    return await get_keys(request)


@routes.get("/_sim/models/{provider}")
async def get_models(request: web.Request) -> web.StreamResponse:
    """The models a provider has; null is its catalogue."""
    return web.json_response({"models": overview(request.app[STATE])["models"][provider_of(request)]})


@routes.put("/_sim/models/{provider}")
async def put_models(request: web.Request) -> web.StreamResponse:
    """Sets the models a provider has."""
    names = (await sent(request)).get("models")
    if not isinstance(names, list):
        raise refused('Models come as {"models": ["name"]}.')
    request.app[STATE].models[provider_of(request)] = frozenset(map(str, names))
    return await get_models(request)


@routes.delete("/_sim/models/{provider}")
async def default_models(request: web.Request) -> web.StreamResponse:
    """The provider's catalogue again."""
    request.app[STATE].models[provider_of(request)] = None
    return await get_models(request)


@routes.get("/_sim/requests")
async def get_requests(request: web.Request) -> web.StreamResponse:
    """The requests received, oldest first, those that the query selects."""
    query = request.query
    after, limit = int(query.get("after", 0)), int(query.get("limit", 1000))
    found = [
        each
        for each in request.app[STATE].received
        if each.ordinal > after and query.get("provider", each.provider) == each.provider and fnmatchcase(each.model or "", query.get("model", "*"))
    ]
    return web.json_response({"requests": [each.report() for each in found[-limit:]], "total": len(found)})


@routes.delete("/_sim/requests")
async def forget(request: web.Request) -> web.StreamResponse:
    """Forgets the requests received so far."""
    request.app[STATE].forget()
    return web.json_response({"requests": [], "total": 0})


@routes.get("/_sim/counts")
async def get_counts(request: web.Request) -> web.StreamResponse:
    """How many requests each provider got for each model."""
    counts: dict[str, dict[str, int]] = {provider: {} for provider in PROVIDERS}
    for (provider, model), number in request.app[STATE].counts.items():
        counts[provider][model] = number
    return web.json_response({"counts": counts})


@routes.get("/_sim/recording")
async def get_recording(request: web.Request) -> web.StreamResponse:
    """Whether requests are recorded."""
    return web.json_response({"on": request.app[STATE].recording})


@routes.put("/_sim/recording")
async def put_recording(request: web.Request) -> web.StreamResponse:
    """Switches the recording on or off."""
    on = (await sent(request)).get("on")
    if not isinstance(on, bool):
        raise refused('Recording is set with {"on": true} or {"on": false}.')
    request.app[STATE].recording = on
    return await get_recording(request)
