"""The managed objects: shards, digests, limits, and reading them back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelroute_operator.core import objects, plan
from modelroute_operator.core.objects import INLINE_LIMIT, MAX_SHARDS, SHARD_LIMIT, SHARD_TARGET, FullError, Objects
from modelroute_operator.core.plan import Observed
from modelroute_operator.core.sealed import Sealed
from modelroute_operator.edges import world

KEY = Sealed("token")
NEEDED = {
    "nothing needs one shard": (0, 0, 1),
    "a few routes are in the index": (INLINE_LIMIT, 1, 1),
    "one byte more needs two": (INLINE_LIMIT + 1, 1, 2),
    "half as much stays beside the index": (INLINE_LIMIT // 2, 2, 2),
    "a quarter goes back into it": (INLINE_LIMIT // 4, 2, 1),
    "shards come in powers of two": (SHARD_TARGET * 5, 1, 8),
    "half as much keeps the shards": (SHARD_TARGET * 3, 8, 8),
    "a quarter shrinks them": (SHARD_TARGET * 2, 8, 2),
    "nothing left shrinks to one": (0, 8, 1),
    "never more than the chart mounts": (SHARD_TARGET * 1000, 1, MAX_SHARDS),
    "a count that no release ever had is corrected": (0, 64, 1),
}


@pytest.mark.parametrize("sentence", NEEDED)
def test_shards_needed(sentence: str) -> None:
    size, before, expected = NEEDED[sentence]
    assert objects.shards_needed(size, before) == expected


@given(st.integers(0, SHARD_TARGET * 40), st.integers(0, 2000))
def test_a_size_that_sways_around_a_limit_does_not_flap(size: int, sway: int) -> None:
    count = objects.shards_needed(size, 1)
    smaller = objects.shards_needed(max(0, size - sway), count)
    assert objects.shards_needed(size, smaller) == count
    assert smaller == count or size - sway <= count * SHARD_TARGET // 4


def lines(count: int, width: int = 1000) -> dict[str, str]:
    """Route lines of a certain width."""
    return {f"ns/route-{i:05d}": json.dumps({"generation": 1, "modelName": f"m{i}", "pad": "x" * width}) for i in range(count)}


def lay(routes: dict[str, str], before: int = 1, memo: objects.Memo | None = None, **credentials: str) -> Objects:
    """Objects of the release `r`."""
    return objects.of(routes, {k: Sealed(v) for k, v in credentials.items()}, {}, name="r-routes", before=before, key=KEY, memo=memo)


def read_back(desired: Objects) -> dict[str, str]:
    """The lines as an operator that starts reads them."""
    index = objects.read_index(desired.config_maps["r-routes"][objects.INDEX])
    assert index
    assert index.digest == desired.digest
    found = world.published(desired.config_maps, desired.credentials, index, objects.Memo())
    assert found.shard_count == desired.shard_count
    return dict(found.lines)


def test_a_growing_and_shrinking_table_loses_nothing() -> None:
    before, seen = 1, []
    for count in (0, 50, 200, 1200, 3000, 1200, 200, 10, 0):
        routes = lines(count)
        desired = lay(routes, before)
        assert read_back(desired) == routes
        before = desired.shard_count
        seen.append(before)
    assert seen == [1, 2, 4, 16, 32, 32, 4, 1, 1]


def test_the_order_in_which_routes_are_given_does_not_matter() -> None:
    routes = lines(200)
    assert lay(dict(reversed(routes.items()))) == lay(routes)


def test_one_shard_lives_in_the_index_and_several_beside_it() -> None:
    assert set(lay(lines(3)).config_maps) == {"r-routes"}
    assert set(lay(lines(3)).config_maps["r-routes"]) == {"index.json", "routes-00.json"}
    several = lay(lines(200))
    assert set(several.config_maps) == {"r-routes", *(f"r-routes-{i:02d}" for i in range(4))}
    assert set(several.config_maps["r-routes"]) == {"index.json", "recent.json"}


def test_every_object_stays_far_from_what_the_api_server_takes() -> None:
    for data in lay(lines(4000)).config_maps.values():
        assert sum(len(key) + len(text.encode()) for key, text in data.items()) < 900 * 1024


def test_a_change_writes_the_index_alone_and_many_move_into_their_shards() -> None:
    memo, routes = objects.Memo(), lines(1200)
    old = lay(routes, 16, memo)
    assert old.shard_count == 16
    moved = 0
    for number in range(300):
        routes = {**routes, f"ns/route-{number:05d}": json.dumps({"generation": 2, "filler": "x" * 400})}
        new = lay(routes, 16, memo)
        assert read_back(new) == routes
        writes = plan.writes(new, Observed(config_maps=old.config_maps, credentials=old.credentials))
        assert (writes.credentials, writes.deletions) == (None, ())
        *shards, index = (name for name, _ in writes.config_maps)
        assert index == "r-routes"
        moved += bool(shards)
        old = new
    assert 0 < moved < 5


def test_in_a_calm_moment_recent_lines_move_into_their_shards_and_a_few_stay_where_they_are() -> None:
    memo, routes = objects.Memo(), lines(1200)
    assert lay(routes, 16, memo).tidy
    for count, tidy in ((5, True), (30, False)):
        routes = {**routes, **{f"ns/route-{number:05d}": json.dumps({"generation": count, "filler": "x" * 400}) for number in range(count)}}
        before = lay(routes, 16, memo)
        after = objects.of(routes, before.credentials, {}, name="r-routes", before=16, key=KEY, memo=memo, calm=True)
        assert (before.tidy, after.tidy, before == after) == (tidy, True, tidy)
        assert read_back(after) == routes
    assert after.config_maps["r-routes"]["recent.json"] == "{\n\n}\n"


def test_a_deleted_route_is_gone_before_its_shard_is_rewritten() -> None:
    memo, routes = objects.Memo(), lines(1200)
    lay(routes, 16, memo)
    left = {key: line for key, line in routes.items() if key != "ns/route-00007"}
    new = lay(left, 16, memo)
    assert '"ns/route-00007": null' in new.config_maps["r-routes"]["recent.json"]
    assert read_back(new) == left
    assert lay(routes, 16, memo).config_maps["r-routes"]["recent.json"] == "{\n\n}\n"


def test_an_operator_that_starts_lays_out_the_same_bytes() -> None:
    memo, routes = objects.Memo(), lines(1200)
    lay(routes, 16, memo)
    routes = {**routes, "ns/route-00007": '{"generation":2}'}
    old, restarted = lay(routes, 16, memo), objects.Memo()
    index = objects.read_index(old.config_maps["r-routes"][objects.INDEX])
    world.published(old.config_maps, old.credentials, index, restarted)
    assert lay({key: str(line) for key, line in routes.items()}, 16, restarted) == old


def test_too_many_routes_say_what_to_do() -> None:
    with pytest.raises(FullError, match=r"second release \(spec\.proxyName\)"):
        lay(lines(40, SHARD_LIMIT // 2), MAX_SHARDS)


def test_too_large_credentials_say_what_to_do() -> None:
    with pytest.raises(FullError, match=r"let routes share Secrets, or serve some from a second release \(spec\.proxyName\)") as error:
        lay({}, **{"ns.secret_key": "s3cret" * 200_000})
    assert "s3cret" not in str(error.value)


def test_digests_tell_a_changed_value_without_telling_the_value() -> None:
    one, other = lay({}, a="value-one"), lay({}, a="value-two")
    assert one.digest != other.digest
    assert "value" not in one.config_maps["r-routes"]["index.json"]
    assert lay({}, a="value-one").digest == one.digest
    assert objects.of({}, one.credentials, {}, name="r-routes", before=1, key=Sealed("another release's token")).digest != one.digest


NO_INDEX = {
    "empty": "", "no JSON": "{", "a list": "[]", "a number": "1", "no shards": '{"digest": "x"}', "no digest": '{"shards": {}}',
    "a shard without a home": '{"shards": {"routes-00.json": {}}, "digest": "x"}', "shards as a list": '{"shards": [], "digest": "x"}',
}  # fmt: skip


@pytest.mark.parametrize("what", NO_INDEX)
def test_an_index_that_is_none_reads_as_none(what: str) -> None:
    assert objects.read_index(NO_INDEX[what]) is None


def test_an_empty_table_is_valid_json_and_reads_back_empty() -> None:
    text = lay({}).config_maps["r-routes"]["routes-00.json"]
    assert json.loads(text) == {}
    assert objects.lines_in(text) == {}


@given(st.dictionaries(st.from_regex(r"[a-z0-9-]{1,9}/[a-z0-9.-]{1,9}", fullmatch=True), st.text(), max_size=20), st.sampled_from([1, 2, 8, 32]))
def test_any_text_in_a_line_reads_back_as_it_was(texts: dict[str, str], before: int) -> None:
    routes = {key: json.dumps({"says": text}, separators=(",", ":")) for key, text in texts.items()}
    assert read_back(lay(routes, before)) == routes
