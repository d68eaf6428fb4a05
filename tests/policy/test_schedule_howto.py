"""The page about schedules, freezes and law works as it stands: followed on a server whose clock it sets."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from cli.errors import ExitCode
from tests.cli.cli_machine import Machine

PAGE = (Path(__file__).parents[2] / "docs/how-to/schedule-freeze-and-law.md").read_text("utf-8")
AT_HAND = "http://127.0.0.1:8080"
REFUSED = "publish lottery 1.1.0 lottery"
FILES = (".yaml", ".token")


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.+?)```", PAGE, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


class Reader:
    """Somebody who does what the page says, and starts the server again where it says so."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.server = ExitStack()
        self.known: dict[str, str] = {}
        self.said: dict[str, list[str]] = {}

    def follow(self, line: str) -> None:
        program, *words = shlex.split(line)
        if program == "git":
            at = self.machine.home / "data" / words[1].removeprefix("trial/")
            told = subprocess.run(["git", "-C", at, *words[2:]], capture_output=True, text=True, check=True).stdout
        else:
            assert program == ".venv/bin/resedge"
            told = self._start(words) if words[0] == "up" else self._run(line.removeprefix(f"{program} "))
        self.said.setdefault(line.removeprefix(".venv/bin/resedge "), []).append(told)

    def _start(self, words: list[str]) -> str:
        assert words[:3] == ["up", "--data-dir", "trial"]
        self.server.close()
        self.server.enter_context(self.machine.up(*words[3:]))
        context = yaml.safe_load((self.machine.home / ".config/resedge/config.yaml").read_text("utf-8"))
        self.known[AT_HAND] = str(context["contexts"][0]["server"])
        return ""

    def _run(self, line: str) -> str:
        command, _, file = line.partition(" > ")
        words = [self.known.get(word, word) for word in shlex.split(command)]
        there = (self.machine.home / word for word in words)
        words = [
            str(path) if word.endswith(FILES) or (words[0] == "publish" and path.is_dir()) else word
            for word, path in zip(words, there, strict=True)
        ]
        if words[0] == "publish":
            words[1] = Path(words[1]).name
        ran = self.machine.resedge(*words)
        assert ran.code == (ExitCode.REFUSED if line == REFUSED else ExitCode.OK), f"{line}: {ran.err}"
        if file:
            (self.machine.home / file).write_text(ran.out)
        if "--mine" in words:
            self.known["APPROVAL"] = ran.out.splitlines()[1].split()[0]
        if words[:2] == ["get", "holds"]:
            self.known["PLAN-ID"] = ran.out.splitlines()[1].split()[0]
        return ran.out + ran.err


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each command of the page said, in the order in which it was run."""
    machine = Machine(tmp_path_factory.mktemp("scheduled"))
    for name, text in re.findall(r'```yaml title="([^"]+)"\n(.+?)```', PAGE, re.DOTALL):
        (machine.home / name).parent.mkdir(exist_ok=True)
        (machine.home / name).write_text(text)
    reader = Reader(machine)
    with reader.server:
        for line in commands():
            reader.follow(line)
            if line.endswith("why tx-1 pos-api"):
                gates = json.loads(machine.ok("why", "tx-1", "pos-api", "-o", "json"))["gates"]
                (window,) = [gate for gate in gates if gate["gate"] == "window"]
                assert window["opens_at"] == "2026-11-26T04:30:00+00:00"
    return reader.said


def test_stores_change_while_they_are_closed_by_their_own_hours(said: dict[str, list[str]]) -> None:
    at_noon, at_night, _, _ = said["get blocked"]
    (told,) = re.findall(r"```text\n(.+?)\n```", PAGE)

    assert [at_noon.count(cluster) for cluster in ("ny-1", "tx-1", "ut-1")] == [1, 1, 1]
    assert [at_night.count(cluster) for cluster in ("ny-1", "tx-1", "ut-1")] == [0, 0, 1]
    assert told in said["why tx-1 pos-api"][0]


def test_a_freeze_stops_everything_until_each_stores_midnight_and_a_new_store_opens(said: dict[str, list[str]]) -> None:
    _, _, frozen, over = said["get blocked"]

    assert all(
        re.search(rf"^freeze .*black-friday.* {store}$", frozen, re.MULTILINE) for store in ("ny-1", "tx-1", "ut-1")
    )
    assert "ny-1" not in over
    assert "freeze black-friday" in over
    assert "admitted  1.2.0" in said["why tx-2 pos-api"][0]


def test_both_are_overridden_at_one_cluster_and_the_commit_says_by_whose_leave(said: dict[str, list[str]]) -> None:
    (commit,) = said["git -C trial/gitops.git log -1"]

    assert "Update pos-api on 1 cluster" in commit
    assert re.findall(r"^ +Approved-by: (.+)$", commit, re.MULTILINE) == ["mia"]
    assert len(re.findall(r"^ +Override: [0-9a-f]{12}$", commit, re.MULTILINE)) == 2


def test_law_takes_away_warns_refuses_and_the_fuse_holds(said: dict[str, list[str]]) -> None:
    assert "law no-lottery-in-utah takes 1 of 4 placements of lottery, e.g. ut-1" in said["apply -f law.yaml"][0]
    assert "law no-lottery-in-utah takes 1 of 4 placements of lottery, e.g. ut-1" in PAGE
    why = said["why ut-1 lottery"][0]
    assert "admitted  nothing" in why
    assert "no-lottery-in-utah forbids it here (Utah Code 76-10-1102)" in why
    assert "law-forbids" in said[REFUSED][0]
    assert "confirmed" in next(told for line, (told, *_) in said.items() if "--confirm" in line)
