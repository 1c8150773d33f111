"""Only what differs is written, in an order that never names what is not there."""

from __future__ import annotations

import pytest
from modelroute_operator.core import plan
from modelroute_operator.core.objects import Objects
from modelroute_operator.core.plan import Observed
from modelroute_operator.core.sealed import Sealed

VALUES = {"k": Sealed("v")}
FULL = {"r-routes": {"index.json": "i"}, "r-routes-00": {"routes-00.json": "a"}, "r-routes-01": {"routes-01.json": "b"}}
DESIRED = Objects(config_maps=FULL, index="r-routes", credentials=VALUES, digest="d", shard_count=2)

PLANS = {
    "a new release writes the Secret, the shards, and the index last": (Observed(), ["Secret", "r-routes-00", "r-routes-01", "r-routes"]),
    "what is as it should be is left": (Observed(config_maps=FULL, credentials=VALUES), []),
    "a changed shard is written before the index": (
        Observed(config_maps={**FULL, "r-routes-01": {"routes-01.json": "old"}, "r-routes": {"index.json": "old"}}, credentials=VALUES),
        ["r-routes-01", "r-routes"],
    ),
    "a shard that somebody deleted is written again": (Observed(config_maps={k: v for k, v in FULL.items() if k != "r-routes-00"}, credentials=VALUES), ["r-routes-00"]),
    "a key that somebody added to a shard is removed": (Observed(config_maps={**FULL, "r-routes-00": {"routes-00.json": "a", "x": "y"}}, credentials=VALUES), ["r-routes-00"]),
    "a shard too many goes last, after the index that named it": (
        Observed(config_maps={**FULL, "r-routes": {"index.json": "old"}, "r-routes-02": {}}, credentials=VALUES),
        ["r-routes", "delete r-routes-02"],
    ),
    "a changed value writes only the Secret": (Observed(config_maps=FULL, credentials={"k": Sealed("old")}), ["Secret"]),
    "a Secret that somebody deleted is written again": (Observed(config_maps=FULL, credentials=None), ["Secret"]),
}


@pytest.mark.parametrize("sentence", PLANS)
def test_writes(sentence: str) -> None:
    observed, expected = PLANS[sentence]
    writes = plan.writes(DESIRED, observed)
    order = ["Secret"] * (writes.credentials is not None) + [name for name, _ in writes.config_maps] + [f"delete {name}" for name in writes.deletions]
    assert order == expected
    assert bool(writes) == bool(expected)


def test_an_empty_secret_is_written_once() -> None:
    empty = Objects(config_maps={}, index="r-routes", credentials={}, digest="d", shard_count=1)
    assert plan.writes(empty, Observed(credentials=None)).credentials == {}
    assert plan.writes(empty, Observed(credentials={})).credentials is None
