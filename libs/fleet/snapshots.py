"""A fleet as bytes, so that a process starts from where another one was.

The one rule: a snapshot is disposable: whatever cannot be read is folded from the log again.
"""

from __future__ import annotations

import msgspec

from libs.fleet.fleet import Fleet
from libs.fleet.parts import PARTS, Store
from libs.fleet.state import dump_parts, load_parts

VERSION = f"fleet-7/{'-'.join(Store._fields)}"
"""With the fields of a store: what an older process did not keep must be folded from the log again."""


def dump_fleet(fleet: Fleet) -> bytes:
    """Return all that `load_fleet` needs."""
    return msgspec.msgpack.encode({"extent": fleet.extent.size, **dump_parts(fleet, PARTS)})


def load_fleet(fleet: Fleet, data: bytes) -> None:
    """Make a new fleet what the dumped one was.

    Raises:
        ValueError: the bytes are not such a dump (also msgspec.DecodeError, KeyError).
    """
    read = msgspec.msgpack.decode(data)
    fleet.extent.reach(read["extent"])  # all that follows this fleet keeps its extent
    load_parts(fleet, PARTS, read, fleet.extent)
