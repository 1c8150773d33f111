"""Judges one route alone, by its spec and its Secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelroute_operator.core import checks, credentials, ollama, pulls, questions
from modelroute_operator.core.checks import Claim, Local
from modelroute_operator.core.conditions import Condition, Problem, Reason
from modelroute_operator.core.credentials import Credentials
from modelroute_operator.core.modelroute import FunctionCalling, ModelRouteSpec
from modelroute_operator.core.ollama import Facts
from modelroute_operator.core.pulls import Use
from modelroute_operator.core.snapshot import Published, Route, SecretId, Secrets, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One route judged alone: its problems, and its claim if it may be served. Compared by identity."""

    problems: tuple[Problem, ...]
    claim: Claim | None = None
    mode: str | None = None
    """None where the spec cannot be read."""
    function_calling: FunctionCalling = FunctionCalling.UNKNOWN
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    """Backend → its credentials."""
    uses: tuple[Use, ...] = ()
    """The models it wants on the chart's own Ollama."""
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Backend → the chart's Ollama replicas that hold its model: their API bases."""
    facts: Mapping[str, Facts] = field(default_factory=dict)
    """Backend → what the chart's Ollama says that its model can do."""
    secrets: tuple[SecretId, ...] = ()
    """The Secrets it was judged by."""

    @property
    def lacks_secrets(self) -> bool:
        """Was it decided from what is published too? Then it must be judged again, because that changes."""
        return any(problem.condition is Condition.RESOLVED_REFS for problem in self.problems)


def secrets_of(route: Route) -> list[SecretId]:
    """The Secrets the route refers to."""
    refs = [b.credentials_secret_ref or b.api_key_secret_ref for b in route.spec.backends] if route.spec else []
    return [(route.namespace, ref.name) for ref in refs if ref]


def judge(route: Route, snapshot: Snapshot) -> Judged:
    """What can be said of the route without looking at others."""
    judged = _judge(route, snapshot)
    uses = _uses(route, snapshot, judged)
    ollama = snapshot.ollama
    return replace(
        judged,
        secrets=tuple(dict.fromkeys(secrets_of(route))),
        uses=uses,
        places={use.backend: ollama.holders(use.model) for use in uses},
        facts={use.backend: facts for use in uses if (facts := ollama.facts(use.model))},
    )


def _uses(route: Route, snapshot: Snapshot, judged: Judged | None = None) -> tuple[Use, ...]:
    """The models it wants on the chart's own Ollama, if there is one."""
    if not snapshot.ollama.service:
        return ()
    elsewhere = {name for name, held in judged.credentials.items() if "api_base" in held.keys} if judged else ()
    return pulls.uses(route, elsewhere, active=judged is None or judged.claim is not None)


def _judge(route: Route, snapshot: Snapshot) -> Judged:
    spec = route.spec
    if spec is None:
        return Judged(problems=(Problem(reason=Reason.INVALID_SPEC, message=route.unreadable),))
    mode, calling = _mode(route, spec, snapshot), _function_calling(route, spec, snapshot)
    claim = Claim(route=route, spec=spec, mode=mode)
    at = Local(route=route, spec=spec, mode=mode, release=snapshot.release, cost_map=snapshot.cost_map, credentials={})
    if problem := first(checks.LOCAL, at):
        return Judged(problems=(problem,), mode=mode)
    held, problems = _credentials(route, spec, snapshot.secrets, snapshot.published)
    if any(p.costs_route for p in problems):
        return Judged(problems=tuple(problems), claim=claim, mode=mode)
    at = Local(route=route, spec=spec, mode=mode, release=snapshot.release, cost_map=snapshot.cost_map, credentials={b: c.keys for b, c in held.items()})
    if problem := first(checks.AFTER_CREDENTIALS, at):
        return Judged(problems=(problem, *problems), mode=mode)
    return Judged(problems=tuple(problems), claim=claim, mode=mode, function_calling=calling, credentials=held)


def _credentials(route: Route, spec: ModelRouteSpec, secrets: Secrets, published: Published) -> tuple[dict[str, Credentials], list[Problem]]:
    """Each backend's credentials; where they are missing, the last good ones of an unchanged route, with the problem said."""
    held, problems = {}, []
    for backend in spec.backends:
        found = credentials.of(backend, route.namespace, secrets)
        if isinstance(found, Problem):
            last = _last_good(route, backend.name, published)
            if last is None:
                problems.append(found)
                continue
            message = f"{found.message}; served meanwhile with the credentials it had"
            problems.append(Problem(reason=found.reason, message=message, costs_route=False))
            found = last
        held[backend.name] = found
    return held, problems


def _last_good(route: Route, backend: str, published: Published) -> Credentials | None:
    line = json.loads(published.lines.get(route.key, "{}"))
    if line.get("generation") != route.generation:
        return None
    for deployment in line["deployments"]:
        keys: dict[str, str] = deployment.get("credentials", {})
        # A backend on several Ollama replicas has a deployment on each.
        if f"{deployment['model_info']['id']}/".startswith(f"{route.key}/{backend}/") and keys and all(key in published.credentials for key in keys.values()):
            return Credentials(keys=keys, sources=dict.fromkeys(keys.values()))
    return None


def _mode(route: Route, spec: ModelRouteSpec, snapshot: Snapshot) -> str:
    backend = spec.backends[0]
    known = snapshot.cost_map.of(backend.provider, questions.model_of(backend, route.model_name))
    facts = _facts(route, snapshot).get(backend.name)
    if backend.provider in ollama.PROVIDERS:
        # The cost map has most of Ollama's models as "completion"; Ollama chats with all that do not embed.
        embeds = facts.embedding if facts else known.mode == "embedding"
        return spec.mode or ("embedding" if embeds else "chat")
    return spec.mode or known.mode or "chat"


def _facts(route: Route, snapshot: Snapshot) -> dict[str, Facts]:
    """Backend → what the chart's own Ollama says of its model: it knows better than the cost map."""
    return {use.backend: facts for use in _uses(route, snapshot) if (facts := snapshot.ollama.facts(use.model))}


def _function_calling(route: Route, spec: ModelRouteSpec, snapshot: Snapshot) -> FunctionCalling:
    """What the route says, else the weakest of its backends by the cost map."""
    if spec.capabilities and spec.capabilities.function_calling:
        return spec.capabilities.function_calling
    facts = _facts(route, snapshot)
    known = [facts[b.name].tools if b.name in facts else snapshot.cost_map.of(b.provider, questions.model_of(b, route.model_name)).function_calling for b in spec.backends]
    if any(k is False for k in known):
        return FunctionCalling.UNSUPPORTED
    return FunctionCalling.SUPPORTED if all(known) else FunctionCalling.UNKNOWN


def first(predicates: Iterable[Callable[[Any], Problem | None]], at: object) -> Problem | None:
    """The first problem that one of the predicates finds."""
    return next((problem for predicate in predicates if (problem := predicate(at))), None)
