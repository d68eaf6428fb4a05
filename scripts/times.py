"""Writes what the last whole run of `scripts/test` took: `docs/reference/testing.md` and `tests/data/times.json`.

`python -m scripts.times`, after `scripts/test`. The page's figures are those of one run on one machine; the order of
files and `scripts/test --quick` go by them until the next ones are written.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
LAST = _ROOT / ".cache" / "test-times.json"
TIMES_PAGE = _ROOT / "docs" / "reference" / "testing.md"
RECORDED = _ROOT / "tests" / "data" / "times.json"
BEGIN, END = "<!-- Made by `python -m scripts.times`; do not edit. -->", "<!-- End. -->"
FILES_SHOWN = TESTS_SHOWN = 25
FILE_SECONDS_MIN = 0.5
"""What took less is not told apart from what is not known: it comes last in any case."""

Took = tuple[float, float]  # seconds, and CPU seconds


def by_file(tests: Mapping[str, Sequence[float]]) -> dict[str, Took]:
    """Return what each file took, the slowest first."""
    files: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, (seconds, cpu) in tests.items():
        kept = files[name.partition("::")[0]]
        kept[0] += seconds
        kept[1] += cpu
    return {name: (seconds, cpu) for name, (seconds, cpu) in _slowest(files)}


def _slowest(took: Mapping[str, Sequence[float]]) -> list[tuple[str, Sequence[float]]]:
    return sorted(took.items(), key=lambda each: (-each[1][0], each[0]))


def tables(run: Mapping[str, Any]) -> str:
    """Return the generated part of the page."""
    return "\n".join(_lines(run))


def _lines(run: Mapping[str, Any]) -> Iterator[str]:
    tests = run["tests"]
    files = by_file(tests)
    cpu = sum(each[1] for each in files.values())
    yield BEGIN
    yield ""
    yield f"{len(tests):,} tests in {len(files)} files took {_told(run['seconds'])} with {run['workers']} workers on"
    yield f"{run['cores']} cores, and {cpu:,.0f} s of CPU."
    yield ""
    yield from _table("file", list(files.items())[:FILES_SHOWN])
    yield ""
    yield from _table("test", _slowest(tests)[:TESTS_SHOWN])
    yield ""
    yield END


def _table(what: str, rows: Sequence[tuple[str, Sequence[float]]]) -> Iterator[str]:
    yield f"| {what} | seconds | of CPU |"
    yield "|---|---|---|"
    for name, (seconds, cpu) in rows:
        yield f"| `{name}` | {seconds:.1f} | {cpu:.1f} |"


def _told(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def weights(run: Mapping[str, Any]) -> dict[str, float]:
    """Return what the order of files goes by."""
    return {name: round(took[0], 1) for name, took in by_file(run["tests"]).items() if took[0] >= FILE_SECONDS_MIN}


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def main() -> int:
    if not LAST.exists():
        print("there is no whole run to tell of: run scripts/test first", file=sys.stderr)
        return 1
    run = json.loads(LAST.read_text("utf-8"))
    before, _, rest = TIMES_PAGE.read_text("utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        print(f"{TIMES_PAGE} does not say where the tables belong", file=sys.stderr)
        return 1
    _write(TIMES_PAGE, before + tables(run) + after)
    _write(RECORDED, json.dumps(weights(run), indent=0, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
