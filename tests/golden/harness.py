"""From the files of a golden folder to everything the operator writes: the core alone, without a cluster. See README.md."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from modelroute_operator.core import objects, parse, plan, proxy_config, pulls, routes, status
from modelroute_operator.core.cost_map import CostMap
from modelroute_operator.core.ollama import Facts, Held, Ollama, Pull, Replica
from modelroute_operator.core.ollama import key_of as model_key
from modelroute_operator.core.plan import Observed, Writes
from modelroute_operator.core.publication import History
from modelroute_operator.core.routes import Resolution
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Proxy, Published, Release, Route, SecretId, Snapshot
from modelroute_operator.core.status import Report
from modelroute_operator.edges import settings, world

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOKEN = "golden-status-token"
EARLIER, NOW, LATER = (f"2026-07-01T{hour}:00:00Z" for hour in (11, 12, 13))
CREATED = "2026-07-01T10:00:00Z"
FOLDERS = tuple(sorted(path for path in HERE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))))
Json = dict[str, Any]

cost_map = cache(settings.cost_map)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a golden folder tells; `before` is None where nothing had been applied earlier."""

    applied: tuple[Json, ...]
    before: tuple[Json, ...] | None = None
    world: Mapping[str, Any] = field(default_factory=dict)

    @property
    def routes(self) -> list[Json]:
        """The ModelRoutes as applied in the end."""
        return [body for body in self.applied if body["kind"] == "ModelRoute"]

    def ever(self, kind: str) -> list[Json]:
        """Everything of a kind that was ever applied."""
        return [body for body in (*(self.before or ()), *self.applied) if body["kind"] == kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one turn of the operator came to."""

    writes: Writes
    desired: objects.Objects
    lines: Mapping[str, str]
    resolution: Resolution
    reports: Sequence[Report]
    statuses: Mapping[str, Mapping[str, Any]]


def read(folder: Path) -> Case:
    """Reads a golden folder."""
    extra = _documents(folder / "world.yaml")
    further = extra[0].get("andApply") if extra else None
    applied = [*_documents(folder / "input.yaml"), *(body for path in sorted((ROOT / further).glob("*.yaml")) for body in _documents(path))] if further else None
    before = folder / "before.yaml"
    return Case(
        applied=tuple(applied or _documents(folder / "input.yaml")),
        before=tuple(_documents(before)) if before.exists() else None,
        world=extra[0] if extra else {},
    )


def _documents(path: Path) -> list[Json]:
    return [body for body in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if body] if path.exists() else []


def key_of(body: Json) -> str:
    """Namespace/name of an object; applied with `kubectl -n ai`."""
    return f"{body['metadata'].get('namespace', 'ai')}/{body['metadata']['name']}"


class Operator:
    """One operator process, or its restart on what another has written."""

    def __init__(self, release: Mapping[str, Any], *, statuses: Mapping[str, Json] | None = None, costs: CostMap | None = None) -> None:
        """`release`: the chart's values that matter here."""
        self.release = Release(
            name="litellm",
            namespace="ai",
            allowed_namespaces=tuple(release.get("allowedNamespaces", ())),
            route_selector=release.get("routeSelector", {}),
            ollama_api_base=release.get("ollamaApiBase", ""),
            digest_key=Sealed(TOKEN),
        )
        self.costs = costs or cost_map()
        self.memo, self.history, self.published, self.observed = routes.Memo(), History(), Published(), Observed()
        self.layout = objects.Memo()
        self.statuses: dict[str, Mapping[str, Any]] = dict(statuses or {})
        self.proxies: tuple[Proxy, ...] = ()
        self.ollama = Ollama()
        self._applied: list[Json] = []
        self._seen: dict[str, Json] = {}
        self._generations: dict[str, int] = {}

    def turn(self, bodies: Iterable[Json], *, now: str, proxies: Iterable[Json] = ({"name": "litellm-proxy-0"},), ollama: Json | None = None) -> Outcome:
        """The user's objects are now `bodies`: decides, "writes", lets the proxies answer, reports."""
        self.ollama = ollama_of(ollama) if ollama else self.ollama
        self._applied, last = list(bodies), self.history.sequence
        found, secrets = self._found()
        self.statuses = {key: value for key, value in self.statuses.items() if key in found}
        snapshot = self._snapshot(found, secrets, now, ())
        resolution = routes.resolve(snapshot, self.memo)
        lines = {key: proxy_config.line(served, self.release) for key, served in resolution.served.items()}
        desired = objects.of(lines, resolution.credentials, resolution.vectors, name="litellm-routes", before=self.published.shard_count, key=self.release.digest_key, memo=self.layout)
        writes = plan.writes(desired, self.observed)
        self.history.publish(desired.digest, lines)
        self.published = Published(shard_count=desired.shard_count, lines=lines, credentials=desired.credentials, vectors=resolution.vectors)
        self.observed = Observed(config_maps=desired.config_maps, credentials=desired.credentials)
        self.proxies = tuple(self._proxy(body, last) for body in proxies)
        snapshot = self._snapshot(found, secrets, now, self.proxies)
        reports, _ = status.of(snapshot, resolution, self.history, settled=self.history.sequence)
        self.statuses |= {report.route.key: report.status for report in reports}
        return Outcome(writes=writes, desired=desired, lines=lines, resolution=resolution, reports=reports, statuses=dict(self.statuses))

    def again(self, *, now: str) -> Outcome:
        """One more turn in which nothing has happened."""
        proxies = [{"name": proxy.name, "serves": proxy.sequence, "refuses": proxy.refused} for proxy in self.proxies]
        return self.turn(self._applied, now=now, proxies=proxies)

    def restarted(self) -> Operator:
        """A new process that knows only what is stored."""
        new = Operator({})
        new.release, new.statuses, new.observed, new.ollama = self.release, dict(self.statuses), self.observed, self.ollama
        new._applied, new._seen, new._generations = self._applied, self._seen, self._generations
        index = objects.read_index(self.observed.config_maps["litellm-routes"][objects.INDEX])
        assert index
        new.published = world.published(self.observed.config_maps, self.observed.credentials, index, new.layout)
        new.history.publish(index.digest, new.published.lines)
        numbers = {None: None, self.history.sequence: new.history.sequence}
        new.proxies = tuple(replace(proxy, sequence=numbers.get(proxy.sequence, 0)) for proxy in self.proxies)
        return new

    def _found(self) -> tuple[dict[str, Route], dict[SecretId, Mapping[str, Sealed]]]:
        found = {key_of(body): parse.route({**self._stored(body), "status": self.statuses.get(key_of(body))}) for body in self._applied if body["kind"] == "ModelRoute"}
        return found, {(key_of(body).split("/")[0], body["metadata"]["name"]): secret_of(body) for body in self._applied if body["kind"] == "Secret"}

    def _snapshot(self, found: dict[str, Route], secrets: dict[SecretId, Mapping[str, Sealed]], now: str, proxies: tuple[Proxy, ...]) -> Snapshot:
        return Snapshot(
            now=now, release=self.release, cost_map=self.costs, routes=found, secrets=secrets,
            published=self.published, statuses=self.statuses, proxies=proxies, ollama=self.ollama,
        )  # fmt: skip

    def _stored(self, body: Json) -> Json:
        """The object as the API server has it: with its age, and a generation that counts changes of the spec."""
        key = key_of(body)
        if self._seen.get(key) != body["spec"]:
            self._generations[key] = self._generations.get(key, 0) + 1
            self._seen[key] = body["spec"]
        meta = {"creationTimestamp": CREATED, **body["metadata"], "namespace": key.split("/")[0], "uid": f"uid of {key}", "generation": self._generations[key]}
        return {**body, "metadata": meta}

    def _proxy(self, body: Json, last: int) -> Proxy:
        names = {"newest": self.history.sequence, "previous": last, "unknown": 0, "unreported": None}
        serves = body.get("serves", "newest")
        return Proxy(name=body["name"], sequence=names.get(serves, serves), refused=body.get("refuses", {}))


def secret_of(body: Json) -> dict[str, Sealed]:
    """A Secret's texts."""
    return {**world.texts(body.get("data") or {}), **{key: Sealed(str(value)) for key, value in (body.get("stringData") or {}).items()}}


def run(case: Case) -> tuple[Operator, Outcome]:
    """What was applied earlier is served; then what the user applies now."""
    operator = Operator(case.world.get("release", {}), statuses=case.world.get("statuses"))
    if case.before is not None:
        operator.turn(case.before, now=EARLIER)
    return operator, operator.turn(case.applied, now=NOW, **proxies_of(case))


def proxies_of(case: Case) -> dict[str, Any]:
    """The world's proxies and Ollama servers as arguments of `turn`."""
    return {name: case.world[name] for name in ("proxies", "ollama") if name in case.world}


def ollama_of(body: Json) -> Ollama:
    """The chart's own Ollama, as world.yaml has it."""
    return Ollama(
        service="litellm-ollama-pods",
        replicas=tuple(
            Replica(
                name=name,
                trouble=replica.get("trouble", ""),
                models={model_key(m): Held(digest=m, size=held["size"], facts=Facts(**held.get("can", {}))) for m, held in replica.get("models", {}).items()},
                pulls={model_key(m): Pull(**pull) for m, pull in replica.get("pulls", {}).items()},
                failures={model_key(m): pulls.failed(Replica(name=name), model_key(m), message, 0.0) for m, message in replica.get("failures", {}).items()},
            )
            for name, replica in body.items()
        ),
    )


class _Line(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Multi-line text as `|` blocks."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if "\n" in text else None))
_Dumper.add_multi_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text)))
_Dumper.add_representer(_Line, lambda dumper, line: dumper.represent_mapping("tag:yaml.org,2002:map", line.items(), flow_style=True))


