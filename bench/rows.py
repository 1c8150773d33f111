"""One row of the table: a ratio taken in one run, beside the bar it should meet."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured. `met` is None where there is no bar: the value is shown for comparison."""

    family: str
    name: str
    value: float
    unit: str
    bar: str
    met: bool | None
    samples: int
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """Measures it again, with the rows that come from the same samples."""
        return f"python bench/run.py --only {self.family}"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is measured. Everything that costs time is here."""

    sizes: tuple[int, ...]
    """Routes: from few to as many as we promise."""
    changes: int
    rotations: int
    under_load: int
    restarts: int
    burst: int
    bursts: int
    rest_seconds: float
    used: int
    """Of the proxy's routes, those that requests name."""
    boots: int
    rounds: int
    round_seconds: float
    pairs: int
    lists: int
    churn: int
    cuts: int
    generations: int
    """Of LiteLLM's router."""


FULL = Scale(
    sizes=(10, 2_000, 10_000), changes=50, rotations=20, under_load=30, restarts=2, burst=1_000, bursts=3, rest_seconds=45,
    used=100, boots=3, rounds=5, round_seconds=3.5, pairs=2_000, lists=5, churn=10_000, cuts=10, generations=2,
)  # fmt: skip
QUICK = Scale(
    sizes=(10, 1_000), changes=6, rotations=4, under_load=6, restarts=1, burst=200, bursts=1, rest_seconds=5,
    used=100, boots=1, rounds=2, round_seconds=2, pairs=150, lists=3, churn=1_000, cuts=2, generations=1,
)  # fmt: skip


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p(percent: int, values: Sequence[float]) -> float:
    """A percentile, of the values as they are (none is interpolated above the largest)."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def at_most(family: str, name: str, value: float, bar: float, samples: int, unit: str = "×", **detail: Any) -> Row:
    """A row that should not exceed its bar."""
    return Row(family=family, name=name, value=value, unit=unit, bar=f"≤ {bar:g} {unit}".strip(), met=value <= bar, samples=samples, detail=detail)


def at_least(family: str, name: str, value: float, bar: float, samples: int, unit: str = "×", **detail: Any) -> Row:
    """A row that should not fall below its bar."""
    return Row(family=family, name=name, value=value, unit=unit, bar=f"≥ {bar:g} {unit}".strip(), met=value >= bar, samples=samples, detail=detail)


def shown(family: str, name: str, value: float, samples: int, unit: str = "×", **detail: Any) -> Row:
    """A row for comparison."""
    return Row(family=family, name=name, value=value, unit=unit, bar="shown", met=None, samples=samples, detail=detail)


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Median and p95, for a row's detail."""
    return {"p50_ms": round(1000 * p50(seconds), 1), "p95_ms": round(1000 * p(95, seconds), 1)}
