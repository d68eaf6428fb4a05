"""How git itself is run: no configuration but the repository's, no prompts, and only the transports that we push over.

The one rule: nothing of the account that runs us (its gitconfig, its hooks, its templates) changes what git does here.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "NO_PROXY",
)
_FIXED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_ASKPASS": "",
    "LC_ALL": "C",
}


class GitFailed(RuntimeError):  # noqa: N818 - it states the fact
    """A git command failed; the message is its output."""

    code = "git-failed"


def git_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for git: the variables that it needs, and none that configures it."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | _FIXED | dict(extra or {})


def command(path: Path, *arguments: str) -> list[str]:
    """Return the argument list of a git command in the bare repository at `path`."""
    options = ("safe.directory=*", "core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false")
    settings = [piece for option in options for piece in ("-c", option)]
    return ["git", *settings, f"--git-dir={path}", *arguments]


def run_git(
    arguments: Sequence[str], *, timeout_seconds: float = 600, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end and return its output.

    Raises:
        GitFailed: it failed (with `check`), or took longer than `timeout_seconds`.
    """
    try:
        result = subprocess.run(
            arguments,
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git did not end within {timeout_seconds:g} s") from error
    if check and result.returncode != 0:
        raise GitFailed(result.stderr.decode(errors="replace").strip()[:2000] or f"git ended with {result.returncode}")
    return result
