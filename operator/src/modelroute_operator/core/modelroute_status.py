"""What the operator writes to a ModelRoute's status; `status.py` decides it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelroute_operator.core.modelroute import ApiModel


class ConditionStatus(ApiModel):
    """A standard Kubernetes condition."""

    type: str
    """Accepted, ResolvedRefs, ModelsPulled, Programmed or Ready."""
    status: Literal["True", "False", "Unknown"]
    """Does it hold?"""
    reason: str
    """Why, in one word for programs."""
    message: str
    """Why, in a sentence for people: what, where, what to do."""
    observed_generation: int
    """The generation of the spec this condition speaks of."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When status last changed."""


class BackendStatus(ApiModel):
    """How one backend is served."""

    name: str
    """Name of the backend within the route."""
    deployment_id: Annotated[str, Field(alias="deploymentID")]
    """Id of the LiteLLM deployment."""
    litellm_model: str
    """What LiteLLM is told to call."""
    state: Literal["Served", "NotServed"]
    """Served: every ready replica confirmed it."""
    message: str = ""
    """Why it is not served."""


class ModelRouteStatus(ApiModel):
    """What the operator saw and did."""

    observed_generation: int | None = None
    """The generation of the spec this status speaks of."""
    model_name: str | None = None
    """What clients send as "model"."""
    mode: str | None = None
    """What the model does."""
    proxy: str | None = None
    """Namespace/name of the release that serves the route."""
    digest: str | None = None
    """Digest of this route's configuration line, as every ready replica confirmed it."""
    summary: str | None = None
    """Backends served / declared."""
    pull_summary: str | None = None
    """How far the pull of an Ollama model is."""
    conditions: Annotated[
        tuple[ConditionStatus, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Accepted, ResolvedRefs, ModelsPulled (with the chart's Ollama), Programmed, and Ready (all of them)."""
    backends: Annotated[
        tuple[BackendStatus, ...],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """Each backend as served."""
