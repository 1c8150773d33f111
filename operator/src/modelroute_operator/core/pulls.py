"""Decides what is pulled onto the chart's own Ollama servers and deleted from them, and what a route's status says of it.

Every replica has a disk of its own, so every replica pulls: the wanted state is that each holds each model a route names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from modelroute_operator.core.conditions import Reason
from modelroute_operator.core.ollama import PROVIDERS, Failure, Ollama, Pull, Replica, full_name, key_of, registry_of
from modelroute_operator.core.snapshot import Route

AT_ONCE = 2
"""Pulls under way on one replica; Ollama itself fetches parts of one blob side by side."""
FIRST_BACKOFF, LAST_BACKOFF = 5.0, 300.0
_STRICTNESS = {"Never": 0, "IfNotPresent": 1, "Always": 2}
_UNITS = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One backend's wish: this model on every replica."""

    route: str
    """Key of the route."""
    backend: str
    """Its name within the route."""
    generation: int
    model: str
    """Full name, as Ollama lists it."""
    policy: str
    delete: bool
    """Does the model go with its last route?"""
    active: bool = True
    """False: the route goes away, or may not be served: nothing is pulled for it."""
    leaving: bool = False
    """The route is being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """All wishes for one model, as one."""

    model: str
    policy: str
    version: str
    """Changes when a model that is pulled Always is to be pulled again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What to do now, as (replica, model's key) each; and when to look again if nothing happens before."""

    pull: tuple[tuple[str, str], ...] = ()
    cancel: tuple[tuple[str, str], ...] = ()
    refuse: tuple[tuple[str, str, Failure], ...] = ()
    """Pulls to end because they do not fit on the disk."""
    delete: tuple[tuple[str, str], ...] = ()
    wake: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullState:
    """What a route's status says: no reason means that every replica holds its models."""

    reason: Reason | None
    message: str
    summary: str


def uses(route: Route, elsewhere: Collection[str] = (), *, active: bool = True) -> tuple[Use, ...]:
    """The models a route wants on the chart's own Ollama. `elsewhere`: backends whose Secret names another server."""
    return tuple(
        Use(
            route=route.key,
            backend=backend.name,
            generation=route.generation,
            model=full_name(backend.model or route.model_name),
            policy=backend.ollama.pull_policy if backend.ollama else "IfNotPresent",
            delete=bool(backend.ollama and backend.ollama.deletion_policy == "Delete"),
            active=active and not route.deleting,
            leaving=route.deleting,
        )
        for backend in (route.spec.backends if route.spec else ())
        if backend.provider in PROVIDERS and not backend.api_base and backend.name not in elsewhere
    )


def wants(wishes: Iterable[Use]) -> dict[str, Want]:
    """One want per model, by its key: the most eager policy of its routes."""
    found: dict[str, list[Use]] = {}
    for use in wishes:
        if use.active:
            found.setdefault(key_of(use.model), []).append(use)
    return {
        key: Want(
            model=min(use.model for use in group),
            policy=max((use.policy for use in group), key=_STRICTNESS.__getitem__),
            version=" ".join(sorted(f"{use.route}@{use.generation}" for use in group if use.policy == "Always")),
        )
        for key, group in sorted(found.items())
    }


def orphans(wishes: Iterable[Use], remembered: Collection[str] = ()) -> frozenset[str]:
    """Keys of the models to delete: their last route goes, or names another by now (`remembered`), and had asked for that."""
    wishes = tuple(wishes)
    kept = {key_of(use.model) for use in wishes if not use.leaving}
    return frozenset({key_of(use.model) for use in wishes if use.leaving and use.delete} | set(remembered)) - kept


def gone(ollama: Ollama, use: Use, wishes: Iterable[Use]) -> bool:
    """Is nothing left to do for a route that leaves? Its finalizer waits for that."""
    key = key_of(use.model)
    if not use.delete or key not in orphans(wishes):
        return True
    return all(r.answers and r.models is not None and key not in r.models and key not in r.pulls for r in ollama.replicas)


def finalizers(routes: Mapping[str, Route], wishes: Iterable[Use], leaving: Mapping[str, Route], ollama: Ollama) -> list[tuple[Route, bool]]:
    """The routes on which the finalizer is to be put (True) or from which it is to be taken."""
    wishes = tuple(wishes)
    deleting = {use.route for use in wishes if use.delete and not use.leaving}
    waiting = {use.route for use in wishes if use.leaving and not gone(ollama, use, wishes)}
    put = [(routes[key], True) for key in sorted(deleting) if not routes[key].held]
    return put + [(route, False) for key, route in sorted(leaving.items()) if key not in waiting]


def decide(wanted: Mapping[str, Want], unwanted: Collection[str], ollama: Ollama, now: float, capacity: int | None) -> Actions:
    """What to do on each replica. `capacity`: bytes of one replica's disk, if known."""
    pull, cancel, refuse, delete = [], [], [], []
    wake: list[float] = []
    for replica in ollama.replicas:
        cancel += [(replica.name, key) for key in replica.pulls if key not in wanted or wanted[key].policy == "Never"]
        refuse += [(replica.name, key, failure) for key in replica.pulls if key in wanted and (failure := lack(replica, key, now, capacity))]
        if not replica.answers or replica.models is None:
            continue
        delete += [(replica.name, key) for key in sorted(unwanted) if key in replica.models and key not in replica.pulls]
        missing = [key for key, want in wanted.items() if key not in replica.pulls and _to_pull(replica, key, want)]
        due = [key for key in missing if key not in replica.failures or replica.failures[key].retry_at <= now]
        wake += [replica.failures[key].retry_at for key in missing if key not in due]
        pull += [(replica.name, key) for key in due[: max(AT_ONCE - len(replica.pulls), 0)]]
    return Actions(pull=tuple(pull), cancel=tuple(cancel), refuse=tuple(refuse), delete=tuple(delete), wake=min(wake, default=None))


def _to_pull(replica: Replica, key: str, want: Want) -> bool:
    if want.policy == "Never":
        return False
    held = key in (replica.models or {})
    return not held or (want.policy == "Always" and replica.refreshed.get(key) != want.version)


def lack(replica: Replica, key: str, now: float, capacity: int | None) -> Failure | None:
    """A pull that cannot end well, because what it announced is more than the disk has left."""
    pull, models = replica.pulls[key], replica.models or {}
    if capacity is None or key in models:
        return None
    others = sum(other.total for name, other in replica.pulls.items() if name != key)
    # Two names of one model are one model on the disk.
    free = capacity - others - sum({held.digest: held.size for held in models.values()}.values())
    if pull.total <= free:
        return None
    message = f"needs {size(pull.total)}, {size(max(free, 0))} of {size(capacity)} are free on {replica.name}: enlarge ollama.persistence.size, or delete models"
    return failed(replica, key, message, now, reason=Reason.INSUFFICIENT_STORAGE)


def failed(replica: Replica, key: str, message: str, now: float, *, reason: Reason | None = None) -> Failure:
    """The failure to note for a pull, with the time of the next attempt."""
    attempts = replica.failures[key].attempts + 1 if key in replica.failures else 1
    full = "no space left on device" in message.lower() or "disk quota exceeded" in message.lower()
    pull = replica.pulls.get(key, Pull())
    if full and pull.total:
        message = f"the disk of {replica.name} is full, {size(pull.total - pull.completed)} of {size(pull.total)} are missing ({message}): enlarge it, or delete models"
    return Failure(
        reason=reason or (Reason.INSUFFICIENT_STORAGE if full else Reason.PULL_FAILED),
        message=message,
        retry_at=now + min(FIRST_BACKOFF * 2 ** (attempts - 1), LAST_BACKOFF),
        attempts=attempts,
        completed=pull.completed,
    )


def state_of(wishes: Iterable[Use], ollama: Ollama) -> PullState:
    """How far one route's models are, over all replicas."""
    wishes = tuple(wishes)
    models = {key_of(use.model): use for use in wishes}
    if not ollama.replicas:
        return PullState(reason=Reason.OLLAMA_UNREACHABLE, message="no Ollama replica is running; see kubectl get pods -l app.kubernetes.io/component=ollama", summary="")
    found = [_at(replica, key, use) for key, use in models.items() for replica in ollama.replicas]
    worst = next((f for reason in _ORDER for f in found if f[0] is reason), None)
    completed, total = sum(f[2] for f in found), sum(f[3] for f in found)
    if worst is None:
        count = len(ollama.replicas)
        message = f"{', '.join(use.model for use in models.values())}: on {'every one of' if count > 1 else 'the one'} {count} Ollama replica{'s' * (count > 1)}"
        return PullState(reason=None, message=message.replace("the one 1", "the"), summary=summary(completed, total))
    return PullState(reason=worst[0], message=worst[1], summary=summary(completed, total))


_ORDER = (Reason.INSUFFICIENT_STORAGE, Reason.PULL_FAILED, Reason.OLLAMA_UNREACHABLE, Reason.PULLING)
"""The first of these that applies to any replica is a route's reason."""


def _at(replica: Replica, key: str, use: Use) -> tuple[Reason | None, str, int, int]:
    """One model on one replica: reason, message, bytes there, bytes in all."""
    held = (replica.models or {}).get(key)
    if not replica.answers:
        why = replica.trouble or "it has not answered yet"
        return Reason.OLLAMA_UNREACHABLE, f"Ollama replica {replica.name} cannot be asked for {use.model}: {why}", 0, held.size if held else 0
    if held:
        return None, "", held.size, held.size
    pull, failure = replica.pulls.get(key), replica.failures.get(key)
    if pull and (failure is None or pull.completed > failure.completed):
        text = summary(pull.completed, pull.total) or "begun"
        return Reason.PULLING, f"pulling {use.model} onto {replica.name}: {text}", pull.completed, pull.total
    if failure:
        said = f"{use.model} from {registry_of(use.model)} onto {replica.name}: {failure.message}; tried again (attempt {failure.attempts} failed)"
        return failure.reason, said, 0, 0
    if use.policy == "Never":
        return Reason.PULL_FAILED, f"{use.model} is not on {replica.name}, and pullPolicy is Never: pull it by hand, or change the policy", 0, 0
    return Reason.PULLING, f"{use.model} waits for its turn on {replica.name}", 0, 0


def summary(completed: int, total: int) -> str:
    """Bytes and per cent: "3.1/5.2 GB 60%"; empty while nothing is known."""
    if not total:
        return ""
    unit, factor = next(((u, f) for u, f in _UNITS if total >= f), ("B", 1.0))
    digits = 1 if factor > 1 else 0
    return f"{completed / factor:.{digits}f}/{total / factor:.{digits}f} {unit} {100 * completed // total}%"


def size(count: int) -> str:
    """Bytes for people."""
    unit, factor = next(((u, f) for u, f in _UNITS if count >= f), ("B", 1.0))
    return f"{count / factor:.{1 if factor > 1 else 0}f} {unit}"
