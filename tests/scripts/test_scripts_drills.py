"""`scripts/drills` finds every drill with its sentence, and takes what is not reported as passed for failed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.drills import LONG, Drill, environment_of, found, read_report

ROOT = Path(__file__).parents[2]

REPORT = """\
<testsuites><testsuite>
<testcase name="test_a_cut[seed3]" time="2.5"/>
<testcase name="test_a_cut[seed4-log]" time="0.5"/>
<testcase name="test_a_cut[seed4-views]" time="1.0"><failure message="lost"/></testcase>
</testsuite></testsuites>
"""


def test_every_drill_has_a_name_of_its_own_and_a_sentence() -> None:
    drills = found()

    assert {"a-database-that-restarts", "a-renderer-killed-at-each-step-of-a-write"} <= {each.short for each in drills}
    assert len({each.short for each in drills}) == len(drills)
    assert [each.name for each in drills if not each.sentence.endswith(".")] == []


@pytest.mark.parametrize("wanted", [[], ["kills"], ["each_step"], ["nothing", "writer-killed"]])
def test_a_drill_is_meant_by_a_part_of_its_name_or_of_its_file_s(wanted: list[str]) -> None:
    drill = Drill(Path("test_distributed_kills.py"), "test_a_writer_killed_at_each_step", "A writer dies.")

    assert drill.is_meant(wanted)
    assert not drill.is_meant(["rolling"])


def test_a_round_that_failed_or_is_not_reported_has_failed(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)

    figures = read_report(tmp_path / "report.xml", range(3, 6))

    assert (figures.rounds, figures.failed) == (3, [4, 5])
    assert (figures.seconds, figures.longest_seconds) == (4.0, 2.5)
    assert read_report(tmp_path / "none", range(2)).failed == [0, 1]


def test_a_repeated_drill_lasts_long_unless_somebody_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESEDGE_DRILL_SECONDS", raising=False)
    monkeypatch.setenv("RESEDGE_DRILL_AWAY_SECONDS", "3")
    environment = environment_of(range(4, 6))

    drills = "".join(path.read_text("utf-8") for path in {each.file for each in found()})
    assert all(f'"{name}"' in drills for name in LONG)
    assert environment["RESEDGE_DRILL_SECONDS"] == "60"
    assert environment["RESEDGE_DRILL_AWAY_SECONDS"] == "3"
    assert environment["RESEDGE_DRILL_SEEDS"] == "4:6"


def test_a_process_is_killed_at_every_point_that_there_is() -> None:
    code = "".join(path.read_text("utf-8") for top in ("libs", "services") for path in (ROOT / top).rglob("*.py"))
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    points = set(re.findall(r'crash_point\("([^"]+)"', code))

    assert len(points) > 20
    assert {point for point in points if not re.search(rf'"{re.escape(point)}[":]', tests)} == set()
