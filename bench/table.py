"""The results as a table, for the terminal and for the README: `python bench/table.py [results.json]` prints Markdown."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results.json"
SIZE = re.compile(r", ([0-9,]+) routes(?=,|$)")
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
    """The README's tables: what was measured at several numbers of routes, then the rest."""
    machine, sized, single = results["machine"], dict[str, dict[str, Any]](), []
    for row in results["rows"]:
        if found := SIZE.search(row["name"]):
            sized.setdefault(SIZE.sub("", row["name"]), {})[found[1]] = row
        else:
            single.append(row)
    sizes = list(dict.fromkeys(size for by_size in sized.values() for size in by_size))
    lines = _table(["at", "bar", *(f"{size} routes" for size in sizes)])
    for name, by_size in sized.items():
        lines.append(_line(name, next(iter(by_size.values()))["bar"], *(_value(by_size[size]) if size in by_size else "" for size in sizes)))
    lines += ["", *_table(["what", "bar", "measured"]), *(_line(row["name"], row["bar"], _value(row)) for row in single)]
    versions, commit = results["versions"], results["commit"][:12]
    measured = (
        f"`make bench` on {results['date']}: one run of {results['minutes']:.0f} minutes on {machine['cpus']} cores ({machine['cpu']}, {machine['memory_gb']} GB), which API "
        f"server, etcd, operator, two proxies, provider and clients share; LiteLLM {versions['litellm']}, commit {commit}."
    )
    return "\n".join([*lines, "", measured])


def _table(heads: list[str]) -> list[str]:
    return [_line(*heads), "|" + "---|" * len(heads)]


def _line(*texts: str) -> str:
    return "| " + " | ".join(texts) + " |"


def _value(row: dict[str, Any]) -> str:
    """In bold where the bar is not met; with the milliseconds behind it where it is one of a distribution."""
    _, measured, _, met, _ = cells(row)
    which = next((which for which in ("p50", "p95") if f"{which} ÷" in row["name"]), None)
    behind = f" ({row['detail']['measured'][f'{which}_ms']:.0f} ms)" if which and "measured" in row["detail"] else ""
    return f"**{measured}**{behind}" if met == "NO" else measured + behind


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else RESULTS).read_text())))
