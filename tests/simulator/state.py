"""What the simulator knows while it runs: keys, models, rules and the requests it received."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROVIDERS: Final = ("openai", "azure", "mistral", "ollama")
FAILURES: Final = ("status", "rate-limit", "context-window", "content-policy", "disconnect")
RING: Final = 10_000
"""Requests kept, the newest; older ones are forgotten."""

SECRET_HEADERS: Final = frozenset({"authorization", "api-key", "x-api-key"})


def default_keys() -> dict[str, dict[str, str]]:
    """Key name to key, for each provider. A provider without keys asks for none."""
    keyed = {name: {"default": f"sim-{name}-key"} for name in PROVIDERS if name != "ollama"}
    return {**keyed, "ollama": {}}


def fingerprint(secret: str) -> str:
    """The first 12 hex digits of the secret's SHA-256: tells keys apart and gives none away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


class WrongRuleError(ValueError):
    """A rule that the control API refuses; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How matching requests are to go wrong. Times are in seconds; None means not asked for."""

    name: str
    provider: str | None = None
    model: str | None = None
    """A pattern (`*`, `?`) on the upstream model or Azure deployment."""
    count: int | None = None
    """How many matching requests it applies to; None is all."""
    fail: str | None = None
    status: int = 500
    message: str | None = None
    retry_after: float = 1.0
    delay: float = 0.0
    """Before anything is answered."""
    chunk_delay: float = 0.0
    """Between two chunks of a stream."""
    cut_after_chunks: int | None = None
    """The connection is dropped after so many chunks of a stream."""

    def matches(self, provider: str, model: str) -> bool:
        """Tells whether the rule is about this provider and this upstream model."""
        return (self.provider in (None, provider)) and (self.model is None or fnmatchcase(model, self.model))

    @classmethod
    def of(cls, name: str, body: Mapping[str, Any]) -> Rule:
        """Reads a rule as the control API gets it (keys in camelCase). Raises WrongRuleError."""
        known = {camel(key): key for key in cls.__dataclass_fields__ if key != "name"}
        if unknown := sorted(set(body) - set(known)):
            raise WrongRuleError(f"A rule has no {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        values = {known[key]: value for key, value in body.items() if value is not None}
        if "status" in values:
            values.setdefault("fail", "status")
        try:
            rule = cls(name=name, **values)
        except TypeError as error:
            raise WrongRuleError(str(error)) from error
        if rule.provider not in (None, *PROVIDERS):
            raise WrongRuleError(f"There is no provider {rule.provider}; there are {', '.join(PROVIDERS)}.")
        if rule.fail not in (None, *FAILURES):
            raise WrongRuleError(f"fail is one of {', '.join(FAILURES)}, not {rule.fail}.")
        if rule.status not in set(HTTPStatus):
            raise WrongRuleError(f"{rule.status} is no HTTP status.")
        if rule.fail == "content-policy" and rule.provider not in ("openai", "azure"):
            raise WrongRuleError("Only openai and azure have a content-policy error: name one as the provider.")
        return rule


@dataclass(slots=True)
class Effects:
    """What the rules that match one request ask for, together."""

    delay: float = 0.0
    chunk_delay: float = 0.0
    cut_after_chunks: int | None = None
    failure: Rule | None = None


@dataclass(slots=True, kw_only=True)
class Received:
    """One request as it came in, and how it was answered."""

    ordinal: int
    at: float
    provider: str
    model: str | None
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    key: str | None
    key_name: str | None
    body: Any
    status: int = 0
    seconds: float = 0.0
    aborted: bool = False
    """The connection ended before the answer did."""

    def report(self) -> dict[str, Any]:
        """The request as JSON, every key in it replaced by its fingerprint."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        for name in SECRET_HEADERS & headers.keys():
            scheme, _, secret = headers[name].rpartition(" ")
            headers[name] = f"{scheme} sha256:{fingerprint(secret)}".strip()
        return {
            "ordinal": self.ordinal, "at": round(self.at, 6), "provider": self.provider, "model": self.model,
            "method": self.method, "path": self.path, "query": dict(self.query), "headers": headers,
            "keyName": self.key_name, "keySha256": fingerprint(self.key) if self.key else None,
            "body": self.body, "status": self.status, "seconds": round(self.seconds, 6), "aborted": self.aborted,
        }  # fmt: skip


@dataclass(slots=True)
class State:
    """Everything `/_sim/` can read or change."""

    keys: dict[str, dict[str, str]] = field(default_factory=default_keys)
    models: dict[str, frozenset[str] | None] = field(default_factory=lambda: dict.fromkeys(PROVIDERS))
    """Models a provider has; None is its own catalogue (`models.py`)."""
    rules: dict[str, Rule] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    """How often a counted rule still applies."""
    recording: bool = True
    received: deque[Received] = field(default_factory=lambda: deque(maxlen=RING))
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Requests by provider and upstream model since the last reset; counted even when nothing is recorded."""
    ordinals: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    started: float = field(default_factory=time.time)

    def reset(self) -> None:
        """Forgets every rule, key, model list and request, as if just started; ordinals go on."""
        self.keys, self.models = default_keys(), dict.fromkeys(PROVIDERS)
        self.recording = True
        self.drop_rules()
        self.forget()

    def forget(self) -> None:
        """Forgets the requests received so far."""
        self.received.clear()
        self.counts.clear()

    def put_rule(self, rule: Rule) -> None:
        """Adds a rule, or replaces the one of that name with its count anew."""
        self.rules[rule.name] = rule
        self.left.pop(rule.name, None)
        if rule.count is not None:
            self.left[rule.name] = rule.count

    def drop_rules(self, name: str | None = None) -> None:
        """Drops one rule, or all."""
        for gone in list(self.rules) if name is None else [name]:
            self.rules.pop(gone, None)
            self.left.pop(gone, None)

    def key_name(self, provider: str, key: str | None) -> str | None:
        """The name of a valid key, None for any other."""
        return next((name for name, valid in self.keys[provider].items() if valid == key), None)

    def effects(self, provider: str, model: str) -> Effects:
        """Adds up the rules that match, in the order they were put; a rule that applies uses up one of its count."""
        effects = Effects()
        for rule in self.rules.values():
            if not rule.matches(provider, model) or self.left.get(rule.name, 1) <= 0:
                continue
            if rule.fail and effects.failure:
                continue
            if rule.name in self.left:
                self.left[rule.name] -= 1
            effects.delay += rule.delay
            effects.chunk_delay += rule.chunk_delay
            effects.cut_after_chunks = rule.cut_after_chunks or effects.cut_after_chunks
            effects.failure = effects.failure or (rule if rule.fail else None)
        return effects


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
