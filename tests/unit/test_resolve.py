"""Which routes are served: properties over random worlds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from modelroute_operator.core import objects, proxy_config, routes, status
from modelroute_operator.core.conditions import Reason
from modelroute_operator.core.judge import Judged
from modelroute_operator.core.publication import History
from modelroute_operator.core.routes import Memo, Resolution
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.core.snapshot import Changes, Proxy, Published, Route, Snapshot
from unit import make

NAMES = st.sampled_from(["gpt", "chat", "embed", "spare", "r0", "r1"])
MODELS = st.sampled_from([("openai", "gpt-4.1"), ("openai", "text-embedding-3-large"), ("openai", "other-embedding"), ("mistrall", "x"), ("ollama", "llama3.1")])


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """One route's name, age and spec; few names, so that they clash."""
    provider, model = draw(MODELS)
    secret = draw(st.sampled_from([{}, {"credentialsSecretRef": {"name": "have"}}, {"apiKeySecretRef": {"name": "may", "key": "api_key"}}]))
    spec: dict[str, Any] = {"aliases": draw(st.lists(NAMES, unique=True, max_size=2)), "suspend": draw(st.booleans()) and draw(st.booleans())}
    if draw(st.booleans()):
        spec["modelName"] = draw(NAMES)
    if draw(st.booleans()):
        spec["fallbacks"] = {"onError": draw(st.lists(NAMES, unique=True, max_size=2))}
    if "embed" in model:
        spec["mode"] = "embedding"
    return {"created": f"2026-07-01T10:00:0{draw(st.integers(0, 3))}Z", "backends": [make.backend(provider=provider, model=model, **secret)], "spec": spec}


def route(name: str, body: dict[str, Any]) -> Route:
    return make.route(name, *body["backends"], created=body["created"], **body["spec"])


WORLDS = st.dictionaries(st.sampled_from([f"r{i}" for i in range(8)]), bodies(), max_size=8)
SECRETS = {("ai", "have"): {"api_key": Sealed("of have")}}


def view(resolution: Resolution) -> dict[str, Any]:
    """Everything a resolution says, comparable."""
    return {
        "lines": {key: proxy_config.line(served, make.release()) for key, served in resolution.served.items()},
        "problems": resolution.problems, "modes": {key: judged.mode for key, judged in resolution.covered.items()}, "credentials": resolution.credentials,
        "vectors": resolution.vectors, "covered": sorted(resolution.covered), "elsewhere": resolution.claimed_elsewhere,
    }  # fmt: skip


@given(WORLDS, st.randoms())
def test_any_world_has_unique_names_loses_nobody_and_does_not_depend_on_order(world: dict[str, dict[str, Any]], random: Any) -> None:
    snapshot = make.snapshot([route(name, body) for name, body in world.items()], secrets=SECRETS)
    resolution = routes.resolve(snapshot)
    parsed = {key: json.loads(line) for key, line in view(resolution)["lines"].items()}
    names = [name for value in parsed.values() for name in (value["modelName"], *value["aliases"])]
    assert len(names) == len(set(names))
    assert set(resolution.covered) == {f"ai/{name}" for name in world}
    for key in resolution.covered:
        assert key in resolution.served or any(problem.costs_route for problem in resolution.problems[key])
        assert key not in resolution.served or not any(problem.costs_route for problem in resolution.problems.get(key, ()))
    assert {name for value in parsed.values() for name in value.get("fallbacks", {}).get("onError", ())} <= set(names)
    referred = {key for value in parsed.values() for d in value["deployments"] for key in d["credentials"].values()}
    assert set(resolution.credentials) == referred
    mixed = list(world.items())
    random.shuffle(mixed)
    assert view(routes.resolve(make.snapshot([route(name, body) for name, body in mixed], secrets=SECRETS))) == view(resolution)


@given(WORLDS)
def test_a_name_is_refused_only_to_the_younger(world: dict[str, dict[str, Any]]) -> None:
    resolution = routes.resolve(make.snapshot([route(name, body) for name, body in world.items()], secrets=SECRETS))
    for key, problems in resolution.problems.items():
        for problem in problems:
            if problem.reason is Reason.MODEL_NAME_CONFLICT:
                winner = problem.message.split("ModelRoute ai/")[1].split(" ")[0]
                assert (world[winner]["created"], winner) < (world[key.removeprefix("ai/")]["created"], key.removeprefix("ai/"))


