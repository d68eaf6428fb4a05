"""A fleet as bytes, so that a process starts from the state of another one.

A snapshot is disposable: if it cannot be read, the fleet is folded from the log again.
"""

from __future__ import annotations

import msgspec

from libs.fleet.fleet import Fleet
from libs.fleet.parts import PARTS, Store
from libs.fleet.state import dump_parts, load_parts

FLEET_VERSION = f"fleet-8/{'-'.join(Store._fields)}"
"""Includes the fields of a store: fields that an older process did not keep must be folded from the log again."""


def dump_fleet(fleet: Fleet) -> bytes:
    """Return the bytes that `load_fleet` needs."""
    return msgspec.msgpack.encode({"extent": fleet.extent.size, **dump_parts(fleet, PARTS)})


def load_fleet(fleet: Fleet, data: bytes) -> None:
    """Load a dump into a new fleet.

    Raises:
        ValueError: the bytes are not such a dump (also msgspec.DecodeError, KeyError).
    """
    read = msgspec.msgpack.decode(data)
    fleet.extent.reach(read["extent"])  # everything that follows this fleet refers to its extent
    load_parts(fleet, PARTS, read, fleet.extent)
