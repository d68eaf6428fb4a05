"""The renderer's model as bytes.

The one rule: a snapshot is disposable; a change of its content, or of the meaning of the fold, is a new VERSION.
"""

from __future__ import annotations

import msgspec

from libs.fleet.snapshots import FLEET_VERSION, dump_fleet, load_fleet
from libs.fleet.state import dump_parts, load_parts
from services.rendering.model import Model
from services.rendering.model.model import PARTS

RENDERING_VERSION = f"rendering-9/{FLEET_VERSION}"


def dump_model(model: Model) -> bytes:
    """Return the bytes that `load_model` needs; call it between decisions."""
    return msgspec.msgpack.encode({"fleet": dump_fleet(model.fleet), "model": dump_parts(model, PARTS)})


def load_model(model: Model, data: bytes) -> None:
    """Load a dump into a new model.

    Raises:
        ValueError: the bytes are not such a dump (also msgspec.DecodeError, KeyError, TypeError).
    """
    read = msgspec.msgpack.decode(data)
    fresh = Model(model.fleet.blob, model.branch, model.timing)
    load_fleet(fresh.fleet, read["fleet"])
    load_parts(fresh, PARTS, read["model"], fresh.fleet.extent)
    model.become(fresh)
