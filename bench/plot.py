"""Plots of a run, PNG and SVG, into `plots/` beside its results: `python bench/plot.py [results.json]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "modelroute"  # the same results give the same file
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

HERE = Path(__file__).resolve().parent
OURS, STOCK, FLOOR = "#1f6feb", "#d1453b", "#8b949e"


def by_size(values: dict[str, Any]) -> tuple[list[int], list[Any]]:
    """JSON's keys are texts."""
    sizes = sorted(map(int, values))
    return sizes, [values[str(size)] for size in sizes]


def axes(title: str, label: str, sizes: list[int]) -> tuple[Any, Axes]:
    """One plot over the number of routes."""
    figure, plot = plt.subplots(figsize=(7, 4), layout="constrained")
    plot.set(title=title, xlabel="routes", ylabel=label, xscale="log")
    plot.set_xticks(sizes, [f"{size:,}" for size in sizes])
    plot.minorticks_off()
    plot.grid(alpha=0.25)
    return figure, plot


def latency(results: dict[str, Any]) -> Any:
    """From the API server to the last replica."""
    series = results["series"]["latency"]
    sizes, ours = by_size(series["ours"])
    _, floors = by_size(series["floor"])
    figure, plot = axes("From an accepted change to every replica answering", "milliseconds (log)", sizes)
    plot.set_yscale("log")
    plot.plot(sizes, [1000 * p50 for p50, _ in ours], "o-", color=OURS, label="ours, p50")
    plot.plot(sizes, [1000 * p95 for _, p95 in ours], "o--", color=OURS, label="ours, p95")
    plot.plot(sizes, [1000 * p50 for p50, _ in floors], "s:", color=FLOOR, label="floor: two API-server hops, p50")
    if restart := series.get("restart_seconds"):
        plot.axhline(1000 * restart, color=STOCK, label=f"rolling restart of stock LiteLLM, {sizes[0]} models")
    plot.legend(loc="center left")
    return figure


def throughput(results: dict[str, Any]) -> Any:
    """Requests a second."""
    series = results["series"]["throughput"]
    stock_sizes, stock = by_size(series["stock"])
    sizes, ours = by_size(series["ours"])
    figure, plot = axes("Requests a second, 16 clients, 100 models in use", "requests/s", stock_sizes)
    plot.plot(sizes, ours, "o-", color=OURS, label="ours")
    plot.plot(stock_sizes, stock, "o-", color=STOCK, label="stock LiteLLM")
    plot.set_ylim(bottom=0)
    plot.legend()
    return figure


def main(file: Path) -> None:
    """Writes what the run has."""
    results = json.loads(file.read_text())
    folder = file.parent / "plots"
    folder.mkdir(exist_ok=True)
    for name, draw in (("latency", latency), ("throughput", throughput)):
        if results["series"].get(name):
            figure = draw(results)
            for kind, metadata in (("png", {}), ("svg", {"Date": None})):
                figure.savefig(folder / f"{name}.{kind}", dpi=130, metadata=metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results.json")
