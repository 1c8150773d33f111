"""From a route's Secret references to litellm params: which value goes where, and what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelroute_operator.core import ollama
from modelroute_operator.core.conditions import Problem, Reason
from modelroute_operator.core.modelroute import SECRET_PARAMS, Backend
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import SecretId, Secrets

COMMON_PARAMS = frozenset({"api_key", "api_base", "api_version", "organization"})
"""Params that LiteLLM reads from <PROVIDER>_<PARAM> in the environment."""
PARAMS = COMMON_PARAMS | (frozenset(SECRET_PARAMS) - {"litellm_credential_name"}) | frozenset({
    "aws_region_name", "aws_role_name", "aws_session_name", "aws_profile_name", "aws_web_identity_token", "aws_bedrock_runtime_endpoint",
    "vertex_project", "vertex_location", "tenant_id", "client_id", "azure_scope", "region_name",
    "watsonx_region_name", "project_id", "space_id",
})  # fmt: skip
"""The litellm params a Secret may hold."""
ENVIRONMENT_PREFIXES = {
    "ai21_chat": ("AI21",),
    "anthropic_text": ("ANTHROPIC",),
    "azure_ai": ("AZURE_AI", "AZURE"),
    "azure_text": ("AZURE",),
    "cohere": ("COHERE", "CO"),
    "cohere_chat": ("COHERE", "CO"),
    "fireworks_ai": ("FIREWORKS_AI", "FIREWORKS", "FIREWORKSAI"),
    "gemini": ("GEMINI", "GOOGLE"),
    "huggingface": ("HUGGINGFACE", "HF"),
    "ollama_chat": ("OLLAMA",),
    "perplexity": ("PERPLEXITYAI", "PERPLEXITY"),
    "text-completion-codestral": ("CODESTRAL",),
    "text-completion-inception": ("INCEPTION",),
    "text-completion-openai": ("OPENAI",),
    "together_ai": ("TOGETHERAI", "TOGETHER_AI", "TOGETHER"),
    "volcengine": ("VOLCENGINE", "ARK"),
    "voyage": ("VOYAGE", "VOYAGE_AI"),
    "watsonx": ("WATSONX", "WX"),
    "watsonx_text": ("WATSONX", "WX"),
}
"""Where LiteLLM's environment names do not begin with the provider's own name; the first one wins."""
FAMILIES = {
    "AWS_": ("bedrock", "bedrock_mantle", "sagemaker", "sagemaker_chat", "sagemaker_nova"),
    "AZURE_": ("azure", "azure_ai", "azure_text"),
    "VERTEX": ("vertex_ai", "vertex_ai_beta"),
    "WATSONX_": ("watsonx", "watsonx_text"),
}
"""Beginnings of environment names that are a param's own name in capitals, and the providers that read them."""
OTHER_NAMES = {
    "AWS_BEARER_TOKEN_BEDROCK": "api_key",
    "AWS_REGION": "aws_region_name",
    "VERTEXAI_CREDENTIALS": "vertex_credentials",
    "VERTEXAI_LOCATION": "vertex_location",
    "VERTEXAI_PROJECT": "vertex_project",
    "WATSONX_APIKEY": "api_key",
    "WATSONX_REGION": "watsonx_region_name",
    "WATSONX_URL": "api_base",
}
"""Of those, the names that LiteLLM spells differently."""
SYNONYMS = {"base_url": "api_base", "token": "api_key", "api_token": "api_key", "organization_id": "organization"}
KEYLESS = frozenset({*ollama.PROVIDERS, "hosted_vllm", "lm_studio", "llamafile", "xinference", "docker_model_runner", "vllm", *FAMILIES["AWS_"], *FAMILIES["VERTEX"]})
"""Providers that work without an api_key: local servers, and clouds with their own identity."""


Source = tuple[SecretId, str]
"""A Secret, and a key in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One backend's credentials: litellm param → key in the managed Secret, and where those keys' values come from.

    The values themselves are looked up when the Secret is written: a rotated key is no reason to judge a route again.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source | None] = field(default_factory=dict)
    """Key in the managed Secret → the user's Secret and its key; None: what was last published, since the Secret no longer gives it."""


def key_of(namespace: str, secret: str, key: str) -> str:
    """Names one value in the managed Secret. A Secret's name has no underscore, so the first one separates."""
    name = f"{namespace}.{secret}_{key}"
    return name if len(name) <= 253 else hashlib.sha256(name.encode()).hexdigest()


