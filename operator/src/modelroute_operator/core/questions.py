"""Small questions about a spec that several modules ask."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from modelroute_operator.core.modelroute import Backend, ModelRouteSpec


def upstream(backend: Backend, model_name: str) -> str:
    """The provider's own id of the model."""
    return backend.model or model_name


def model_of(backend: Backend, model_name: str) -> str:
    """The embedding model itself, whoever serves it: two backends with one name here give comparable vectors."""
    return backend.base_model or upstream(backend, model_name)


def fallback_names(spec: ModelRouteSpec) -> tuple[str, ...]:
    """Every fallback of the spec, each once, in order."""
    if spec.fallbacks is None:
        return ()
    of = spec.fallbacks
    return tuple(dict.fromkeys((*of.on_error, *of.on_context_window_exceeded, *of.on_content_policy_violation)))


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar of `words`, if one is similar: for "did you mean"."""
    return next(iter(get_close_matches(word, sorted(words), n=1, cutoff=0.75)), None)
