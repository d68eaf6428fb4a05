"""A machine with the command on it and, where a test asks for it, the real server in a process of its own."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from cli.__main__ import main
from tests.cli.cli_server import Ran, clean_environment
from tests.support.children import program
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SAYS = "resedge is up at"
UP_SECONDS_MAX = 120.0  # bounds a start on a busy machine


class Machine:
    """A home directory, and the command run in processes of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = clean_environment(str(home))

    def resedge(self, *arguments: str, stdin: str = "") -> Ran:
        """Run the command in this process, which saves the start of a hundred others."""
        out, err = io.StringIO(), io.StringIO()
        typed = io.TextIOWrapper(io.BytesIO(stdin.encode()))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for key in set(os.environ) - set(self.environment):
                patch.delenv(key)
            for key, value in self.environment.items():
                patch.setenv(key, value)
            patch.setenv("HOME", str(self.home))
            patch.setattr(sys, "stdin", typed)
            code = main(arguments)
        return Ran(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, stdin: str = "") -> str:
        ran = self.resedge(*arguments, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran.out

    def process(self, *arguments: str, **environment: str) -> Ran:
        """Run the command in a process of its own."""
        command = [sys.executable, "-m", "cli", *arguments]
        env = {**self.environment, **environment}
        ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    @contextmanager
    def up(self, *options: str) -> Iterator[None]:
        """Serve this home's data directory until the block ends, which must be clean; `up.log` has what it says."""
        arguments = ["up", "--data-dir", str(self.home / "data"), "--port", "0", *options]
        log = self.home / "up.log"
        context = self.home / ".config/resedge/config.yaml"
        log.write_bytes(b"")
        with program("cli", *arguments, environment=self.environment, out=log) as server:
            try:

                def serves() -> bool:
                    assert server.poll() is None, log.read_text()
                    return SAYS in log.read_text() and context.exists() and self.resedge("get", "stores").code == 0

                until(serves, UP_SECONDS_MAX)
                yield
            finally:
                server.send_signal(signal.SIGTERM)
                assert server.wait(timeout=60) == 0
