"""What holds for every golden: a golden that froze a mistake is caught here."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from golden import harness
from golden.harness import Case, Json
from modelroute_operator.core import crd
from modelroute_operator.core.conditions import CONDITION_OF, TRUE_REASON, Reason
from modelroute_operator.core.modelroute import ModelRouteSpec
from modelroute_operator.core.modelroute_status import ModelRouteStatus
from modelroute_operator.edges import admission

folders = pytest.mark.parametrize("folder", harness.FOLDERS, ids=lambda folder: folder.name)


@cache
def stored(folder: Path) -> list[Json]:
    return list(yaml.load_all((folder / "output.yaml").read_text(), Loader=yaml.CSafeLoader))


def statuses(folder: Path) -> dict[str, Json]:
    return {harness.key_of(doc): doc["status"] for doc in stored(folder) if doc["kind"] == "ModelRoute"}


def files(folder: Path) -> dict[str, str]:
    return {file: text for doc in stored(folder) if doc["kind"] == "ConfigMap" for file, text in doc["data"].items()}


def table(folder: Path) -> dict[str, Json]:
    """Every route as the plugin reads it: each shard as one JSON text."""
    return {key: value for file, text in files(folder).items() if file != "index.json" for key, value in json.loads(text).items()}


@folders
def test_every_reason_stands_under_its_condition(folder: Path) -> None:
    for state in statuses(folder).values():
        for condition in state["conditions"]:
            kind, reason = condition["type"], condition["reason"]
            match condition["status"]:
                case "True":
                    assert reason == TRUE_REASON[kind]
                case "False" if kind != "Ready":
                    assert CONDITION_OF[Reason(reason)] == kind
                case "Unknown":
                    assert (kind, reason) == ("ResolvedRefs", "NotAccepted")


@folders
def test_ready_repeats_the_first_condition_that_fails(folder: Path) -> None:
    for state in statuses(folder).values():
        *decided, ready = state["conditions"]
        assert [c["type"] for c in decided if c["type"] != "ModelsPulled"] == ["Accepted", "ResolvedRefs", "Programmed"]
        assert [c["type"] for c in decided][2:-1] in ([], ["ModelsPulled"])
        failing = next((c for c in decided if c["status"] != "True"), None)
        assert ready["status"] == ("False" if failing else "True")
        if failing:
            assert (ready["reason"], ready["message"]) == (failing["reason"], failing["message"])


@folders
def test_no_secret_value_leaves_the_secret(folder: Path) -> None:
    values = {sealed.reveal() for body in harness.case_of(folder).ever("Secret") for sealed in harness.secret_of(body).values()} - {""}
    elsewhere = yaml.safe_dump_all([doc for doc in stored(folder) if doc["kind"] != "Secret"], width=10**6)
    assert [value for value in values if value in elsewhere] == []


@folders
def test_the_secret_holds_exactly_what_the_routes_refer_to(folder: Path) -> None:
    (secret,) = [doc for doc in stored(folder) if doc["kind"] == "Secret"]
    referred = {key for route in table(folder).values() for deployment in route["deployments"] for key in deployment["credentials"].values()}
    assert set(secret["stringData"]) == referred


@folders
def test_shuffled_input_gives_the_same_bytes(folder: Path) -> None:
    case, golden = harness.case_of(folder), (folder / "output.yaml").read_text()
    for seed in range(3):
        mixed = list(case.applied)
        random.Random(seed).shuffle(mixed)
        before = case.before and tuple(reversed(case.before))
        assert harness.text(harness.run(replace(case, applied=tuple(mixed), before=before))[1]) == golden


def linked(case: Case, key: str) -> set[str]:
    """The routes that a chain of shared names and fallbacks ties to `key`."""
    names: dict[str, set[str]] = {}
    wished: dict[str, set[str]] = {}
    for body in case.ever("ModelRoute"):
        spec, route = body["spec"], harness.key_of(body)
        names.setdefault(route, set()).update({spec.get("modelName", body["metadata"]["name"]), *spec.get("aliases", ())})
        wished.setdefault(route, set()).update(name for kind in spec.get("fallbacks", {}).values() for name in kind)
    found, frontier = {key}, [key]
    while frontier:
        one = frontier.pop()
        near = {o for o in names.keys() - found if names[o] & (names[one] | wished[one]) or wished[o] & names[one]}
        found |= near
        frontier += near
    return found


@folders
def test_without_any_one_route_the_others_are_unchanged_unless_names_or_fallbacks_tie_them(folder: Path) -> None:
    case = harness.case_of(folder)
    _, whole = harness.run(case)
    for key in {harness.key_of(body) for body in case.routes}:
        kept = [[b for b in part if b["kind"] != "ModelRoute" or harness.key_of(b) != key] for part in (case.applied, case.before or ())]
        _, without = harness.run(replace(case, applied=tuple(kept[0]), before=case.before and tuple(kept[1])))
        for other in whole.statuses.keys() - linked(case, key):
            assert without.lines.get(other) == whole.lines.get(other), f"without {key}, {other} is served otherwise"
            assert without.statuses[other] == whole.statuses[other], f"without {key}, {other} has another status"


@folders
def test_a_second_turn_writes_nothing_and_reports_nothing(folder: Path) -> None:
    operator, _ = harness.run(harness.case_of(folder))
    assert_calm(operator)
    restarted = operator.restarted()
    if all(proxy.sequence in {None, restarted.history.sequence} for proxy in restarted.proxies):
        assert_calm(restarted)  # Else a replica serves what the new process has never seen: that it holds a route may not be assumed.


def assert_calm(process: harness.Operator) -> None:
    outcome = process.again(now=harness.LATER)
    assert not outcome.writes
    assert outcome.reports == []


@folders
def test_digests_are_those_of_the_contract(folder: Path) -> None:
    held, index = files(folder), json.loads(files(folder)["index.json"])
    (values,) = [doc["stringData"] for doc in stored(folder) if doc["kind"] == "Secret"]
    for file, shard in index["shards"].items():
        assert shard["digest"] == hashlib.sha256(held[file].encode()).hexdigest()[:16]
    message = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    assert index["credentials"] == hmac.new(harness.TOKEN.encode(), message, hashlib.sha256).hexdigest()[:16]
    parts = [f"{file} {index['shards'][file]['digest']}" for file in sorted(index["shards"])] + [f"credentials {index['credentials']}"]
    assert index["digest"] == hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@folders
def test_every_route_is_one_line_and_names_are_unique_over_the_table(folder: Path) -> None:
    for file, text in files(folder).items():
        if file != "index.json":
            first, *lines, last = text.splitlines()
            assert (first, last) == ("{", "}")
            assert [list(json.loads("{" + line.rstrip(",") + "}")) for line in lines if line] == [[key] for key in sorted(json.loads(text))]
    names = [name for route in table(folder).values() for name in (route["modelName"], *route["aliases"])]
    assert len(names) == len(set(names))
    ids = [deployment["model_info"]["id"] for route in table(folder).values() for deployment in route["deployments"]]
    assert len(ids) == len(set(ids))


@folders
def test_fallbacks_in_the_table_are_names_in_the_table(folder: Path) -> None:
    names = {name for route in table(folder).values() for name in (route["modelName"], *route["aliases"])}
    wanted = {name for route in table(folder).values() for kind in route.get("fallbacks", {}).values() for name in kind}
    assert wanted <= names


@folders
def test_transition_times_move_only_when_the_status_flips(folder: Path) -> None:
    case = harness.case_of(folder)
    operator, now = harness.run(case)
    if case.before is not None:
        earlier = harness.Operator(case.world.get("release", {})).turn(case.before, now=harness.EARLIER)
        assert_times(earlier.statuses, now.statuses, harness.NOW)
    assert_times(now.statuses, operator.turn(case.applied, now=harness.LATER, proxies=[]).statuses, harness.LATER)


def assert_times(before: Any, after: Any, moved: str) -> None:
    for key in after.keys() & before.keys():
        for old, new in zip(before[key].get("conditions", ()), after[key].get("conditions", ()), strict=True):
            expected = old["lastTransitionTime"] if old["status"] == new["status"] else moved
            assert (new["type"], new["lastTransitionTime"]) == (old["type"], expected)


@folders
def test_the_api_takes_every_input_and_every_status(folder: Path) -> None:
    for body in harness.case_of(folder).ever("ModelRoute"):
        assert admission.faults(body["spec"]) == []
    schema = admission._closed(crd.schema_of(ModelRouteStatus))
    for state in statuses(folder).values():
        jsonschema.validate(state, schema)


def test_every_reason_has_a_golden() -> None:
    seen = {c["reason"] for folder in harness.FOLDERS for state in statuses(folder).values() for c in state["conditions"]}
    assert seen >= set(Reason)


def fields(schema: Json, prefix: str = "") -> set[str]:
    """The paths of all fields of a schema, but those that exist to be refused."""
    schema = schema.get("items", schema)
    inner = {} if schema.get("x-kubernetes-preserve-unknown-fields") else schema.get("properties", {})
    return {f"{prefix}{name}" for name in inner} | {path for name, prop in inner.items() for path in fields(prop, f"{prefix}{name}.")}


def used(value: object, prefix: str = "") -> set[str]:
    """The paths of all fields of an object."""
    if isinstance(value, list):
        return {path for item in value for path in used(item, prefix)}
    if isinstance(value, dict):
        return {f"{prefix}{name}" for name in value} | {path for name, item in value.items() for path in used(item, f"{prefix}{name}.")}
    return set()


def test_every_field_of_the_api_has_a_golden() -> None:
    seen = {path for folder in harness.FOLDERS for body in harness.case_of(folder).routes for path in used(body["spec"])}
    assert fields(crd.schema_of(ModelRouteSpec)) - seen == set()
