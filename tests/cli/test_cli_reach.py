"""Reach before effect: what a change says that it reaches, when a person is asked, and that no script is."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli.cli_machine import ROOT, Machine
from tests.cli.cli_server import Answer, FakeServer
from tests.cli.conftest import Resedge
from tests.support.children import child

STORES = 12
FLEET = (
    "".join(
        f"kind: Store\nmetadata: {{name: s-{n:02}, labels: {{size: {'large' if n < 3 else 'small'}}}}}\n"
        "spec: {timezone: America/Chicago}\n---\n"
        for n in range(STORES)
    )
    + "kind: Namespace\nmetadata: {name: menu}\nspec: {expression: /c/*}\n---\n"
    + "kind: Application\nmetadata: {name: boards}\nspec: {namespace: menu}\n"
)
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: menu}\ndata: {version: 'one'}\n"
REACH = {
    "clusters": 400,
    "fleet": 400,
    "releases_count": 1,
    "releases": [
        {
            "application": "menu-boards",
            "version": "9.2.0",
            "clusters": 400,
            "before": [{"version": "9.2.0", "clusters": 30}, {"version": "9.1.0", "clusters": 370}],
        }
    ],
}
SENTENCE = "menu-boards: 9.2.0 on 400 clusters (30 had 9.2.0, 370 had 9.1.0)\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("reach"))
    with machine.up():
        machine.ok("apply", "-f", "-", stdin=FLEET)
        for version in ("1.0.0", "1.1.0"):
            (machine.home / "menu.yaml").write_text(MANIFEST.replace("one", version))
            machine.ok("publish", "boards", version, str(machine.home / "menu.yaml"))
        yield machine


def in_a_terminal(machine: Machine, typed: str, *arguments: str) -> tuple[int, str]:
    """Run the command on a pty, type a line, and return its code and what the screen showed."""
    main, side = pty.openpty()
    command = [sys.executable, "-m", "cli", *arguments]
    try:
        with child(command, cwd=ROOT, env=machine.environment, stdin=side, stdout=side, stderr=side) as running:
            os.close(side)
            os.write(main, typed.encode())
            shown = b""
            try:
                while part := os.read(main, 4096):
                    shown += part
            except OSError:  # Linux answers EIO when the other side is closed
                pass
            return running.wait(timeout=60), shown.decode()
    finally:
        os.close(main)


def chosen(machine: Machine) -> list[list[str]]:
    return [line.split() for line in machine.ok("get", "release-choices", "boards").splitlines()[1:]]


def test_every_change_says_how_many_and_what_was_there_before(fleet: Machine) -> None:
    first = fleet.resedge("set-release", "boards", "1.0.0")
    pilot = fleet.resedge("set-release", "boards", "1.1.0", "-l", "size = large")
    tried = fleet.resedge("set-release", "boards", "1.1.0", "--dry-run")
    again = fleet.resedge("set-release", "boards", "1.1.0", "-l", "size = large")
    labelled = fleet.resedge("label", "stores", "-l", "/c/s-03", "size=large")
    back = fleet.resedge("label", "stores", "-l", "/c/s-03", "size=small")
    unset = fleet.resedge("unset-release", "boards", "-l", "size = large")

    assert first.err == "boards: 1.0.0 on 12 clusters (12 had none)\n"
    assert pilot.err == "boards: 1.1.0 on 3 clusters (3 had 1.0.0)\n"
    assert tried.err == "boards: 1.1.0 on 12 clusters (9 had 1.0.0, 3 had 1.1.0)\n"
    assert again.err == ""
    assert labelled.err == "boards: 1.1.0 on 4 clusters (1 had 1.0.0, 3 had 1.1.0)\n"
    assert back.err == "boards: 1.0.0 on 9 clusters (8 had 1.0.0, 1 had 1.1.0)\n"
    assert unset.err == "boards: 1.0.0 on 12 clusters (9 had 1.0.0, 3 had 1.1.0)\n"


def test_what_is_not_chosen_cannot_be_unset(fleet: Machine) -> None:
    ran = fleet.resedge("unset-release", "boards", "-l", "size = enormous")

    assert (ran.code, ran.out) == (5, "")
    assert "size = enormous" in ran.err


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 2)])
def test_a_terminal_is_asked_above_a_share(fleet: Machine, typed: str, code: int) -> None:
    fleet.ok("set-release", "boards", "1.0.0")

    ended, shown = in_a_terminal(fleet, typed, "set-release", "boards", "1.1.0")

    assert ended == code, shown
    assert "boards: 1.1.0 on 12 clusters (12 had 1.0.0)" in shown
    assert "reaches 12 of 12 clusters; continue? [y/N]" in shown
    assert chosen(fleet) == [["1", "1.1.0" if code == 0 else "1.0.0", "/c/*"]]


def test_a_terminal_is_not_asked_about_little_or_with_yes(fleet: Machine) -> None:
    fleet.ok("set-release", "boards", "1.0.0")

    assert "continue?" not in in_a_terminal(fleet, "", "set-release", "boards", "1.1.0", "-l", "/c/s-01")[1]
    ended, shown = in_a_terminal(fleet, "", "set-release", "boards", "1.1.0", "--yes")
    assert (ended, "continue?" in shown) == (0, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["set-release", "menu-boards", "9.2.0"],
        ["unset-release", "menu-boards", "-l", "size = large"],
        ["label", "stores", "-l", "/c/*", "a=b"],
        ["delete", "application", "menu-boards", "--yes"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_script_is_told_and_never_asked(resedge: Resedge, server: FakeServer, arguments: list[str]) -> None:
    for method in ("POST", "DELETE"):
        server.on(method, "/v1/.*", Answer(200, {"result": "configured", "position": 3, "reach": REACH}))

    ran = resedge(*arguments)

    assert (ran.code, ran.err) == (0, SENTENCE)
    assert [asked.query for asked in server.asked] == [{"reach": "true"}]


NEEDS = MANIFEST.replace("one", "${edge.config.never}")
SOME = MANIFEST.replace("one", "${edge.labels.pilot}")


def test_waiting_says_how_many_are_admitted_waiting_and_refused(fleet: Machine) -> None:
    for version, manifest in (("2.0.0", NEEDS), ("2.1.0", SOME)):
        (fleet.home / "menu.yaml").write_text(manifest)
        fleet.ok("publish", "boards", version, str(fleet.home / "menu.yaml"))
    fleet.ok("label", "stores", "-l", "size = large", "pilot=yes")

    fine = fleet.resedge("set-release", "boards", "1.0.0", "--wait")
    some = fleet.resedge("set-release", "boards", "2.1.0", "--wait")
    none = fleet.resedge("set-release", "boards", "2.0.0", "--wait")
    waited = fleet.resedge("wait", "--for=rendered")
    named = fleet.resedge("wait", "--for=rendered", "--application", "boards")
    fleet.ok("label", "stores", "-l", "/c/s-00", "other=yes")
    later = fleet.resedge("wait", "--for=rendered")
    freeze = (
        "kind: Freeze\nmetadata: {name: stop}\n"
        "spec: {from: '2020-01-01T00:00:00Z', until: '2099-01-01T00:00:00Z', reason: x, owner: ops}\n"
    )
    frozen = fleet.resedge("apply", "-f", "-", stdin=freeze)
    waiting = fleet.resedge("set-release", "boards", "1.1.0", "--wait")
    fleet.ok("delete", "freeze", "stop", "--yes")
    fleet.ok("wait", "--for=rendered")

    assert (fine.code, fine.err.splitlines()[-1]) == (0, "12 admitted, 0 waiting, 0 refused")
    assert (some.code, some.err.splitlines()[-1]) == (0, "3 admitted, 0 waiting, 9 refused")
    assert none.code == waited.code == named.code == 3
    for each in (none, waited, named):
        assert "0 admitted, 0 waiting, 12 refused\n" in each.err
        assert "boards: refused on every cluster" in each.err
    assert (later.code, later.err) == (0, "0 admitted, 0 waiting, 12 refused\n")
    assert frozen.code == 0, frozen.err
    assert waiting.code == 0
    assert "0 admitted, 12 waiting (freeze stop: 12, opens 2099-01-01T00:00:00+00:00), 0 refused" in waiting.err


def position(machine: Machine) -> int:
    """The position of the last thing that a person declared."""
    events = [json.loads(line) for line in machine.ok("log", "--tail", "60", "-o", "jsonl").splitlines()]
    kinds = ("store-", "choices-", "application-", "group-", "namespace-")
    return max(int(each["position"]) for each in events if each["stream"].startswith(kinds))


def exported(machine: Machine) -> str:
    return machine.ok("export") + machine.ok("get", "release-choices", "boards", "-o", "json")


GROUP = "kind: Group\nmetadata: {{path: /geo/us}}\nspec: {{expression: {}}}\n"
CHANGES: list[tuple[list[str], str]] = [
    (["set-release", "boards", "1.1.0"], ""),
    (["set-release", "boards", "1.1.0", "-l", "size = large"], ""),
    (["label", "stores", "-l", "size = small", "tier=b"], ""),
    (["apply", "-f", "-"], GROUP.format("size = small")),
    (["apply", "-f", "-"], GROUP.format("size = large") + "---\n" + FLEET.replace("small", "tiny")),
    (["delete", "store", "s-11", "--yes"], ""),
    (["delete", "application", "boards", "--yes"], ""),
]


@pytest.mark.parametrize(("arguments", "stdin"), CHANGES, ids=lambda each: " ".join(each[:2]) if each else "")
def test_every_kind_of_change_is_undone(fleet: Machine, arguments: list[str], stdin: str) -> None:
    fleet.ok("set-release", "boards", "1.0.0")
    before = exported(fleet)
    fleet.ok(*arguments, stdin=stdin)
    changed = exported(fleet) if arguments[:2] != ["delete", "application"] else ""
    assert changed != before
    at = str(position(fleet))

    tried = fleet.resedge("undo", at, "--dry-run")
    undone = fleet.resedge("undo", at)
    again = fleet.resedge("undo", at)

    assert undone.code == 0, undone.err
    assert exported(fleet) == before
    assert again.code == 3
    assert "was changed again after position" in again.err
    assert tried.code == 0 or arguments[:2] == ["delete", "application"], tried.err


def test_what_was_touched_since_is_not_undone(fleet: Machine) -> None:
    fleet.ok("set-release", "boards", "1.1.0")
    first = position(fleet)
    fleet.ok("set-release", "boards", "1.0.0")
    second = position(fleet)
    before = exported(fleet)

    ran = fleet.resedge("undo", str(first))

    assert (ran.code, ran.out) == (3, "")
    assert f"position {second} by" in ran.err
    assert f"resedge undo {second}" in ran.err
    assert exported(fleet) == before


def test_the_history_of_release_choices_names_the_position_to_undo(fleet: Machine) -> None:
    fleet.ok("set-release", "boards", "1.1.0")
    fleet.ok("set-release", "boards", "1.0.0")

    newest, earlier = fleet.ok("get", "release-choices", "boards", "--history", "--limit", "2").splitlines()[1:]

    assert newest.split()[0] == str(position(fleet))
    assert ("1.0.0" in newest, "1.1.0" in earlier) == (True, True)
    assert fleet.resedge("get", "stores", "--history").code == 2


def test_what_is_no_change_of_declared_things_is_not_undone(fleet: Machine) -> None:
    fleet.ok("wait", "--for=rendered")
    events = [json.loads(line) for line in fleet.ok("log", "--all", "-o", "jsonl").splitlines()]
    admitted = next(each["position"] for each in events if each["type"].endswith("AdmissionDecided.v1"))

    assert fleet.resedge("undo", str(admitted)).code == 3
    assert fleet.resedge("undo", str(events[-1]["position"] + 1_000)).code == 5
    assert fleet.resedge("undo", "0").code == 2


def test_a_release_is_seen_before_it_is_chosen(fleet: Machine) -> None:
    (fleet.home / "menu.yaml").write_text(MANIFEST.replace("one", "${edge.store.name} ${edge.labels.early}"))
    fleet.ok("publish", "boards", "3.0.0", str(fleet.home / "menu.yaml"))
    fleet.ok("label", "stores", "-l", "/c/s-00 or /c/s-01", "early=on")
    fleet.ok("set-release", "boards", "1.0.0", "--wait")

    shown = fleet.ok("render", "boards", "3.0.0", "--cluster", "s-00")
    refused = fleet.resedge("render", "boards", "3.0.0", "--cluster", "s-05")
    differing = fleet.resedge("diff", "--release", "boards@3.0.0")
    same = fleet.resedge("diff", "--release", "boards@1.0.0", "-l", "size = large")
    fleet.ok("set-release", "boards", "3.0.0", "-l", "/c/s-00", "--wait")
    committed = ["git", f"--git-dir={fleet.home / 'data/gitops.git'}", "grep", "-h", "version: .*s-00", "main"]

    assert "version: 's-00 on'" in shown or 'version: "s-00 on"' in shown or "version: s-00 on" in shown
    written = subprocess.run(committed, capture_output=True, text=True, check=True).stdout
    assert written.strip() in shown
    assert (refused.code, refused.out) == (3, "")
    assert "early" in refused.err
    assert differing.code == 1
    assert differing.out.splitlines()[:2] == [
        "boards 3.0.0: 2 changed, 0 unchanged, 10 refused of 12 clusters",
        "  2 clusters had 1.0.0",
    ]
    assert (same.code, same.out) == (0, "boards 1.0.0: 0 changed, 3 unchanged, 0 refused of 3 clusters\n")
    assert fleet.resedge("render", "boards", "9.9.9", "--cluster", "s-00").code == 5
    assert fleet.resedge("render", "boards", "1.0.0", "--cluster", "nowhere").code == 5
    assert fleet.resedge("diff", "--release", "boards").code == 2
    assert fleet.resedge("diff").code == 2
