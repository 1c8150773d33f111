"""The API `ModelRoute` (`modelroute.dev/v1alpha1`): the one place that says what a user may write.

`crds/generate.py` turns these types into the CustomResourceDefinition: a field's docstring is its
`kubectl explain`, a class's `rules` are its CEL validations (decided by the API server, and by
`edges/manifests.py` for files). At run time unknown fields are ignored, so that an old operator accepts a newer object.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP, VERSION, PLURAL, KIND = "modelroute.dev", "v1alpha1", "modelroutes", "ModelRoute"
FINALIZER = f"{GROUP}/ollama-model"
"""On routes with deletionPolicy Delete only: they go after their model."""

ModelName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
Duration = Annotated[str, Field(max_length=32, pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$")]
Rule = tuple[str, str]
"""A CEL expression over `self`, and the sentence said when it is false."""


class FunctionCalling(StrEnum):
    """What a model does with `tools` (the guide's step 5)."""

    SUPPORTED = "Supported"
    LIMITED = "Limited"
    UNSUPPORTED = "Unsupported"
    UNKNOWN = "Unknown"


class ApiModel(BaseModel):
    """What all types of the API share: camelCase, frozen, open to fields of newer versions."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
    )
    rules: ClassVar[tuple[Rule, ...]] = ()


class SecretKeyRef(ApiModel):
    """One key of one Secret in the route's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the Secret's data."""


class SecretRef(ApiModel):
    """A whole Secret in the route's namespace."""

    name: ObjectName
    """Name of the Secret."""


class Limits(ApiModel):
    """Limits LiteLLM keeps for one backend. One replica's limits: with several replicas they add up, unless Redis is set."""

    requests_per_minute: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Requests a minute (LiteLLM's rpm)."""
    tokens_per_minute: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Tokens a minute (LiteLLM's tpm)."""
    max_parallel_requests: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Requests under way at once."""


class OllamaOptions(ApiModel):
    """What the operator does about the model on the chart's own Ollama servers (ollama.enabled)."""

    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When the operator pulls the model onto the chart's Ollama replicas."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """Delete removes the model from the chart's Ollama replicas with the last route that uses it."""
    keep_alive: Annotated[str, Field(max_length=32, pattern=r"^(-1|0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$")] | None = None
    """How long Ollama keeps the model in memory after a request: a duration like 5m, 0 (not at all) or -1 (for ever)."""


_OWN_FIELD = {
    "api_version": "apiVersion",
    "weight": "weight",
    "order": "priority",
    "rpm": "limits.requestsPerMinute",
    "tpm": "limits.tokensPerMinute",
    "max_parallel_requests": "limits.maxParallelRequests",
    "timeout": "timeout",
    "model": "provider and model",
    "api_base": "apiBase",
    "base_url": "apiBase",
}
SECRET_PARAMS = (
    "api_key",
    "litellm_credential_name",
    "azure_ad_token",
    "client_secret",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "vertex_credentials",
    "watsonx_token",
)
"""LiteLLM params that are credentials: refused in `params`, taken from Secrets only."""
REFUSED_PARAMS = (*SECRET_PARAMS, *_OWN_FIELD)


class Params(ApiModel):
    """Verbatim litellm_params. Credentials, and what has a field of its own, are refused here."""

    model_config = ConfigDict(extra="allow")
    rules = (
        *((f"!has(self.{name})", f"params.{name} is a credential: put it in a Secret and name it in apiKeySecretRef or credentialsSecretRef") for name in SECRET_PARAMS),
        *((f"!has(self.{name})", f"params.{name} has a field of its own: use {field}") for name, field in _OWN_FIELD.items()),
    )


class Backend(ApiModel):
    """One LiteLLM deployment, with the id "<namespace>/<route>/<backend>"."""

    rules = (
        (
            "!(has(self.apiKeySecretRef) && has(self.credentialsSecretRef))",
            "set apiKeySecretRef (one key) or credentialsSecretRef (a whole Secret), not both",
        ),
        (
            "self.provider != 'azure' || has(self.apiBase) || has(self.credentialsSecretRef)",
            "azure needs apiBase (https://<resource>.openai.azure.com), or a credentialsSecretRef whose Secret holds AZURE_API_BASE",
        ),
        ("!has(self.ollama) || self.provider in ['ollama', 'ollama_chat']", "ollama is for provider ollama only"),
        (
            "!has(self.model) || !(self.provider in ['openai', 'azure', 'mistral', 'ollama']) || !self.model.startsWith(self.provider + '/')",
            "model is the upstream id without the provider's prefix: drop '<provider>/' from it",
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    """Name of the backend within the route."""
    provider: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """A LiteLLM provider: openai, azure, mistral, ollama, groq, bedrock, …"""
    model: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """The provider's own id of the model, without the provider's prefix (for azure: the deployment's name). Default: spec.modelName."""
    base_model: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """The model behind a deployment whose name does not tell (LiteLLM's base_model), e.g. gpt-4.1 for an azure deployment:
    capabilities and prices are looked up under it, and two embedding backends with one baseModel count as one model."""
    api_base: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/]+\S*$")] | None = None
    """The provider's base URL. Default: the Secret's api_base, else the provider's own (ollama: the chart's)."""
    api_version: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The provider's API version, e.g. "2024-10-21" for azure. A string: quote it."""
    api_key_secret_ref: SecretKeyRef | None = None
    """The API key: one key of one Secret in the route's namespace."""
    credentials_secret_ref: SecretRef | None = None
    """A whole Secret in the route's namespace. Its keys are litellm params (api_key, api_base, api_version, aws_region_name, …) or LiteLLM's
    environment names of this backend's provider (AZURE_API_KEY, AZURE_API_BASE, …); other keys are ignored. A field of the route wins."""
    weight: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Share of the requests among the backends of the same priority."""
    priority: Annotated[int, Field(ge=0, le=1000)] = 0
    """Lower is tried first (LiteLLM's order)."""
    limits: Limits | None = None
    """Limits of this backend."""
    timeout: Duration | None = None
    """Longest time a request may take, e.g. 120s. Default: litellm_settings.request_timeout of the chart."""
    params: Params | None = None
    """Further litellm_params, verbatim, e.g. {temperature: 0.2, drop_params: true}."""
    ollama: OllamaOptions | None = None
    """Provider ollama only."""


class Fallbacks(ApiModel):
    """Names (modelName or alias) of the routes that answer when this one can't, in order."""

    on_error: Annotated[tuple[ModelName, ...], Field(max_length=8)] = ()
    """Tried when the request fails on every backend."""
    on_context_window_exceeded: Annotated[tuple[ModelName, ...], Field(max_length=8)] = ()
    """Tried when the prompt is too long for this model."""
    on_content_policy_violation: Annotated[tuple[ModelName, ...], Field(max_length=8)] = ()
    """Tried when the provider's content filter refuses."""


class Retries(ApiModel):
    """How often a request is tried again before the fallbacks, by kind of failure."""

    rate_limit: Annotated[int, Field(ge=0, le=10)] | None = None
    """After a 429."""
    timeout: Annotated[int, Field(ge=0, le=10)] | None = None
    """After a timeout."""
    internal_server_error: Annotated[int, Field(ge=0, le=10)] | None = None
    """After a 5xx."""


class Capabilities(ApiModel):
    """What the model can do. Default: LiteLLM's cost map."""

    function_calling: Literal[FunctionCalling.SUPPORTED, FunctionCalling.LIMITED, FunctionCalling.UNSUPPORTED] | None = None
    """Supported passes tools. Limited and Unsupported drop them and warn in the header x-modelroute-warning.
    Unset and not in the cost map: tools are passed, with the warning."""
    vision: bool | None = None
    """The model takes images."""
    max_input_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest prompt, in tokens."""


class ModelRouteSpec(ApiModel):
    """One model that clients can name, and the backends that serve it."""

    rules = (
        ("!has(self.aliases) || !has(self.modelName) || !(self.modelName in self.aliases)", "aliases must not repeat modelName"),
        (
            (
                "!has(self.fallbacks) || !has(self.modelName) || !((has(self.fallbacks.onError) && self.modelName in self.fallbacks.onError)"
                " || (has(self.fallbacks.onContextWindowExceeded) && self.modelName in self.fallbacks.onContextWindowExceeded)"
                " || (has(self.fallbacks.onContentPolicyViolation) && self.modelName in self.fallbacks.onContentPolicyViolation))"
            ),
            "a route cannot fall back to itself: remove modelName from fallbacks",
        ),
    )

    model_name: ModelName | None = None
    """What clients send as "model". Default: metadata.name."""
    aliases: Annotated[tuple[ModelName, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})] = ()
    """Further names for this model. Moving an alias from one route to another switches an application's provider."""
    mode: (
        Literal[
            "chat",
            "completion",
            "responses",
            "embedding",
            "audio_transcription",
            "audio_speech",
            "image_generation",
            "image_edit",
            "video_generation",
            "moderation",
            "rerank",
            "ocr",
            "realtime",
        ]
        | None
    ) = None
    """What the model does (LiteLLM's model_info.mode). Default: LiteLLM's cost map, else chat."""
    backends: Annotated[
        tuple[Backend, ...],
        Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ]
    """Where requests go: by priority, then by weight."""
    fallbacks: Fallbacks | None = None
    """Routes that answer when this one can't."""
    retries: Retries | None = None
    """How often to try again."""
    capabilities: Capabilities | None = None
    """What the model can do, where LiteLLM's cost map does not know."""
    proxy_name: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Helm release whose proxy serves this route. Default: the release whose operator covers the route and claims it first."""
    suspend: bool = False
    """True takes the route out of service without deleting it."""
