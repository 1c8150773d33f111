"""Which publication first held a route's line, and which one a proxy serves."""

from __future__ import annotations

from modelroute_operator.core.publication import REMEMBERED, History


def test_nothing_is_published_at_first() -> None:
    history = History()
    assert (history.sequence, history.since("a"), history.line("a"), history.number_of("d1")) == (0, None, None, 0)


def test_a_change_of_one_route_asks_nothing_of_the_others() -> None:
    history = History()
    history.publish("d1", {"a": "1", "b": "1"})
    assert history.publish("d2", {"a": "1", "b": "2"}) == 2
    assert (history.since("a"), history.since("b")) == (1, 2)


def test_publishing_the_same_again_changes_nothing() -> None:
    history = History()
    assert [history.publish("d1", {"a": "1"}) for _ in range(3)] == [1, 1, 1]


def test_a_rotated_key_is_a_publication_that_asks_nothing_of_any_route() -> None:
    history = History()
    history.publish("d1", {"a": "1"})
    assert history.publish("d2", {"a": "1"}) == 2
    assert history.since("a") == 1


def test_a_configuration_that_returns_has_its_newest_number() -> None:
    """A proxy that never left it has it: equal digests are equal configurations."""
    history = History()
    for digest, line in (("d1", "1"), ("d2", "2"), ("d1", "1")):
        history.publish(digest, {"a": line})
    assert history.number_of("d1") == history.since("a") == 3
    assert history.number_of("d2") == 2


def test_a_deleted_route_is_in_no_publication_and_begins_anew() -> None:
    history = History()
    history.publish("d1", {"a": "1"})
    history.publish("d2", {})
    assert (history.since("a"), history.line("a")) == (None, None)
    history.publish("d3", {"a": "1"})
    assert history.since("a") == 3


def test_an_unknown_digest_is_number_zero_and_old_ones_are_forgotten() -> None:
    history = History()
    for i in range(REMEMBERED + 10):
        history.publish(f"d{i}", {"a": str(i)})
    assert history.number_of("never") == history.number_of("d0") == history.number_of("d9") == 0
    assert history.number_of("d10") == 11
    assert history.number_of(f"d{REMEMBERED + 9}") == history.sequence == REMEMBERED + 10


def test_a_configuration_that_returned_is_not_forgotten_as_if_it_were_old() -> None:
    history = History()
    for digest in (*(f"d{i}" for i in range(REMEMBERED)), "d0", "one more"):
        history.publish(digest, {"a": digest})
    assert (history.number_of("d0"), history.number_of("d1")) == (REMEMBERED + 1, 0)
