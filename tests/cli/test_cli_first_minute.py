"""What a new user types first: nothing, `--help`, a tab, half a command. Each is answered by a sentence.

The commands are read from the command itself, so that a new one is tried here without being named.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.__main__ import main
from cli.app import VERBS, root
from cli.usage import GLOBAL_OPTIONS
from tests.cli.cli_server import Ran, clean_environment
from tests.cli.conftest import Resedge
from tests.support.children import child
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")
# These serve until a signal: each runs in a process of its own, which is interrupted.
SERVES = {"up", "demo"}
STARTED_SECONDS_MAX = 60


def tree(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    if isinstance(command, TyperGroup):
        for name in command.list_commands(None):  # type: ignore[arg-type]  # no context is needed
            yield from tree(command.get_command(None, name), (*path, name))  # type: ignore[arg-type]  # the same


PATHS = dict(tree(get_command(root)))
EVERY = pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(("resedge", *path)))


@pytest.fixture
def typed(
    resedge: Resedge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ran]:
    """Run the command, which may leave as completion does, in an empty directory."""
    assert callable(resedge)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: str, **environment: str) -> Ran:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as left:
                code = int(left.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


def words_for(shell: str, line: str) -> dict[str, str]:
    """Return what the shell's own script tells when a tab is pressed at the end of the line."""
    asked = {"_RESEDGE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    words = line.split()
    cword = len(words) if line.endswith(" ") else len(words) - 1
    return asked | {"COMP_WORDS": line, "COMP_CWORD": str(cword), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}


def test_the_tree_has_every_verb_and_what_is_below_it() -> None:
    assert {path[0] for path in PATHS if path} == set(VERBS)
    assert any(len(path) == 2 for path in PATHS)


@EVERY
def test_every_command_and_group_answers_bare_with_what_it_takes(
    typed: Callable[..., Ran], path: tuple[str, ...]
) -> None:
    if SERVES & set(path):
        return  # below: these do not end by themselves
    ran = typed(*path)

    assert "Traceback" not in ran.out + ran.err
    assert ran.code in range(9)
    if ran.code:
        assert ran.err.startswith(("error: ", "Usage: "))
    if PATHS[path].params and any(param.required for param in PATHS[path].params):
        assert ran.code == 2
        assert f"resedge {' '.join(path)} " in ran.err  # the line to type
    if isinstance(PATHS[path], TyperGroup) and not PATHS[path].invoke_without_command:
        assert ran.code == 2
        assert all(name in ran.err for name in PATHS[path].list_commands(None))


@EVERY
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_and_group_has_help(typed: Callable[..., Ran], path: tuple[str, ...], option: str) -> None:
    ran = typed(*path, option)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(" ".join(("Usage: resedge", *path)))


COMPLETED = [("bash", path) for path in PATHS] + [(shell, path) for shell in SHELLS[1:] for path in ((), ("auth",))]


# What is offered is the same in every shell; only how it is written differs.
@pytest.mark.parametrize(("shell", "path"), COMPLETED, ids=lambda value: value if isinstance(value, str) else None)
def test_every_command_and_group_is_completed(typed: Callable[..., Ran], shell: str, path: tuple[str, ...]) -> None:
    command, line = PATHS[path], " ".join(("resedge", *path))
    options = typed(**words_for(shell, f"{line} -"))
    below = typed(**words_for(shell, f"{line} "))

    assert (options.code, options.err, below.code, below.err) == (0, "", 0, "")
    assert all(name in options.out for param in command.params for name in param.opts if name.startswith("--"))
    if isinstance(command, TyperGroup):
        assert all(name in below.out for name in command.list_commands(None))  # type: ignore[arg-type]  # no context is needed


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "line", ["resedge nope ", "resedge auth nope ", "resedge get --limit x ", "resedge get -o nope ", "resedge get 'a"]
)
def test_a_line_that_is_wrong_completes_to_nothing(typed: Callable[..., Ran], shell: str, line: str) -> None:
    ran = typed(**words_for(shell, line))

    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_tells_no_line_gets_the_verbs(typed: Callable[..., Ran], shell: str) -> None:
    ran = typed(_RESEDGE_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_FISH_ACTION="get-args")

    assert (ran.code, ran.err) == (0, "")
    assert all(verb in ran.out for verb in VERBS)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_for_a_shell_is_shown(typed: Callable[..., Ran], shell: str) -> None:
    by_variable = typed(_RESEDGE_COMPLETE=f"source_{shell}")
    script = by_variable.out

    assert (by_variable.code, by_variable.err) == (0, "")
    assert f"_RESEDGE_COMPLETE=complete_{shell}" in script
    assert typed(_RESEDGE_COMPLETE="nonsense").code == 1


def process(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    env = {**clean_environment(str(home)), **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_a_process_without_arguments_shows_the_help(tmp_path: Path) -> None:
    bare, helped = process(tmp_path), process(tmp_path, "--help")

    assert (bare.returncode, bare.stdout) == (2, "")
    assert bare.stderr.strip() == helped.stdout.strip()
    assert all(verb in bare.stderr for verb in VERBS)


def test_bash_completes_with_the_script_that_is_shown(tmp_path: Path) -> None:
    """Bash itself loads the script and calls the function that a tab calls."""
    launcher = tmp_path / "resedge"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    launcher.chmod(0o755)
    typing = (
        'eval "$(resedge --show-completion)"; COMP_WORDS=(resedge dead); COMP_CWORD=1;'
        " _resedge_completion resedge; echo ${COMPREPLY[*]}"
    )
    env = {**clean_environment(str(tmp_path)), "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        ["bash", "-c", typing], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )

    assert (ran.stdout, ran.stderr) == ("dead-letters\n", "")


def running() -> Iterator[bytes]:
    """Yield the command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes()


@pytest.mark.parametrize("verb", sorted(SERVES))
def test_what_serves_ends_at_an_interrupt_as_soon_as_it_has_said_something(tmp_path: Path, verb: str) -> None:
    said = tmp_path / "said"
    env = {**clean_environment(str(tmp_path)), "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "cli", verb, "--port", "0"]  # the usual port may be somebody else's
    with said.open("wb") as file, child(command, cwd=tmp_path, env=env, stdout=file, stderr=file) as served:
        until(lambda: said.read_text() or served.poll() is not None, STARTED_SECONDS_MAX, "it says something")
        served.send_signal(signal.SIGINT)
        code = served.wait(timeout=STARTED_SECONDS_MAX)
    text = said.read_text()
    assert "Traceback" not in text
    assert code in (0, 130), text
    assert not any(str(tmp_path).encode() in line for line in running()), "it left a server behind"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gett",), "did you mean: get"),
        (("get", "storse"), "did you mean: store, stores"),
        (("get", "stores", "--limt", "3"), "did you mean: --limit"),
        (("get", "stores", "--output", "tabel"), "did you mean: table"),
        (("auth", "whoamy"), "use one of whoami, can-i, issue"),
        (("apply", "-f"), "see `resedge apply --help`"),
        (("--server",), "see `resedge --help`"),
        (("apply", "stores.yaml"), "resedge apply -f FILE|DIR|-"),
        (("get",), "Kinds: stores, groups, "),
    ],
)
def test_half_a_command_or_a_typo_is_told_what_was_meant(
    resedge: Resedge, arguments: tuple[str, ...], told: str
) -> None:
    ran = resedge(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert all(ran.err.count(name) <= 1 for name in GLOBAL_OPTIONS)
