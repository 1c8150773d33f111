"""`make bench`: every row of the performance table, from one run.

BENCH_QUICK=1 measures less and smaller, `--only FAMILY…` those rows alone; both leave results.json and its plots as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cluster
import cluster_rows
import reconnect_rows
import server_rows
import table
from rows import FULL, QUICK, Row, Scale

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = (*cluster_rows.FAMILIES, *server_rows.FAMILIES, *reconnect_rows.FAMILIES)


def machine() -> dict[str, Any]:
    """What it ran on."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gb": round(kilobytes / 1024**2),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of what was measured."""
    other = subprocess.run(
        [ROOT / ".venv-litellm-1110/bin/python", "-c", "from importlib.metadata import version; print(version('litellm'))"], capture_output=True, text=True, check=False
    )
    found = {name: version(name) for name in ("litellm", "kopf", "kubernetes")}
    return found | {"litellm (other generation)": other.stdout.strip(), "python": platform.python_version()}


def commit() -> str:
    """The tree's; `+` where it has changes."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def say(line: str) -> None:
    """Progress, on stderr: the table alone is the output."""
    print(f"  {datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def of_cluster(wanted: set[str], scale: Scale, head: dict[str, Any], series: dict[str, Any]) -> Iterator[Row]:
    """Rows that take a cluster."""
    if wanted & set(cluster_rows.FAMILIES):
        ladder = cluster_rows.Ladder(scale, wanted, say)
        yield from ladder.rows()
        head["versions"]["kubernetes"] = cluster.version()
        if ladder.served:
            series["latency"] = {"ours": ladder.served, "floor": ladder.floor, "restart_seconds": ladder.restart_seconds}


def of_servers(wanted: set[str], scale: Scale, series: dict[str, Any]) -> Iterator[Row]:
    """Rows of LiteLLM processes."""
    if wanted & set(server_rows.FAMILIES):
        yield from asyncio.run(server_rows.rows(scale, wanted, say, series))


def main() -> int:
    """The run; 0 if all was measured, whether the bars are met or not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--output", type=Path, help="where the results go (default: bench/results.json for a whole run, else .run/bench.json)")
    options = parser.parse_args()
    quick = bool(os.environ.get("BENCH_QUICK"))
    output = options.output or (ROOT / ".run/bench.json" if options.only or quick else table.RESULTS)
    began, found, series = time.monotonic(), list[Row](), dict[str, Any]()
    head = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine(), "versions": versions(), "commit": commit()}
    wanted, scale, failures = set(options.only or FAMILIES), QUICK if quick else FULL, 0
    for part in (of_cluster(wanted, scale, head, series), reconnect_rows.rows(scale, wanted, say), of_servers(wanted, scale, series)):
        try:
            found.extend(part)
        except Exception:  # what was measured before is kept, and what comes after is measured
            traceback.print_exc()
            failures += 1
    rows = [{**dataclasses.asdict(row), "command": row.command} for row in found]
    results = {**head, "quick": quick, "minutes": round((time.monotonic() - began) / 60, 1), "rows": rows, "series": series}
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(results, indent=1, default=str) + "\n")
    print(table.text(rows))
    missed = [row.name for row in found if row.met is False]
    print(f"\n{len(found)} rows in {results['minutes']} minutes, {len(missed)} below their bar; {output}")
    if series:
        subprocess.run([sys.executable, Path(__file__).with_name("plot.py"), output], check=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
