"""The chart's own Ollama servers as the operator sees them, and the names of models there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelroute_operator.core.conditions import Reason

PROVIDERS = frozenset({"ollama", "ollama_chat"})
"""LiteLLM's names of Ollama: both reach the same servers."""
LIBRARY = "registry.ollama.ai"
"""Where Ollama pulls from unless the name says otherwise."""
_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What `/api/show` says that a model can do."""

    tools: bool = False
    embedding: bool = False
    vision: bool = False
    context_length: int | None = None
    """Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A model on a replica's disk."""

    digest: str
    size: int
    """Bytes."""
    facts: Facts | None = None
    """None until it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A pull under way. Bytes of the layers announced so far: the weights come first, and are nearly all."""

    completed: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last pull of a model onto a replica went wrong."""

    reason: Reason
    message: str
    retry_at: float
    """Seconds of the monotonic clock."""
    attempts: int = 1
    completed: int = 0
    """Bytes it had come to: a pull that has not come further is no better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One Ollama pod as last seen. The maps are keyed by `key_of` a model's name."""

    name: str
    models: Mapping[str, Held] | None = None
    """None: it has not answered yet."""
    trouble: str = ""
    """Why it does not answer now; empty: it does."""
    pulls: Mapping[str, Pull] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    refreshed: Mapping[str, str] = field(default_factory=dict)
    """Model → the `version` of the wish it was last pulled for, whether it was there before or not."""

    @property
    def answers(self) -> bool:
        """Can it be asked?"""
        return self.models is not None and not self.trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Ollama:
    """All replicas at one moment: the part of a Snapshot that tells of the chart's own Ollama. No service: there is none."""

    service: str = ""
    """Name of the headless Service: <replica>.<service> is a replica's host name."""
    replicas: tuple[Replica, ...] = ()

    def view(self, model: str) -> tuple[object, ...]:
        """All that a route's configuration says of a model: equal views make equal configurations."""
        return (self.facts(model), self.holders(model))

    def facts(self, model: str) -> Facts | None:
        """What a model can do, as any replica says."""
        held = (replica.models.get(key_of(model)) for replica in self.replicas if replica.models)
        return next((found.facts for found in held if found and found.facts), None)

    def holders(self, model: str) -> tuple[str, ...]:
        """API bases of the replicas that answer and hold the model, in order; while none of them answers, of those that held it."""
        key = key_of(model)
        holding = [r for r in self.replicas if r.models and key in r.models]
        return tuple(f"http://{r.name}.{self.service}:11434" for r in [r for r in holding if r.answers] or holding)


def full_name(model: str) -> str:
    """The name under which Ollama lists a model: `llama3.2` → `llama3.2:latest`, without its own registry's name."""
    for prefix in (f"{LIBRARY}/library/", f"{LIBRARY}/", "library/"):
        model = model.removeprefix(prefix)
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def key_of(model: str) -> str:
    """What two names of one model have in common: Ollama ignores case."""
    return full_name(model).lower()


def registry_of(model: str) -> str:
    """Host of the registry that a model is pulled from."""
    first, slash, _ = full_name(model).partition("/")
    return first if slash and ("." in first or ":" in first) else LIBRARY


def bytes_of(quantity: str) -> int | None:
    """Bytes of a Kubernetes quantity: "50Gi" → 53687091200; None where it is none."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kMGTP]i?|)", quantity)
    return int(float(found[1]) * _SUFFIXES[found[2]]) if found and found[2] in _SUFFIXES else None
