"""Everything that can be wrong with a route, as ordered lists of named predicates.

Each returns the problem when its name is true, else None. `LOCAL` looks at one route and its Secrets only;
`SHARED` also at the names that other routes claim. The first problem of a list is the one reported.
To add a reason: add it to `conditions.Reason` and `CONDITION_OF`, write its predicate here, put it in a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from modelroute_operator.core import ollama, questions
from modelroute_operator.core.conditions import Problem, Reason
from modelroute_operator.core.cost_map import CostMap
from modelroute_operator.core.modelroute import ModelRouteSpec
from modelroute_operator.core.snapshot import Release, Route

RE_EMBEDDED = "modelroute.dev/re-embedded"
"""Annotation: comma-separated aliases whose vectors the user has made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What one route is judged by alone."""

    route: Route
    spec: ModelRouteSpec
    mode: str
    release: Release
    cost_map: CostMap
    credentials: Mapping[str, Mapping[str, str]]
    """Backend → litellm param → key in the managed Secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One route that is right by itself, and the names it claims."""

    route: Route
    spec: ModelRouteSpec
    mode: str

    @property
    def names(self) -> tuple[str, ...]:
        """modelName, then the aliases; each once, also where an alias repeats the default modelName."""
        return tuple(dict.fromkeys((self.route.model_name, *self.spec.aliases)))

    @property
    def vectors(self) -> str | None:
        """The embedding model, for an embedding route."""
        return questions.model_of(self.spec.backends[0], self.route.model_name) if self.mode == "embedding" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What one route is judged by among the others."""

    claim: Claim
    owners: Mapping[str, Claim]
    """Name → the claim that has it: those of older routes."""
    vectors: Mapping[str, str]
    """Alias → the embedding model it has stood for."""


def route_is_suspended(at: Local) -> Problem | None:
    """The user took it out of service."""
    if at.spec.suspend:
        return Problem(reason=Reason.SUSPENDED, message="spec.suspend is true: the route is out of service; set it to false to serve it again")
    return None


def namespace_is_not_allowed(at: Local) -> Problem | None:
    """The release's values restrict the namespaces."""
    allowed = at.release.allowed_namespaces
    if allowed and not any(fnmatchcase(at.route.namespace, pattern) for pattern in allowed):
        return Problem(
            reason=Reason.NAMESPACE_NOT_ALLOWED,
            message=f"release {at.release.id} serves namespaces {', '.join(allowed)} only, not {at.route.namespace}; ask for it in the chart's operator.allowedNamespaces",
        )
    return None


def provider_is_unknown(at: Local) -> Problem | None:
    """LiteLLM has no such provider."""
    for backend in at.spec.backends:
        if backend.provider not in at.cost_map.providers:
            near = questions.nearest(backend.provider, at.cost_map.providers)
            hint = f"did you mean {near}?" if near else "see LiteLLM's list of providers"
            return Problem(
                reason=Reason.UNKNOWN_PROVIDER,
                message=f"backend {backend.name}: LiteLLM {at.cost_map.litellm_version} has no provider {backend.provider}; {hint}",
            )
    return None


def ollama_has_no_server(at: Local) -> Problem | None:
    """An Ollama backend whose server nobody named; LiteLLM would start one of its own."""
    for backend in at.spec.backends:
        named = backend.api_base or "api_base" in at.credentials.get(backend.name, {}) or at.release.ollama_api_base
        if backend.provider in ollama.PROVIDERS and not named:
            return Problem(
                reason=Reason.INVALID_SPEC,
                message=f"backend {backend.name}: no Ollama server is known; set apiBase, a credentialsSecretRef with OLLAMA_API_BASE, or the chart's ollama.externalUrl",
            )
    return None


def route_falls_back_to_itself(at: Local) -> Problem | None:
    """By default modelName or by an alias, which the schema cannot see."""
    own = {at.route.model_name, *at.spec.aliases}
    for name in questions.fallback_names(at.spec):
        if name in own:
            return Problem(reason=Reason.INVALID_SPEC, message=f"fallback {name} is the route itself; remove it from spec.fallbacks")
    return None


def backends_embed_differently(at: Local) -> Problem | None:
    """Vectors of two models cannot be compared (the guide's RAG warning)."""
    if at.mode != "embedding":
        return None
    models = {b.name: questions.model_of(b, at.route.model_name) for b in at.spec.backends}
    if len(set(models.values())) > 1:
        listed = ", ".join(f"{name}: {model}" for name, model in models.items())
        return Problem(
            reason=Reason.MIXED_EMBEDDING_MODELS,
            message=f"backends embed with different models ({listed}), whose vectors cannot be compared; use one model, "
            "or, where a deployment's name hides the same model, say so with baseModel",
        )
    return None


def name_is_taken(at: Shared) -> Problem | None:
    """Another route has the name; the oldest wins."""
    for name in at.claim.names:
        if owner := at.owners.get(name):
            what = "modelName" if name == at.claim.route.model_name else "alias"
            return Problem(
                reason=Reason.MODEL_NAME_CONFLICT,
                message=f"{what} {name} belongs to ModelRoute {owner.route.key} (the older one); choose another name or delete that one",
            )
    return None


def alias_would_change_vectors(at: Shared) -> Problem | None:
    """An alias that applications embed with must not move to another model unseen."""
    vectors = at.claim.vectors
    accepted = {name.strip() for name in at.claim.route.annotations.get(RE_EMBEDDED, "").split(",")}
    for alias in at.claim.spec.aliases if vectors else ():
        before = at.vectors.get(alias, vectors)
        if before != vectors and alias not in accepted:
            return Problem(
                reason=Reason.MIXED_EMBEDDING_MODELS,
                message=f"alias {alias} has stood for {before}: vectors stored under it cannot be compared with those of {vectors}; "
                f"use a new alias, or embed everything anew and annotate this route with {RE_EMBEDDED}={alias}",
            )
    return None


LOCAL: tuple[Callable[[Local], Problem | None], ...] = (
    route_is_suspended,
    namespace_is_not_allowed,
    provider_is_unknown,
    route_falls_back_to_itself,
    backends_embed_differently,
)
AFTER_CREDENTIALS: tuple[Callable[[Local], Problem | None], ...] = (ollama_has_no_server,)
SHARED: tuple[Callable[[Shared], Problem | None], ...] = (name_is_taken, alias_would_change_vectors)


def fallback_problem(claim: Claim, name: str, owners: Mapping[str, Claim]) -> Problem | None:
    """What is wrong with one fallback. It costs the route that fallback only: a neighbour's deletion hurts nobody else."""
    target = owners.get(name)
    if target is None:
        return Problem(
            reason=Reason.FALLBACK_NOT_FOUND,
            message=f"fallback {name} is no modelName or alias of a served route; the route is served without it: create that route or remove the fallback",
            costs_route=False,
        )
    if claim.vectors and target.vectors != claim.vectors:
        return Problem(
            reason=Reason.MIXED_EMBEDDING_MODELS,
            message=f"fallback {name} embeds with {target.vectors or 'no embedding model'}, this route with {claim.vectors}: their vectors cannot be "
            "compared; the route is served without it: remove the fallback",
            costs_route=False,
        )
    return None
