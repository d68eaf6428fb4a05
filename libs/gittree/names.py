"""Names of entries in a tree: plain names from a short alphabet, as file or as directory, in Git's order.

Only the alphabet is allowed. Escapes that differ between platforms (HFS+ ignorable code points, NTFS short names and
streams, backslashes) need characters that are not in it, so no list of them is needed.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME_BYTES_MAX = 255
_ALPHABET = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_MEANT_FOR_FLUX = frozenset({".sourceignore"})


class NameRefused(ValueError):  # noqa: N818 - it states the fact
    """The name cannot be an entry of a tree that Git and Flux read the same way everywhere."""

    code = "name-refused"


class Mode(Enum):
    """The only two modes that are written: no links, no submodules, nothing executable."""

    FILE = b"100644"
    DIRECTORY = b"40000"


@lru_cache(maxsize=65536)
def validate_name(name: str) -> bytes:
    """Return the entry's name as bytes.

    Raises:
        NameRefused: it is empty, `.`, `..`, longer than 255, has a character outside `A-Za-z0-9._-`, starts with a
            dash, ends with a dot, or is a name to which Git (`.git…`, in any case) or Flux (`.sourceignore`) gives a
            meaning.
    """
    if not name or len(name) > _NAME_BYTES_MAX:
        raise NameRefused(f"the name has {len(name)} characters; it must have 1 to {_NAME_BYTES_MAX}")
    if _ALPHABET.fullmatch(name) is None:
        raise NameRefused(f"{name[:80]!r} may only have letters, digits, '.', '_' and '-', and must not start with '-'")
    if name.endswith("."):
        raise NameRefused(f"{name!r} ends with a dot, which some file systems drop")
    folded = name.lower()
    if folded.startswith(".git") or folded in _MEANT_FOR_FLUX:
        raise NameRefused(f"{name!r} has a meaning for Git or Flux and is never written")
    return name.encode("ascii")


def _order(entry: tuple[bytes, Mode]) -> bytes:
    """Git compares directories as if their names ended with a slash (`base_name_compare`)."""
    name, mode = entry
    return name + b"/" if mode is Mode.DIRECTORY else name


def _sorted(entries: Sequence[tuple[str, Mode]]) -> list[tuple[bytes, Mode, int]]:
    named = [(validate_name(name), mode, position) for position, (name, mode) in enumerate(entries)]
    if len({name for name, _, _ in named}) != len(named):
        raise NameRefused("a tree names an entry twice")
    return sorted(named, key=lambda entry: _order(entry[:2]))


def tree_parts(entries: Sequence[tuple[str, Mode]]) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Return the parts of a tree family with these entries, and which of `entries` each of its columns is.

    `parts[i]` comes before the id of `entries[order[i]]`; the last part is empty.

    Raises:
        NameRefused: a name is not allowed or is listed twice.
    """
    ordered = _sorted(entries)
    parts = [mode.value + b" " + name + b"\0" for name, mode, _ in ordered]
    return (*parts, b""), tuple(position for _, _, position in ordered)


def tree_body(entries: Mapping[str, tuple[Mode, bytes]]) -> bytes:
    """Return the bytes of one tree: `name -> (mode, 20-byte id)`, in any order.

    Raises:
        NameRefused: a name is not allowed.
        ValueError: an id does not have 20 bytes.
    """
    values = list(entries.values())
    if any(len(identity) != 20 for _, identity in values):
        raise ValueError("an object id has 20 bytes")
    parts, order = tree_parts([(name, mode) for name, (mode, _) in entries.items()])
    return b"".join(part + values[position][1] for part, position in zip(parts, order, strict=False))
