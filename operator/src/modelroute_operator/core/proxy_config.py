"""The only file that knows LiteLLM's keys: one served route → the line that the plugin loads.

A line is compact JSON with sorted keys, so that equal routes have equal bytes; `charts/litellm-proxy/files/hot_reload.py` reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from modelroute_operator.core import ollama, questions
from modelroute_operator.core.modelroute import REFUSED_PARAMS, Backend, FunctionCalling
from modelroute_operator.core.routes import Served
from modelroute_operator.core.snapshot import Release

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """Seconds of a duration: "1m30s" → 90.0; the schema has checked the form."""
    return round(sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", duration)), 3)


def litellm_model(backend: Backend, model_name: str, mode: str) -> str:
    """LiteLLM's name of the upstream model. Ollama chats natively (tools included) as ollama_chat, and embeds as ollama."""
    provider = backend.provider
    if provider in ollama.PROVIDERS:
        provider = "ollama_chat" if mode in {"chat", "responses"} else "ollama"
    return f"{provider}/{questions.upstream(backend, model_name)}"


def line(served: Served, release: Release) -> str:
    """What the plugin loads for one route."""
    route, spec, mode = served.claim.route, served.claim.spec, served.claim.mode
    content: dict[str, Any] = {
        "generation": route.generation,
        "modelName": route.model_name,
        "aliases": sorted({*spec.aliases} - {route.model_name}),
        "mode": mode,
        "functionCalling": served.judged.function_calling,
        "deployments": [deployment for backend in spec.backends for deployment in _deployments(served, backend, release)],
    }
    if spec.fallbacks:
        kept = {
            kind: [name for name in names if name in served.fallbacks]
            for kind, names in (
                ("onError", spec.fallbacks.on_error),
                ("onContextWindowExceeded", spec.fallbacks.on_context_window_exceeded),
                ("onContentPolicyViolation", spec.fallbacks.on_content_policy_violation),
            )
        }
        content["fallbacks"] = {kind: names for kind, names in kept.items() if names}
    if spec.retries:
        content["retries"] = spec.retries.model_dump(by_alias=True, exclude_none=True)
    return json.dumps({k: v for k, v in content.items() if v != {}}, sort_keys=True, separators=(",", ":"))


def _deployments(served: Served, backend: Backend, release: Release) -> list[dict[str, Any]]:
    """One deployment; one for each of the chart's Ollama replicas that hold the model, if there are any."""
    keys = served.judged.credentials[backend.name].keys
    params, info = _params(served, backend, release, keys), _info(served, backend)
    places = served.judged.places.get(backend.name, ())
    if len(places) < 2:
        at = {"api_base": places[0]} if places else {}
        return [{"litellm_params": {**params, **at}, "model_info": info, "credentials": dict(keys)}]
    return [
        {
            "litellm_params": {**params, **_share(params, len(places)), "api_base": place},
            "model_info": {**info, "id": f"{info['id']}/{place.removeprefix('http://').partition('.')[0]}"},
            "credentials": dict(keys),
        }
        for place in places
    ]


def _share(params: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A replica's part of what holds for the whole backend."""
    limits = {name: max(1, params[name] // count) for name in ("rpm", "tpm", "max_parallel_requests") if name in params}
    return {**limits, **({"weight": round(params["weight"] / count, 6)} if "weight" in params else {})}


def _params(served: Served, backend: Backend, release: Release, keys: Mapping[str, str]) -> dict[str, Any]:
    route, spec, mode = served.claim.route, served.claim.spec, served.claim.mode
    model = litellm_model(backend, route.model_name, mode)
    limits = backend.limits
    ours: dict[str, Any] = {
        "model": model,
        "api_base": backend.api_base or (release.ollama_api_base if backend.provider in ollama.PROVIDERS and "api_base" not in keys else None),
        "api_version": backend.api_version,
        "timeout": seconds(backend.timeout) if backend.timeout else None,
        "weight": backend.weight if len(spec.backends) > 1 else None,
        "order": backend.priority if len(spec.backends) > 1 else None,
        "rpm": limits.requests_per_minute if limits else None,
        "tpm": limits.tokens_per_minute if limits else None,
        "max_parallel_requests": limits.max_parallel_requests if limits else None,
        "keep_alive": _keep_alive(backend),
    }
    verbatim = (backend.params.model_extra or {}) if backend.params else {}
    # Admission refuses these; an object stored under an older schema may still have them, and a ConfigMap must not.
    allowed = {name: value for name, value in verbatim.items() if name not in REFUSED_PARAMS}
    return {**allowed, **{name: value for name, value in ours.items() if value is not None}}


def _keep_alive(backend: Backend) -> str | int | None:
    """Ollama takes a text as a duration with a unit, and "for ever" as a number only."""
    text = backend.ollama.keep_alive if backend.ollama else None
    return int(text) if text in {"-1", "0"} else text


def _info(served: Served, backend: Backend) -> dict[str, Any]:
    known = served.claim.spec.capabilities
    calling = known.function_calling if known else None
    facts = served.judged.facts.get(backend.name)
    info: dict[str, Any] = {
        "id": f"{served.claim.route.key}/{backend.name}",
        "mode": served.claim.mode,
        "base_model": _base_model(backend),
        "supports_function_calling": calling is FunctionCalling.SUPPORTED if calling else facts.tools if facts else None,
        "supports_vision": known.vision if known and known.vision is not None else facts.vision if facts else None,
        "max_input_tokens": (known.max_input_tokens if known else None) or (facts.context_length if facts else None),
    }
    return {name: value for name, value in info.items() if value is not None}


def _base_model(backend: Backend) -> str | None:
    """LiteLLM looks a base model up by the cost map's key, which for azure has the provider's prefix."""
    base = backend.base_model
    return f"azure/{base}" if backend.provider == "azure" and base and "/" not in base else base