def prefixes_of(provider: str) -> tuple[str, ...]:
    """What the provider's environment names begin with."""
    return ENVIRONMENT_PREFIXES.get(provider, (provider.upper().replace("-", "_"),))


def reading_of(provider: str, key: str) -> tuple[int, str] | None:
    """The litellm param that a Secret's key stands for at this provider: AZURE_API_BASE → api_base; None for other providers' keys.

    The number before it ranks the keys that stand for one param, the lowest wins: a param's own name, then LiteLLM's environment names.
    """
    if key in PARAMS:
        return 0, key
    for family, providers in FAMILIES.items():
        own = OTHER_NAMES.get(key, key.lower())
        if provider in providers and key.startswith(family) and key.isupper() and own in PARAMS:
            return 1, own
    for rank, prefix in enumerate(prefixes_of(provider), start=1):
        rest = key.removeprefix(f"{prefix}_").lower()
        rest = SYNONYMS.get(rest, rest)
        if key.startswith(f"{prefix}_") and rest in PARAMS:
            return rank, rest
    return None


def of(backend: Backend, namespace: str, secrets: Secrets) -> Credentials | Problem:
    """The backend's credentials, or the problem that its references have."""
    if backend.credentials_secret_ref:
        return _whole(backend, namespace, backend.credentials_secret_ref.name, secrets)
    if ref := backend.api_key_secret_ref:
        return _single(backend.name, namespace, ref.name, ref.key, secrets)
    return Credentials()


def _single(backend: str, namespace: str, secret: str, key: str, secrets: Secrets) -> Credentials | Problem:
    data = secrets.get((namespace, secret))
    if data is None:
        return not_found(backend, namespace, secret)
    value = data.get(key)
    if value is None or not value.reveal():
        has = f"it has {', '.join(sorted(data))}" if data else "it is empty"
        state = "is empty" if value is not None else f"does not exist ({has})"
        return Problem(
            reason=Reason.SECRET_KEY_NOT_FOUND,
            message=f"backend {backend}: key {key} of Secret {namespace}/{secret} {state}; add it, or correct apiKeySecretRef.key",
        )
    name = key_of(namespace, secret, key)
    return Credentials(keys={"api_key": name}, sources={name: ((namespace, secret), key)})


def _whole(backend: Backend, namespace: str, secret: str, secrets: Secrets) -> Credentials | Problem:
    data = secrets.get((namespace, secret))
    if data is None:
        return not_found(backend.name, namespace, secret)
    ranked = sorted((*reading, key) for key in data if data[key].reveal() and (reading := reading_of(backend.provider, key)))
    keys = {param: key for _, param, key in reversed(ranked)}
    if backend.api_base:
        keys.pop("api_base", None)
    if backend.api_version:
        keys.pop("api_version", None)
    missing = [param for param in _needed(backend, keys) if param not in keys]
    if missing:
        prefix = prefixes_of(backend.provider)[0]
        names = " and ".join(f"{param} (or {prefix}_{param.upper()})" for param in missing)
        return Problem(
            reason=Reason.SECRET_KEY_NOT_FOUND,
            message=f"backend {backend.name}: Secret {namespace}/{secret} has no {names} for provider {backend.provider}; add it to the Secret",
        )
    named = {param: key_of(namespace, secret, key) for param, key in sorted(keys.items())}
    return Credentials(keys=named, sources={named[param]: ((namespace, secret), key) for param, key in keys.items()})


def _needed(backend: Backend, given: Mapping[str, str]) -> list[str]:
    """What a whole Secret must give: a key, except for local servers and cloud identities; azure's base too."""
    needed = [] if backend.provider in KEYLESS or {"azure_ad_token", "client_secret"} & given.keys() else ["api_key"]
    if backend.provider == "azure" and not backend.api_base:
        needed.append("api_base")
    return needed


def shape(data: Mapping[str, Sealed] | None) -> frozenset[tuple[str, bool]] | None:
    """The keys of a Secret, and whether they hold something; None where there is no Secret. While this stays, so does every verdict."""
    return None if data is None else frozenset((key, bool(value.reveal())) for key, value in data.items())


def not_found(backend: str, namespace: str, secret: str) -> Problem:
    """The Secret is not there."""
    return Problem(
        reason=Reason.SECRET_NOT_FOUND,
        message=f"backend {backend}: Secret {namespace}/{secret} does not exist; create it, e.g. kubectl -n {namespace} create secret generic {secret} --from-env-file=.env",
    )
