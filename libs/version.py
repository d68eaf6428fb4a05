"""The version of the whole program, defined here only: `pyproject.toml` reads it from here.

It is a module, not package metadata, because images and clones run the code without installing it.
"""

from __future__ import annotations

import re

VERSION = "0.1.0"
VERSION_HEADER = "Resedge-Version"
"""In every answer: the version of the process that gave it."""
_MAJOR_MINOR = re.compile(r"(\d{1,9})\.(\d{1,9})(?:[.+-][0-9A-Za-z.+-]{0,60})?", re.ASCII)


def understand(client: str, server: str) -> bool:
    """Tell whether a client can rely on a server, by the rules of Semantic Versioning.

    The major versions are the same, and before 1.0.0 the minor ones too; from then on the server may be newer. What is
    no version is taken to fit: it is nothing that a person could be told.
    """
    ours, theirs = _numbers(client), _numbers(server)
    if ours is None or theirs is None:
        return True
    return ours[0] == theirs[0] and (ours[1] <= theirs[1] if ours[0] else ours[1] == theirs[1])


def _numbers(version: str) -> tuple[int, int] | None:
    found = _MAJOR_MINOR.fullmatch(version)
    return (int(found[1]), int(found[2])) if found else None
