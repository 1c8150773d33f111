"""Specs that nobody can apply, and the sentence each is refused with.

Read by `test_admission.py` (files, without a cluster) and by `tests/cluster/test_admission.py` (a real API server). CEL rules say the
same sentence in both; where the schema refuses, each has its own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelroute_operator.core.modelroute import REFUSED_PARAMS, SECRET_PARAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One spec; `path`: the field at fault; `says`: what both say, else `file` and `server`."""

    spec: Any
    path: str
    says: str = ""
    file: str = ""
    server: str = ""

    @property
    def of_file(self) -> str:
        """What is said of a file."""
        return self.says or self.file

    @property
    def of_server(self) -> str:
        """What the API server says."""
        return self.says or self.server


def spec(**fields: Any) -> dict[str, Any]:
    """A good spec with something changed."""
    return {"backends": [{"name": "default", "provider": "openai"}], **fields}


def one(**fields: Any) -> dict[str, Any]:
    """A good spec whose only backend has something changed."""
    return {"backends": [{"name": "default", "provider": "openai", **fields}]}


def field(spec: Any, path: str, file: str, server: str) -> Bad:
    """Refused by the schema."""
    return Bad(spec=spec, path=path, file=file, server=server)


AT = "spec.backends[0]"
OURS = {"azure": {"apiBase": "https://a.example"}}
BAD: dict[str, Bad] = {
    # CEL: relations between fields
    "both kinds of credentials": Bad(
        spec=one(apiKeySecretRef={"name": "s", "key": "k"}, credentialsSecretRef={"name": "s"}), path=AT,
        says="set apiKeySecretRef (one key) or credentialsSecretRef (a whole Secret), not both",
    ),
    "azure without an address": Bad(spec=one(provider="azure", apiKeySecretRef={"name": "s", "key": "k"}), path=AT, says="azure needs apiBase (https://<resource>.openai.azure.com)"),
    "ollama's options elsewhere": Bad(spec=one(ollama={"pullPolicy": "Always"}), path=AT, says="ollama is for provider ollama only"),
    **{
        f"a model with the prefix of {provider}": Bad(
            spec=one(provider=provider, model=f"{provider}/x", **OURS.get(provider, {})), path=AT, says="model is the upstream id without the provider's prefix: drop '<provider>/' from it",
        ) for provider in ("openai", "azure", "mistral", "ollama")
    },
    "an alias that repeats modelName": Bad(spec=spec(modelName="a", aliases=["b", "a"]), path="spec", says="aliases must not repeat modelName"),
    **{
        f"a route that falls back to itself {kind}": Bad(
            spec=spec(modelName="a", fallbacks={kind: ["b", "a"]}), path="spec", says="a route cannot fall back to itself: remove modelName from fallbacks",
        ) for kind in ("onError", "onContextWindowExceeded", "onContentPolicyViolation")
    },
    **{
        f"{name} in params": Bad(
            spec=one(params={name: "x"}), path=f"{AT}.params",
            says=f"params.{name} is a credential: put it in a Secret" if name in SECRET_PARAMS else f"params.{name} has a field of its own: use ",
        ) for name in REFUSED_PARAMS
    },
    # Schema: required, types, forms, ranges
    "no backends": field({}, "spec", "'backends' is a required property", "spec.backends: Required value"),
    "an empty list of backends": field({"backends": []}, "spec.backends", "[] should be non-empty", "spec.backends in body should have at least 1 items"),
    "seventeen backends": field(
        {"backends": [{"name": f"b{i}", "provider": "openai"} for i in range(17)]}, "spec.backends", "is too long", "must have at most 16 items",
    ),
    "a backend without a name": field({"backends": [{"provider": "openai"}]}, AT, "'name' is a required property", "spec.backends[0].name: Required value"),
    "a backend without a provider": field({"backends": [{"name": "a"}]}, AT, "'provider' is a required property", "spec.backends[0].provider: Required value"),
    "two backends of one name": field(
        {"backends": [{"name": "a", "provider": "openai"}, {"name": "a", "provider": "mistral"}]}, "spec.backends[1]", "Duplicate value", 'spec.backends[1]: Duplicate value: {"name":"a"}',
    ),
    "one alias twice": field(spec(aliases=["a", "a"]), "spec.aliases", "has non-unique elements", 'spec.aliases[1]: Duplicate value: "a"'),
    "a backend's name in capitals": field(one(name="Default"), f"{AT}.name", "'Default' does not match", "should match '^[a-z0-9]"),
    "a provider with a slash": field(one(provider="openai/gpt"), f"{AT}.provider", "does not match", "should match '^[a-z0-9]"),
    "an api version that is a number": field(one(apiVersion=20241021), f"{AT}.apiVersion", "20241021 is not of type 'string'", "must be of type string"),
    "an address without a scheme": field(one(apiBase="a.example"), f"{AT}.apiBase", "'a.example' does not match", "should match '^https?://"),
    "an address with a blank": field(one(apiBase="https://a .example"), f"{AT}.apiBase", "does not match", "should match '^https?://"),
    "a Secret without a key": field(one(apiKeySecretRef={"name": "s"}), f"{AT}.apiKeySecretRef", "'key' is a required property", "apiKeySecretRef.key: Required value"),
    "a Secret without a name": field(one(credentialsSecretRef={}), f"{AT}.credentialsSecretRef", "'name' is a required property", "credentialsSecretRef.name: Required value"),
    "weight nothing": field(one(weight=0), f"{AT}.weight", "0 is less than the minimum of 1", "should be greater than or equal to 1"),
    "weight a half": field(one(weight=0.5), f"{AT}.weight", "0.5 is not of type 'integer'", "must be of type integer"),
    "a negative priority": field(one(priority=-1), f"{AT}.priority", "-1 is less than the minimum of 0", "should be greater than or equal to 0"),
    "a limit of nothing": field(one(limits={"requestsPerMinute": 0}), f"{AT}.limits.requestsPerMinute", "0 is less than the minimum", "should be greater than or equal to 1"),
    "a limit beyond 32 bits": field(one(limits={"tokensPerMinute": 2**31}), f"{AT}.limits.tokensPerMinute", "is greater than the maximum", "should be less than or equal to 2147483647"),
    "a timeout without a unit": field(one(timeout="120"), f"{AT}.timeout", "'120' does not match", "should match '^([0-9]+"),
    "a timeout that is a number": field(one(timeout=120), f"{AT}.timeout", "120 is not of type 'string'", "must be of type string"),
    "keepAlive without a unit": field(one(provider="ollama", ollama={"keepAlive": "5"}), f"{AT}.ollama.keepAlive", "'5' does not match", "should match '^(-1|0|"),
    "an unknown pull policy": field(
        one(provider="ollama", ollama={"pullPolicy": "Sometimes"}), f"{AT}.ollama.pullPolicy", "'Sometimes' is none of IfNotPresent, Always, Never", 'supported values: "IfNotPresent", "Always", "Never"',
    ),
    "an unknown mode": field(spec(mode="embeddings"), "spec.mode", "'embeddings' is none of chat, completion", 'supported values: "chat"'),
    "functionCalling yes": field(
        spec(capabilities={"functionCalling": True}), "spec.capabilities.functionCalling", "True is not of type 'string'", "must be of type string",
    ),
    "functionCalling unknown": field(
        spec(capabilities={"functionCalling": "Unknown"}), "spec.capabilities.functionCalling", "'Unknown' is none of Supported, Limited, Unsupported", 'supported values: "Supported", "Limited", "Unsupported"',
    ),
    "no room for a prompt": field(spec(capabilities={"maxInputTokens": 0}), "spec.capabilities.maxInputTokens", "0 is less than the minimum", "should be greater than or equal to 1"),
    "eleven retries": field(spec(retries={"rateLimit": 11}), "spec.retries.rateLimit", "11 is greater than the maximum of 10", "should be less than or equal to 10"),
    "nine fallbacks": field(spec(fallbacks={"onError": [f"m{i}" for i in range(9)]}), "spec.fallbacks.onError", "is too long", "must have at most 8 items"),
    "a model name with a blank": field(spec(modelName="my model"), "spec.modelName", "'my model' does not match", "should match '^[A-Za-z0-9]"),
    "an empty model name": field(spec(modelName=""), "spec.modelName", "'' ", "should be at least 1 chars long"),
    "suspend as a text": field(spec(suspend="true"), "spec.suspend", "'true' is not of type 'boolean'", "must be of type boolean"),
    # Strict: what nobody knows
    "an unknown field of the spec": field(spec(backend=[]), "spec", "unknown field backend; known are aliases, backends", 'unknown field "spec.backend"'),
    "LiteLLM's own spelling of a field": field(one(api_base="https://a.example"), AT, "unknown field api_base; known are apiBase", 'unknown field "spec.backends[0].api_base"'),
    "a secret pasted as a field": field(one(apiKey="sk-x"), AT, "unknown field apiKey; known are", 'unknown field "spec.backends[0].apiKey"'),
    "a third kind of fallback": field(spec(fallbacks={"onTimeout": ["a"]}), "spec.fallbacks", "unknown field onTimeout; known are", 'unknown field "spec.fallbacks.onTimeout"'),
}  # fmt: skip

GOOD: dict[str, dict[str, Any]] = {
    "the least": spec(),
    "a model with a slash where that is its name": one(provider="openrouter", model="openrouter/auto"),
    "azure with a Secret that holds the address": one(provider="azure", credentialsSecretRef={"name": "s"}),
    "any further param": one(params={"temperature": 0.2, "extra_headers": {"a": "b"}, "drop_params": True, "stop": ["x"]}),
    "keepAlive for ever": one(provider="ollama_chat", ollama={"keepAlive": "-1"}),
    "a timeout in parts": one(timeout="1h2m3.5s"),
    "a model name as a path": spec(modelName="team/gpt-4.1:latest@eu+x"),
    "an own name among another's fallbacks": spec(modelName="a", aliases=["b"], fallbacks={"onError": ["c"]}),
}
