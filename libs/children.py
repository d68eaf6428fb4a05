"""Starts child processes of ours: with the same interpreter, on the same import path.

The one rule: the working directory is never on that path: a `cli.py` or a folder `libs` there would run instead of
ours.
"""

from __future__ import annotations

import os
import sys


def python(*arguments: str) -> list[str]:
    """Return the command line that runs this process's interpreter; `-P` keeps the working directory off its path."""
    return [sys.executable, "-P", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment and `more`, with the import path that this process has."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **more}
