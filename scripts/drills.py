"""Repeats drills with one seed after the other, and says how often each failed and how long a round took.

A drill is a test in `tests/distributed` that takes a system, told by its name or its file's; a round that fails keeps
its system's directory, with every process's log in it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

_ROOT = Path(__file__).parents[1]
DRILLS = _ROOT / "tests" / "distributed"
SESSION_ROUNDS_MAX = 5
"""Rounds that share a broker and a database server: each round leaves its topics and schemas behind in them."""
ROUND_SECONDS_MAX = 600
LONG = {"RESEDGE_DRILL_SECONDS": "60", "RESEDGE_DRILL_AWAY_SECONDS": "120"}
"""How long the drills go on that go on for a time; in `scripts/test`, which has 15 minutes for all, it is less."""


@dataclass(frozen=True)
class Drill:
    """One drill, and the sentence that says what it does."""

    file: Path
    name: str
    sentence: str

    @property
    def short(self) -> str:
        return self.name.removeprefix("test_").replace("_", "-")

    def is_meant(self, wanted: Sequence[str]) -> bool:
        """Tell whether one of the names is a part of this drill's name, or of its file's."""
        places = (self.short, self.file.stem.removeprefix("test_distributed_"))
        return not wanted or any(name.replace("_", "-") in place for name in wanted for place in places)


@dataclass
class Figures:
    """What came of the rounds of a drill."""

    rounds: int = 0
    failed: list[int] = field(default_factory=list)
    seconds: float = 0.0
    longest_seconds: float = 0.0


def found() -> list[Drill]:
    """Return every drill, by file."""
    drills = []
    for file in sorted(DRILLS.glob("test_*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_drill(node):
                said = (ast.get_docstring(node) or node.name.removeprefix("test_").replace("_", " ") + ".").split("\n")
                drills.append(Drill(file, node.name, said[0]))
    return drills


def _is_drill(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    takes = {argument.arg for argument in node.args.args}
    return node.name.startswith("test_") and not takes.isdisjoint({"system", "make_system"})


def environment_of(seeds: range) -> dict[str, str]:
    """Return the environment of a session: this one's, with the seeds, and long where nobody has said how long."""
    return {**LONG, **os.environ, "RESEDGE_DRILL_SEEDS": f"{seeds.start}:{seeds.stop}"}


def _run(drill: Drill, seeds: range, directory: Path) -> Figures:
    """Run a drill once for each seed in one session, and keep what failed in `directory`."""
    directory.mkdir(parents=True)
    report = directory / "report.xml"
    command = [sys.executable, "-m", "pytest", f"{drill.file}::{drill.name}", "-p", "no:cacheprovider"]
    command += [f"--basetemp={directory / 'systems'}", "-o", "tmp_path_retention_policy=failed"]
    command += [f"--junitxml={report}"]
    environment = environment_of(seeds)
    with (directory / "output").open("wb") as output:
        try:
            subprocess.run(
                command,
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=ROUND_SECONDS_MAX * len(seeds),
                check=False,
            )
        except subprocess.TimeoutExpired:
            output.write(b"\nnot ended in time\n")
    figures = read_report(report, seeds)
    if not figures.failed:
        shutil.rmtree(directory)
    return figures


def read_report(report: Path, seeds: range) -> Figures:
    """Return the figures of a session; a round that is not reported has failed."""
    figures = Figures(rounds=len(seeds))
    passed: set[int] = set()
    failed: set[int] = set()
    if report.exists():
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
            seconds = float(case.get("time", "0"))
            figures.seconds += seconds
            figures.longest_seconds = max(figures.longest_seconds, seconds)
            if seed := re.search(r"seed(\d+)", case.get("name", "")):
                (passed if len(case) == 0 else failed).add(int(seed[1]))
    figures.failed = [seed for seed in seeds if seed not in passed - failed]
    return figures


def repeat(drill: Drill, seeds: range, directory: Path, deadline: float) -> Figures:
    """Run a drill for all seeds, in sessions, for as long as there is time."""
    all_of_them = Figures()
    for start in range(seeds.start, seeds.stop, SESSION_ROUNDS_MAX):
        if time.monotonic() > deadline:
            break
        some = range(start, min(start + SESSION_ROUNDS_MAX, seeds.stop))
        kept = directory / f"{drill.short}-{start}"
        figures = _run(drill, some, kept)
        all_of_them.rounds += figures.rounds
        all_of_them.failed += figures.failed
        all_of_them.seconds += figures.seconds
        all_of_them.longest_seconds = max(all_of_them.longest_seconds, figures.longest_seconds)
        if figures.failed:
            print(f"  {drill.short} failed with seed {', '.join(map(str, figures.failed))}: see {kept}", flush=True)
    return all_of_them


def soak(arguments: Sequence[str]) -> int:
    """Keep an embedded server under steady changes; a row a minute, and a verdict."""
    from tests.support.soaking import Soak, Soaking  # noqa: PLC0415 - only a soak drives a server by itself

    parser = argparse.ArgumentParser(prog="scripts/drills soak", description=soak.__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for how long (10)")
    parser.add_argument("--restart-minutes", type=float, default=2.5, help="after how long it is restarted (2.5)")
    parser.add_argument("--row-minutes", type=float, default=1, help="after how long a row is printed (1)")
    parser.add_argument("--rate", type=float, default=10, help="changes a second (10)")
    parser.add_argument("--seed", type=int, default=0, help="decides what is a matter of chance (0)")
    said = parser.parse_args(arguments)
    asked = Soaking(said.minutes * 60, said.row_minutes * 60, said.restart_minutes * 60, said.rate, said.seed)
    return 0 if Soak(asked).run(lambda line: print(line, flush=True)) else 1


def main() -> int:
    """List the drills, or repeat those that are named."""
    if sys.argv[1:2] == ["soak"]:
        return soak(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="scripts/drills", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a drill's or its file's name; all")
    parser.add_argument("--rounds", type=int, default=1, help="how often, each time with another seed (1)")
    parser.add_argument("--seed", type=int, default=0, help="the first round's seed (0)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more rounds after so long")
    parser.add_argument("--list", action="store_true", help="say which drills there are")
    said = parser.parse_args()
    drills = [drill for drill in found() if drill.is_meant(said.names)]
    if not drills:
        parser.error(f"no drill is called {' or '.join(said.names)}; scripts/drills --list names them")
    if said.list:
        for drill in drills:
            print(f"{drill.short}\n    {drill.sentence}")
        return 0
    directory = Path(tempfile.mkdtemp(prefix="resedge-drills-"))
    deadline, failures = time.monotonic() + said.seconds, 0
    print(f"{'drill':<64} {'rounds':>6} {'failed':>6} {'mean s':>7} {'max s':>7}", flush=True)
    for drill in drills:
        figures = repeat(drill, range(said.seed, said.seed + said.rounds), directory, deadline)
        mean = figures.seconds / max(figures.rounds, 1)
        failed = len(figures.failed)
        print(
            f"{drill.short:<64} {figures.rounds:>6} {failed:>6} {mean:>7.1f} {figures.longest_seconds:>7.1f}",
            flush=True,
        )
        failures += failed
    if failures:
        print(f"what is left of the rounds that failed: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
