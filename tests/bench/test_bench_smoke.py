"""The bench runs: a figure that cannot be measured any more is noticed here, not when it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.__main__ import kept_rows, met, names, page
from tests.bench.against import best, figures_of, ratio, worse
from tests.bench.bench_scale import LargeServer, journey, puts

ROOT = Path(__file__).parents[2]


def test_a_scenario_prints_one_json_line_a_figure() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench", "fleet-shared"],
        cwd=ROOT,
        env={**os.environ, "RESEDGE_BENCH_SCALE": "0.002"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    figures = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(figures) == 1, result.stderr
    assert set(figures[0]) == {"name", "value", "unit", "target", "baseline", "ratio"}


def test_the_fleet_of_the_scale_bench_is_accepted_rendered_and_changed() -> None:
    server = LargeServer(0.003)
    try:
        taken = journey(server)
        placements = server.ask("GET", "/v1/rendering").json()["placements"]
        kinds = dict(puts(server, 2))
    finally:
        server.remove()

    assert {"import", "first render", "a release moved on all clusters"} <= taken.keys()
    assert placements == server.applications * server.stores
    assert set(kinds) == {"Freeze", "Store", "Group", "Namespace", "Application", "Configuration"}


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench", "speed"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 2
    assert "fleet-unique" in result.stderr


def test_more_is_better_for_rates_and_less_for_times() -> None:
    assert met({"unit": "events/s", "value": 2, "target": 1}) is True
    assert met({"unit": "s", "value": 2, "target": 1}) is False
    assert met({"unit": "s", "value": 2, "target": None}) is None


def test_the_page_names_the_command_and_every_figure() -> None:
    text = page(
        [{"name": "x", "value": 1.5, "unit": "s", "target": 2, "baseline": 3.0, "ratio": 2.0}], "scripts/bench x"
    )

    assert "scripts/bench x" in text
    assert "| x | 1.5 s | ≤ 2 | 3.0 | 2.0 times | met |" in text
    assert {"eventlog", "selection", "gittree", "fleet-unique"} <= set(names())


def test_a_page_keeps_the_rows_that_are_not_measured_again() -> None:
    def figure(name: str, value: float) -> dict[str, object]:
        return {"name": name, "value": value, "unit": "s", "target": None, "baseline": None, "ratio": None}

    before = page([figure("old", 1.0), figure("again", 2.0)], "scripts/bench")
    kept = kept_rows(before, [figure("again", 3.0)])
    after = page([figure("again", 3.0)], "scripts/bench --write x", kept)

    assert [row.split(" | ")[0] for row in kept] == ["| old"]
    assert "| old | 1.0 s" in after
    assert "| again | 3.0 s" in after
    assert "| again | 2.0 s" not in after


def test_a_comparison_takes_the_best_round_of_each_and_says_what_is_worse() -> None:
    def figure(name: str, value: float, unit: str) -> dict[str, object]:
        return {"name": name, "value": value, "unit": unit}

    rounds = [figure("t", 3.0, "s"), figure("r", 10, "events/s"), figure("t", 2.0, "s"), figure("r", 20, "events/s")]
    assert best(rounds) == [rounds[2], rounds[3]]
    assert ratio(figure("t", 2.0, "s"), figure("t", 1.0, "s")) == 2.0
    assert ratio(figure("r", 20, "events/s"), figure("r", 10, "events/s")) == 0.5
    assert worse({"ratio": 0.5})
    assert not worse({"ratio": 0.95})
    assert not worse({"ratio": None})


def test_a_comparison_runs_the_bench_of_another_tree_and_names_what_is_unknown(tmp_path: Path) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text('#!/bin/sh\necho talk\necho "{\\"name\\": \\"$3\\", \\"value\\": 1}"\n')
    (programs / "python").chmod(0o755)
    assert figures_of(tmp_path, ["gates"]) == [{"name": "gates", "value": 1}]

    unknown = [sys.executable, "-m", "tests.bench", "--against", "no-such-revision", "gates"]
    result = subprocess.run(unknown, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "error: revision no-such-revision not found\n")