def text(outcome: Outcome) -> str:
    """`output.yaml`: everything, in a fixed order."""
    return yaml.dump_all(documents(outcome), Dumper=_Dumper, sort_keys=False, width=100_000, allow_unicode=True)


def documents(outcome: Outcome) -> list[Json]:
    """The documents of `output.yaml`."""
    writes = outcome.writes
    order = ["Secret litellm-credentials"] * (writes.credentials is not None) + [f"ConfigMap {name}" for name, _ in writes.config_maps]
    found: list[Json] = [{"kind": "Writes", "order": order + [f"delete ConfigMap {name}" for name in writes.deletions], "statuses": [r.route.key for r in outcome.reports]}]
    values = {key: value.reveal() for key, value in sorted(outcome.desired.credentials.items())}
    found.append({"apiVersion": "v1", "kind": "Secret", "metadata": _Line(name="litellm-credentials", namespace="ai"), "stringData": values})
    maps = sorted(outcome.desired.config_maps.items(), key=lambda item: (item[0] == outcome.desired.index, item[0]))
    found += [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": _Line(name=name, namespace="ai"), "data": dict(sorted(data.items()))} for name, data in maps]
    for key in sorted(outcome.resolution.covered):
        state = {name: [_Line(item) for item in value] if name in {"conditions", "backends"} else value for name, value in outcome.statuses[key].items()}
        namespace, name = key.split("/")
        found.append({"apiVersion": "modelroute.dev/v1alpha1", "kind": "ModelRoute", "metadata": _Line(name=name, namespace=namespace), "status": state})
    found += [{"kind": "Event", "about": r.route.key, "type": e.kind, "reason": e.reason, "message": e.message} for r in outcome.reports for e in r.events]
    found += [{"kind": "Event", "about": key, "claimedElsewhere": owner} for key, owner in outcome.resolution.claimed_elsewhere.items()]
    return found


@cache
def case_of(folder: Path) -> Case:
    """`read`, once."""
    return read(folder)


def wants_update() -> bool:
    """UPDATE_GOLDEN=1: accept what is rendered now.

    Raises:
        RuntimeError: in CI, which may not accept anything.

    """
    wanted = bool(os.environ.get("UPDATE_GOLDEN"))
    if wanted and os.environ.get("CI"):
        raise RuntimeError("UPDATE_GOLDEN is for people: CI compares, and never accepts")
    return wanted