CHANGES = st.lists(st.one_of(st.tuples(st.just("route"), st.sampled_from([f"r{i}" for i in range(6)]), bodies()), st.tuples(st.just("delete"), st.sampled_from([f"r{i}" for i in range(6)]), st.none()), st.tuples(st.just("secret"), st.sampled_from(["have", "may"]), st.sampled_from([None, "one", "two"]))), max_size=14)  # fmt: skip


def worlds(changes: list[tuple[str, str, Any]]) -> Iterator[tuple[dict[str, Route], dict[Any, Any], Changes | None]]:
    """Routes and Secrets after each change, and which it was (for the first, all is new); an unchanged one stays the same object."""
    first = True
    world: dict[str, Route] = {}
    secrets, generations = dict(SECRETS), dict[str, int]()
    for kind, name, value in changes:
        if kind == "secret":
            secrets.pop(("ai", name), None)
            if value:
                secrets["ai", name] = {"api_key": Sealed(value)}
        elif kind == "delete":
            world.pop(f"ai/{name}", None)
        else:
            generations[name] = generations.get(name, 0) + 1
            world[f"ai/{name}"] = make.route(name, *value["backends"], created=value["created"], meta={"generation": generations[name]}, **value["spec"])
        changed = Changes(secrets={("ai", name)}) if kind == "secret" else Changes(routes={f"ai/{name}"})
        yield world, secrets, None if first else changed
        first = False


@settings(deadline=None)
@given(CHANGES)
def test_a_memo_changes_no_answer_whatever_happens(changes: list[tuple[str, str, Any]]) -> None:
    memo, published, before = Memo(), Published(), 1
    for world, secrets, changed in worlds(changes):
        snapshot: Snapshot = make.snapshot(world.values(), secrets=dict(secrets), published=published)
        resolution = routes.resolve(replace(snapshot, changes=changed), memo)
        assert view(resolution) == view(routes.resolve(snapshot))
        lines = view(resolution)["lines"]
        desired = objects.of(lines, resolution.credentials, resolution.vectors, name="r-routes", before=before, key=Sealed("k"))
        published = Published(shard_count=desired.shard_count, lines=lines, credentials=desired.credentials, vectors=resolution.vectors)


def test_an_unchanged_route_is_judged_once() -> None:
    memo, world = Memo(), {f"ai/r{i}": make.route(f"r{i}") for i in range(3)}

    def judged() -> list[Judged]:
        resolution = routes.resolve(make.snapshot(world.values()), memo)
        return [resolution.served[key].judged for key in sorted(world)]

    first, second = judged(), judged()
    assert all(one is other for one, other in zip(first, second, strict=True))
    world["ai/r1"] = make.route("r1")
    assert [one is other for one, other in zip(first, judged(), strict=True)] == [True, False, True]


def test_a_memo_does_not_remember_credentials_that_are_published_no_more() -> None:
    """A route lives on with its last good credentials, loses its name to an older one, gets it back: by then they are gone."""
    memo, mine = Memo(), make.route("mine", make.backend(credentialsSecretRef={"name": "s"}), modelName="gpt")
    older, published, served = make.route("older", created="2026-07-01T09:00:00Z", modelName="gpt"), Published(), []
    for world, secrets in (([mine], {"s": {"api_key": "k"}}), ([mine], {}), ([mine, older], {}), ([mine], {})):
        resolution = routes.resolve(make.snapshot(world, secrets=make.secrets(**secrets), published=published), memo)
        served.append(sorted(resolution.served))
        lines = {key: proxy_config.line(one, make.release()) for key, one in resolution.served.items()}
        published = Published(shard_count=1, lines=lines, credentials=resolution.credentials)
    assert served == [["ai/mine"], ["ai/mine"], ["ai/older"], []]


def test_a_key_rotated_in_a_shared_secret_reaches_every_route_though_one_lost_something_else() -> None:
    """One route lives on with its last good credentials, the other has the new ones: the managed Secret holds the new value."""
    azure = {"provider": "azure", "credentialsSecretRef": {"name": "s"}}
    world = [make.route("whole", make.backend(**azure)), make.route("part", make.backend(apiBase="https://a", **azure))]
    old = routes.resolve(make.snapshot(world, secrets=make.secrets(s={"AZURE_API_KEY": "old", "AZURE_API_BASE": "https://gone"})))
    lines = {key: proxy_config.line(served, make.release()) for key, served in old.served.items()}
    published = Published(shard_count=1, lines=lines, credentials=old.credentials)
    new = routes.resolve(make.snapshot(world, secrets=make.secrets(s={"AZURE_API_KEY": "new"}), published=published))
    assert set(new.served) == {"ai/whole", "ai/part"}
    assert {key: value.reveal() for key, value in new.credentials.items()} == {"ai.s_AZURE_API_KEY": "new", "ai.s_AZURE_API_BASE": "https://gone"}


