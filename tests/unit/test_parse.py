"""What cannot be read becomes a sentence that says where."""

from __future__ import annotations

from typing import Any

import pytest
from modelroute_operator.core import parse, routes
from modelroute_operator.core.conditions import Reason
from unit import make

UNREADABLE = {
    "a number is too small": ({"backends": [make.backend(weight=0)]}, "spec.backends[0].weight: Input should be greater than or equal to 1"),
    "there is no backend": ({"backends": []}, "spec.backends: Tuple should have at least 1 item"),
    "backends are missing": ({}, "spec.backends: Field required"),
    "a field of a reference is missing": ({"backends": [make.backend(apiKeySecretRef={"key": "k"})]}, "spec.backends[0].apiKeySecretRef.name: Field required"),
    "a date is no string": ({"backends": [make.backend(apiVersion=20241021)]}, "spec.backends[0].apiVersion: Input should be a valid string"),
    "a mode is unknown": ({"mode": "chatt", "backends": [make.backend()]}, "spec.mode: Input should be 'chat'"),
    "the spec is no object": ([1], "spec: Input should be a valid dictionary"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_unreadable_spec_is_a_sentence(what: str) -> None:
    spec, sentence = UNREADABLE[what]
    found = parse.route({"metadata": {"namespace": "ai", "name": "r"}, "spec": spec})
    assert found.spec is None
    assert found.unreadable.startswith(sentence)
    assert "pydantic" not in found.unreadable
    (problem,) = routes.resolve(make.snapshot([found])).problems["ai/r"]
    assert (problem.reason, problem.message) == (Reason.INVALID_SPEC, found.unreadable)


def test_several_faults_are_all_said() -> None:
    found = parse.route({"metadata": {"name": "r"}, "spec": {"backends": [make.backend(weight=0, priority=-1)]}})
    assert found.unreadable.count("; ") == 1


def test_a_secret_in_a_wrong_place_is_not_repeated() -> None:
    found = parse.route({"metadata": {"name": "r"}, "spec": {"backends": [make.backend(apiKeySecretRef="sk-pasted-by-mistake")]}})
    assert "apiKeySecretRef" in found.unreadable
    assert "sk-pasted" not in found.unreadable


def test_fields_of_a_newer_version_are_ignored() -> None:
    found = parse.route({"metadata": {"name": "r"}, "spec": {"backends": [make.backend(cache="new")], "tomorrow": 1}})
    assert found.spec
    assert found.unreadable == ""


METADATA: dict[str, tuple[dict[str, Any], str, object]] = {
    "no namespace is the default one": ({}, "namespace", "default"),
    "no annotations are none": ({"annotations": None}, "annotations", {}),
    "no labels are none": ({"labels": None}, "labels", {}),
    "a deletion timestamp means deleting": ({"deletionTimestamp": "2026-07-01T10:00:00Z"}, "deleting", True),
    "without one it is not": ({}, "deleting", False),
}


@pytest.mark.parametrize("sentence", METADATA)
def test_metadata(sentence: str) -> None:
    meta, field, expected = METADATA[sentence]
    assert getattr(parse.route({"metadata": {"name": "r", **meta}, "spec": {"backends": [make.backend()]}}), field) == expected


def test_a_route_that_is_being_deleted_is_not_served() -> None:
    going = make.route("r", meta={"deletionTimestamp": "2026-07-01T10:00:00Z"})
    assert routes.resolve(make.snapshot([going])).covered == {}
