"""Whenever the demo is interrupted, its server ends cleanly; from when it says how to end it, that is a success."""

import contextlib
import io
import signal
from pathlib import Path

import pytest

from cli.demo import run_demo
from cli.errors import ExitCode

STORES = 5


class Interrupting(io.StringIO):
    """A terminal at which somebody interrupts as soon as some words appear, and again when the ending is told."""

    def __init__(self, words: str, number: signal.Signals) -> None:
        super().__init__()
        self.words, self.number, self.interrupts = words, number, 0

    def write(self, text: str) -> int:
        written = super().write(text)
        if (not self.interrupts and self.words in text) or "ending the" in text:
            self.interrupts += 1
            signal.raise_signal(self.number)
        return written


@pytest.mark.parametrize(
    ("words", "number", "code", "interrupts"),
    [
        ("start the server", signal.SIGTERM, ExitCode.INTERRUPTED, 1),
        ("relabel", signal.SIGINT, ExitCode.INTERRUPTED, 1),
        ("Ctrl-C ends it", signal.SIGINT, ExitCode.OK, 2),
        ("Ctrl-C ends it", signal.SIGTERM, ExitCode.OK, 2),
    ],
)
def test_an_interrupt_ends_the_demo_and_its_server(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    number: signal.Signals,
    code: ExitCode,
    interrupts: int,
) -> None:
    for name in ("config", "state"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    terminal = Interrupting(words, number)

    with contextlib.redirect_stdout(terminal):
        ended = run_demo(STORES, serve=True, data_dir=tmp_path / "data", port=0)

    assert (ended, terminal.interrupts) == (code, interrupts), terminal.getvalue()
    assert {each: signal.getsignal(each) for each in before} == before
    log = tmp_path / "data" / "server.log"
    assert not log.exists() or "stopped" in log.read_text(encoding="utf-8")
