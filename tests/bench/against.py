"""`scripts/bench --against REVISION NAME…`: the figures of another revision and of this tree, in one run.

Both are measured in turn, so that what else the machine does meets both; of each figure the best of all rounds counts.
The other revision is a clone of its own under `.cache`, set up by its own scripts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
AT_LEAST = frozenset({"events/s", "files/s"})
"""Units of which more is better."""
NOISE = 1.15
"""What is worse by more than this is told as worse: two runs of one tree differ by less on a quiet machine."""

Figure = dict[str, Any]


class MeasurementError(Exception):
    """A revision cannot be had, or its bench failed."""


def compared(revision: str, names: Sequence[str], rounds: int) -> Iterator[Figure]:
    """Yield this tree's figures with those of a revision as baseline; the ratio says how many times better ours are.

    Raises:
        MeasurementError: there is no such revision, or one of the two benches failed.
    """
    place = checkout(revision)
    theirs: list[Figure] = []
    ours: list[Figure] = []
    for _ in range(rounds):
        theirs += figures_of(place, names)
        ours += figures_of(ROOT, names)
    before = {each["name"]: each for each in best(theirs)}
    for each in best(ours):
        known = before.get(each["name"])
        yield each | {
            "target": None,
            "baseline": None if known is None else known["value"],
            "ratio": None if known is None else ratio(known, each),
        }


def checkout(revision: str) -> Path:
    """Return a clone of this repository at a revision, with what it needs installed."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise MeasurementError(f"revision {revision} not found")
    commit = found.stdout.strip()
    place = ROOT / ".cache" / "against" / commit
    if not (place / "scripts").exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        for step in (
            _git("clone", "--quiet", "--no-checkout", str(ROOT), str(place)),
            _git("-C", str(place), "checkout", "--quiet", commit),
        ):
            if step.returncode:
                raise MeasurementError(step.stderr.strip())
    _ran(place, "scripts/setup")
    return place


def figures_of(place: Path, names: Sequence[str]) -> list[Figure]:
    """Return what the bench of a tree prints."""
    said = _ran(place, ".venv/bin/python", "-m", "tests.bench", *names, accepted=(0, 1))
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def best(figures: Iterable[Figure]) -> list[Figure]:
    """Return the best of each figure, in the order in which they were first measured."""
    found: dict[str, Figure] = {}
    for each in figures:
        known = found.get(each["name"])
        if known is None or ratio(known, each) > 1:
            found[each["name"]] = each
    return list(found.values())


def ratio(before: Figure, after: Figure) -> float:
    """Return how many times better `after` is."""
    less, more = sorted((max(before["value"], 1e-9), max(after["value"], 1e-9)))
    better = (after["value"] >= before["value"]) == (after["unit"] in AT_LEAST)
    return round(float(more / less if better else less / more), 3)


def worse(figure: Figure) -> bool:
    """Whether a figure is worse than its baseline by more than noise."""
    return figure["ratio"] is not None and figure["ratio"] < 1 / NOISE


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def _ran(place: Path, *command: str, accepted: tuple[int, ...] = (0,)) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    result = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode not in accepted:
        sys.stderr.write(result.stdout)
        raise MeasurementError(f"{' '.join(command)} in {place} ended with {result.returncode}")
    return result.stdout
