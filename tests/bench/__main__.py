"""`scripts/bench [NAME…]`: measures and prints one JSON line a figure; exits 1 where a target is missed.

A NAME is a module (`eventlog`, `selection`, `gittree`, `bus`) or one of its scenarios (`fleet-unique`, …).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.against import AT_LEAST, MeasurementError, compared, worse

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "performance.md"
Figure = dict[str, Any]


def names() -> dict[str, tuple[str, str | None]]:
    """Return what can be measured: name → (module, scenario of it)."""
    found: dict[str, tuple[str, str | None]] = {}
    for file in sorted(HERE.glob("bench_*.py")):
        module = importlib.import_module(f"tests.bench.{file.stem}")
        for scenario in getattr(module, "FIGURES", (None,)):
            found[scenario or file.stem.removeprefix("bench_")] = (module.__name__, scenario)
    return found


def measured(module: str, scenario: str | None) -> Iterable[Figure]:
    """Run one module or scenario."""
    run = importlib.import_module(module).run
    figures: Iterable[Figure] = run() if scenario is None else run((scenario,))
    return figures


def met(figure: Figure) -> bool | None:
    """Return whether a figure meets its target; None where it has none."""
    if figure.get("target") is None:
        return None
    if figure["unit"] in AT_LEAST:
        return bool(figure["value"] >= figure["target"])
    return bool(figure["value"] <= figure["target"])


def complete(figure: Figure) -> Figure:
    """Return the figure with every field that a line has."""
    return {key: figure.get(key) for key in ("name", "value", "unit", "target", "baseline", "ratio")}


def kept_rows(text: str, figures: list[Figure]) -> list[str]:
    """Return the rows of an earlier page that these figures do not measure again."""
    now = {each["name"] for each in figures}
    table, _, _ = text.partition("\n## ")  # what is written by hand below may hold tables too
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| figure ")]
    return [row for row in rows if row.split(" | ")[0].removeprefix("| ") not in now]


def page(figures: list[Figure], command: str, kept: Sequence[str] = ()) -> str:
    """Return the page that holds the table; `kept` are rows of an earlier run."""
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    lines = [
        "# Performance",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with {os.cpu_count()} cores ({processor}),",
        f"Python {platform.python_version()} and {git}, by",
        "",
        "```",
        command,
        "```",
        "",
        "Another machine, or a busy one, gives other figures. A baseline was measured in the same run; the ratio says",
        "how many times better the figure is.",
        "",
        *(["Rows that this command does not measure are of an earlier run on such a machine.", ""] if kept else []),
        "| figure | measured | target | baseline | ratio | |",
        "|---|---|---|---|---|---|",
        *kept,
    ]
    for each in figures:
        sign = "≥" if each["unit"] in AT_LEAST else "≤"
        target = "" if each.get("target") is None else f"{sign} {each['target']:,}"
        verdict = {None: "", True: "met", False: "**missed**"}[met(each)]
        baseline = "" if each.get("baseline") is None else f"{each['baseline']:,}"
        ratio = "" if each.get("ratio") is None else f"{each['ratio']:.1f} times"
        lines.append(
            f"| {each['name']} | {each['value']:,} {each['unit']} | {target} | {baseline} | {ratio} | {verdict} |"
        )
    return "\n".join([*lines, "", BOUNDS])


BOUNDS = """\
## What bounds them

- One event a transaction: the disk's fsync; several callers share one (group commit).
- The whole fleet: formatting, SHA-1 and CRC of about 2.2 million objects on two worker processes, about 2.4 µs each,
  while the server's own process prepares the next application. `git fast-import` gets its input ready-made from a
  file, on a sixteenth of the same tree.
- One store's label: planning and rendering 25 applications for one cluster in Python, and about ten fsyncs.
- Restart: starting Python and reading the snapshot.
- Through Kafka: two cores shared by the caller, the log's PostgreSQL, the relay, Kafka, the service and its views.
  The relay takes about 35 µs of CPU an event, the service with its fleet about as much; PostgreSQL's fsync bounds
  single appends.
- A long log: PostgreSQL sends its rows by COPY, and a core hashes and compares them.
- Reads and `/livez` while the fleet is rendered: two workers, the server and the clients share two cores.

## Twice the size

`scripts/bench scale` builds 120,000 clusters, 100 applications (one everywhere, each of the others on an eighth: 1.6
million placements), 2,000 groups with expressions, 5,000 configurations and 500 namespaces at a quarter, a half and the
whole, and compares CPU time and memory with growth in proportion. It takes about six minutes. Measured on 2026-11-30,
on 2 cores with little other work (`ratio`: 1 is proportion, more is better):

| figure | quarter | half | whole | ratio |
|---|---|---|---|---|
| import | 2.2 CPU s | 3.9 CPU s | 7.1 CPU s | 1.23 |
| first render | 3.3 CPU s | 6.9 CPU s | 13.9 CPU s | 0.95 |
| a release moved on all clusters | 0.8 CPU s | 1.6 CPU s | 3.2 CPU s | 0.95 |
| 20 one-store labels to commit | 0.8 CPU s | 1.0 CPU s | 2.7 CPU s | 1.11 |
| restart from a snapshot | 2.2 CPU s | 2.9 CPU s | 4.3 CPU s | 2.01 |
| cold start | 4.4 CPU s | 7.6 CPU s | 12.9 CPU s | 1.37 |
| peak memory of server and workers | 854 MB | 1,255 MB | 2,792 MB | 1.22 |
| all documents and 200 releases declared | 1.1 CPU s | | 7.8 CPU s | 0.56 |

A `put` of one document takes 5 to 10 ms (p50) at the whole, 4 to 11 ms with bound rights; p99 is 12 to 193 ms, and
958 ms for a group, as the first put after a change of many groups computes them again.

All documents together grow faster than the fleet: there are four times as many, and what a document costs (a fork of
the fleet, a plan after each release choice) grows with the fleet too. Memory is bounded by applications x clusters (89
bytes each, wherever they run).
"""


def main(arguments: list[str]) -> int:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="list the names and end")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument(
        "--against", metavar="REVISION", help="measure REVISION too, as the baseline; exit 1 where this tree is slower"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often --against measures both (default: 3)")
    given = parser.parse_args(arguments)
    known = names()
    if given.list:
        print("\n".join(known))
        return 0
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; known: {', '.join(known)}")
    if given.against is not None:
        return _compare(given.against, given.names or list(known), given.rounds)
    figures: list[Figure] = []
    for name in given.names or known:
        for each in _measured(*known[name]):
            print(json.dumps(each, ensure_ascii=False), flush=True)
            figures.append(each)
    if given.write:
        scale = (
            f"RESEDGE_BENCH_SCALE={os.environ['RESEDGE_BENCH_SCALE']} " if "RESEDGE_BENCH_SCALE" in os.environ else ""
        )
        kept = kept_rows(PAGE.read_text(), figures) if given.names and PAGE.exists() else []
        PAGE.write_text(page(figures, f"{scale}scripts/bench --write {' '.join(given.names)}".strip(), kept))
    return 1 if any(met(each) is False for each in figures) else 0


def _compare(revision: str, names: list[str], rounds: int) -> int:
    status = 0
    try:
        for each in compared(revision, names, rounds):
            print(json.dumps(complete(each), ensure_ascii=False), flush=True)
            status |= worse(each)
    except MeasurementError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _measured(module: str, scenario: str | None) -> Iterator[Figure]:
    for each in measured(module, scenario):
        yield complete(each)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
