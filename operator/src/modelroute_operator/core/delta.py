"""Bringing what is held up to date, at the price of what may have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def take_over(held: dict[K, V], now: Mapping[K, V], keys: Iterable[K] | None) -> dict[K, V | None]:
    """Makes `held` equal to `now` in these keys; None: in all. Returns what was held before, of the keys where that was something else."""
    before: dict[K, V | None] = {}
    for key in now.keys() | held.keys() if keys is None else keys:
        old, new = held.get(key), now.get(key)
        if old is new or old == new:
            continue
        before[key] = old
        if new is None:
            del held[key]
        else:
            held[key] = new
    return before
