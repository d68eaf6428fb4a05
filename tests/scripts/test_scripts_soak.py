"""The soak runs and ends with a verdict, and what it judges by finds a leak whatever restarts hide of it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.flatness import Growth, Sample, growth
from tests.support.soaked import STORES, Changes
from tests.support.soaking import BOUNDS

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 150


def samples(
    *, leak_a_second: float = 0.0, noise: float = 3.0, warming: float = 40.0, kept: bool = False
) -> list[Sample]:
    """Ten minutes in four runs: a process that warms up, makes noise and may leak; `kept`: also over restarts."""
    chance, found = random.Random(7), []
    for number in range(120):
        seconds = 5.0 * number
        run, age = int(seconds // 150), seconds % 150
        level = (
            100 + warming * min(1.0, age / 20) + leak_a_second * (seconds if kept else age) + chance.uniform(0, noise)
        )
        found.append(Sample(seconds, run, age, {"rss": level}))
    return found


def judged(them: list[Sample]) -> Growth:
    return growth(them, "rss", share=0.05, least=8.0, warm_seconds=30.0)


def test_what_warms_up_after_each_restart_is_flat() -> None:
    assert judged(samples()).flat


@pytest.mark.parametrize("kept", [False, True])
def test_a_leak_is_found_whether_restarts_set_it_back_or_not(kept: bool) -> None:
    found = judged(samples(leak_a_second=0.1, kept=kept))

    assert not found.flat
    assert found.grown > 15


def test_what_could_not_be_compared_has_not_been_shown_to_be_flat() -> None:
    assert not judged([]).flat
    assert not judged(samples()[:1]).flat


def test_changes_are_of_every_kind_follow_from_the_seed_and_bring_back_what_was_removed() -> None:
    first, second = Changes(3), Changes(3)
    made = [first.next() for _ in range(2_000)]
    again = [second.next() for _ in range(2_000)]

    def told(changes: list[tuple[str, str, object]]) -> str:
        return re.sub(r"\d{4}-\d\d-\d\dT[^\"]*", "", json.dumps(changes))

    assert told(made) == told(again)
    assert len(first.gone) <= STORES // 20 + 1
    kinds = {re.sub(r"/[^/]*\d[^/]*", "", path.removeprefix("/v1")) for _, path, _ in made}
    assert {"/stores", "/stores:label", "/groups/geo", "/configurations", "/freezes/soak"} <= kinds
    assert {"/applications", "/applications/releases", "/applications/release-choices"} <= kinds
    assert {method for method, _, _ in made} == {"PUT", "POST", "DELETE"}


def test_a_soak_of_seconds_prints_rows_restarts_and_ends_with_a_verdict() -> None:
    options = ("--minutes", "0.15", "--row-minutes", "0.05", "--restart-minutes", "0.07")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.drills", "soak", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )

    heading, *lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert heading.split()[:4] == ["minute", "changes", "commits", "p50"]
    rows = [line.split() for line in lines if re.match(r" +\d+\.\d ", line)]
    assert rows
    assert all(len(row) == 12 for row in rows)
    assert [line.split(":")[0] for line in lines[len(rows) : len(rows) + len(BOUNDS)]] == list(BOUNDS)
    assert re.fullmatch(r"\d+ changes, \d+ of them refused, [1-9]\d* restarts: ok", lines[-1])