def test_a_route_that_wants_a_missing_secret_keeps_its_names_for_when_it_comes() -> None:
    waiting = make.route("old", make.backend(credentialsSecretRef={"name": "nowhere"}), created="2026-07-01T09:00:00Z", modelName="gpt")
    resolution = routes.resolve(make.snapshot([waiting, make.route("young", modelName="gpt")]))
    assert list(resolution.served) == []
    assert resolution.problems["ai/young"][0].reason is Reason.MODEL_NAME_CONFLICT


@settings(deadline=None)
@given(CHANGES)
def test_memos_of_objects_publications_and_statuses_change_no_byte_whatever_happens(changes: list[tuple[str, str, Any]]) -> None:
    """What the operator does per change is what it would do if it looked at everything each time."""
    kept, fresh = _Operator(memos=True), _Operator(memos=False)
    for world, secrets, changed in worlds(changes):
        assert kept.turn(world, secrets, changed) == fresh.turn(world, secrets, None)


class _Operator:
    """One turn after another, with memos or without."""

    def __init__(self, *, memos: bool) -> None:
        self.memos = (Memo(), objects.Memo(), status.Memo()) if memos else (None, None, None)
        self.history, self.published, self.lines, self.statuses = History(), Published(), {}, {}

    def turn(self, world: dict[str, Route], secrets: dict[Any, Any], changed: Changes | None) -> tuple[Any, ...]:
        mine, layout, looks = self.memos
        snapshot = make.snapshot(world.values(), secrets=dict(secrets), published=self.published)
        resolution = routes.resolve(replace(snapshot, changes=changed), mine)
        touched = None if changed is None else resolution.touched
        rendered = {key: proxy_config.line(served, make.release()) for key, served in resolution.served.items()}
        self.lines = rendered
        desired = objects.of(self.lines, resolution.credentials, resolution.vectors, name="r", before=self.published.shard_count, key=Sealed("k"), memo=layout, changed=touched)
        number = self.history.publish(desired.digest, self.lines, touched)
        self.published = Published(shard_count=desired.shard_count, lines=self.lines, credentials=desired.credentials, vectors=resolution.vectors)
        self.statuses = {key: stored for key, stored in self.statuses.items() if key in world}
        written = []
        for serves in (None, number - 1, number):
            snapshot = make.snapshot(world.values(), secrets=dict(secrets), published=self.published, proxies=(Proxy(name="p", sequence=serves),))
            snapshot = replace(snapshot, statuses=self.statuses)
            reports, held = status.of(snapshot, resolution, self.history, settled=number - 1, memo=looks, touched=resolution.touched)
            self.statuses |= {report.route.key: report.status for report in reports}
            written.append((sorted((report.route.key, str(report.status)) for report in reports), held))
        return desired.config_maps, desired.digest, desired.credentials, written


class _Unseen(dict[str, Any]):
    """Tells what it is asked for by name, and fails whoever walks through it."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("one change walked through everything")

    keys = values = items = __len__ = __iter__  # type: ignore[assignment]


def test_one_change_walks_through_no_other_route() -> None:
    """What the operator does for one change costs the same with ten routes and with ten thousand."""
    memo, layout, history = Memo(), objects.Memo(), History()
    world = _Unseen({f"ai/r{i}": make.route(f"r{i}") for i in range(9)})
    lines, published = _Unseen(), Published()
    for changed in (None, {"ai/r3"}, {"ai/r3"}):
        world["ai/r3"] = make.route("r3", make.backend(model=f"gpt-{len(history.line('ai/r3') or '')}"))
        everything = make.snapshot(dict.values(world), published=published)
        snapshot = everything if changed is None else replace(everything, routes=world, changes=Changes(routes=changed))
        resolution = routes.resolve(snapshot, memo)
        lines.update((key, proxy_config.line(resolution.served[key], make.release())) for key in resolution.touched)
        now = dict(dict.items(lines)) if changed is None else lines
        desired = objects.of(now, resolution.credentials, resolution.vectors, name="r", before=published.shard_count, key=Sealed("k"), memo=layout, changed=changed)
        history.publish(desired.digest, now, changed)
        published = Published(shard_count=desired.shard_count, lines=lines, credentials=desired.credentials)
        assert resolution.touched == (changed or {f"ai/r{i}" for i in range(9)})
        assert '"model":"openai/gpt-' in desired.config_maps["r"]["routes-00.json"].split("ai/r3", 1)[1]
