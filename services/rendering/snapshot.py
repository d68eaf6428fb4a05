"""The renderer's model as bytes.

The one rule: a snapshot is disposable; a change of what is kept here, or of what the fold means, is a new VERSION.
"""

from __future__ import annotations

import msgspec

from libs.fleet.snapshots import VERSION as FLEET_VERSION
from libs.fleet.snapshots import dump_fleet, load_fleet
from libs.fleet.state import dump_parts, load_parts
from libs.gates import Gates
from services.rendering.model import PARTS, Model
from services.rendering.target.inputs import Inputs
from services.rendering.target.placements import PARTS as PLACEMENTS
from services.rendering.target.placements import Placements
from services.rendering.writing.trees import PARTS as TREES
from services.rendering.writing.trees import Trees

VERSION = f"rendering-7/{FLEET_VERSION}"


def dump_model(model: Model) -> bytes:
    """Return all that `load_model` needs; call it between decisions."""
    return msgspec.msgpack.encode(
        {
            "fleet": dump_fleet(model.fleet),
            "model": dump_parts(model, PARTS),
            "placements": dump_parts(model.placements, PLACEMENTS),
            "trees": dump_parts(model.trees, TREES),
        }
    )


def load_model(model: Model, data: bytes) -> None:
    """Make a new model what the dumped one was.

    Raises:
        ValueError: the bytes are not such a dump (also msgspec.DecodeError, KeyError, TypeError).
    """
    read = msgspec.msgpack.decode(data)
    fresh = Model(model.fleet.blob, model.branch, model.timing)
    load_fleet(fresh.fleet, read["fleet"])
    extent = fresh.fleet.extent
    fresh.inputs, fresh.gates = Inputs(fresh.fleet), Gates(fresh.fleet)
    fresh.placements, fresh.trees = Placements(extent), Trees(extent)
    load_parts(fresh, PARTS, read["model"], extent)
    load_parts(fresh.placements, PLACEMENTS, read["placements"], extent)
    load_parts(fresh.trees, TREES, read["trees"], extent)
    fresh.trees.register(fresh.trees.registered, fresh.fleet.selection.name)
    model.become(fresh)
