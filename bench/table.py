"""The results as a table, for the terminal and for the README: `python bench/table.py [results.json]` prints Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results.json"
HEAD = ("what", "measured", "bar", "met", "samples")


def number(value: float) -> str:
    """Three digits that matter, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A row's cells."""
    met = {True: "yes", False: "NO", None: "–"}[row["met"]]
    return row["name"], f"{number(row['value'])} {row['unit']}".strip(), row["bar"], met, str(row["samples"])


def text(rows: Iterable[dict[str, Any]]) -> str:
    """Aligned columns."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def markdown(results: dict[str, Any]) -> str:
    """The README's table."""
    machine = results["machine"]
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in results["rows"]]
    return "\n".join([*lines, "", f"One run on {machine['cpus']} cores ({machine['cpu']}), {results['date']}, commit {results['commit'][:12]}."])


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else RESULTS).read_text())))
