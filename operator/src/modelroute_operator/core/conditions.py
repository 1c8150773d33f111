"""The conditions of a ModelRoute, their reasons, and the problem that becomes one of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """Condition types, in the order in which they are decided."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    MODELS_PULLED = "ModelsPulled"
    PROGRAMMED = "Programmed"
    READY = "Ready"


class Reason(StrEnum):
    """Why a condition is not True. Each belongs to one condition: `CONDITION_OF`."""

    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    UNKNOWN_PROVIDER = "UnknownProvider"
    MODEL_NAME_CONFLICT = "ModelNameConflict"
    MIXED_EMBEDDING_MODELS = "MixedEmbeddingModels"
    NOT_ACCEPTED = "NotAccepted"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105  the name of a reason
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"  # noqa: S105  the name of a reason
    FALLBACK_NOT_FOUND = "FallbackNotFound"
    PULLING = "Pulling"
    PULL_FAILED = "PullFailed"
    INSUFFICIENT_STORAGE = "InsufficientStorage"
    OLLAMA_UNREACHABLE = "OllamaUnreachable"
    PENDING = "Pending"
    REJECTED_BY_PROXY = "RejectedByProxy"
    NO_READY_PROXY = "NoReadyProxy"


CONDITION_OF = {
    Reason.SUSPENDED: Condition.ACCEPTED,
    Reason.INVALID_SPEC: Condition.ACCEPTED,
    Reason.NAMESPACE_NOT_ALLOWED: Condition.ACCEPTED,
    Reason.UNKNOWN_PROVIDER: Condition.ACCEPTED,
    Reason.MODEL_NAME_CONFLICT: Condition.ACCEPTED,
    Reason.MIXED_EMBEDDING_MODELS: Condition.ACCEPTED,
    Reason.NOT_ACCEPTED: Condition.RESOLVED_REFS,
    Reason.SECRET_NOT_FOUND: Condition.RESOLVED_REFS,
    Reason.SECRET_KEY_NOT_FOUND: Condition.RESOLVED_REFS,
    Reason.FALLBACK_NOT_FOUND: Condition.RESOLVED_REFS,
    Reason.PULLING: Condition.MODELS_PULLED,
    Reason.PULL_FAILED: Condition.MODELS_PULLED,
    Reason.INSUFFICIENT_STORAGE: Condition.MODELS_PULLED,
    Reason.OLLAMA_UNREACHABLE: Condition.MODELS_PULLED,
    Reason.PENDING: Condition.PROGRAMMED,
    Reason.REJECTED_BY_PROXY: Condition.PROGRAMMED,
    Reason.NO_READY_PROXY: Condition.PROGRAMMED,
}

TRUE_REASON = {
    Condition.ACCEPTED: "Accepted",
    Condition.RESOLVED_REFS: "ResolvedRefs",
    Condition.MODELS_PULLED: "ModelsPulled",
    Condition.PROGRAMMED: "Programmed",
    Condition.READY: "Ready",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong that is the user's to mend: a value that becomes a condition.

    `message` is one sentence: what, where, what to do. `costs_route` is false where only a part is left out
    (a fallback), or where the route lives on with what it had (its last good credentials).
    """

    reason: Reason
    message: str
    costs_route: bool = True

    @property
    def condition(self) -> Condition:
        """The condition this problem makes False."""
        return CONDITION_OF[self.reason]
