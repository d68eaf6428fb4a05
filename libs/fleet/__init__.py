"""The fleet in memory: what services fold from events to decide and to render."""

from libs.fleet.bitmaps import bitmap, held, ordinals, packed, unpacked
from libs.fleet.blobs import Blobs
from libs.fleet.columns import Codes, Column
from libs.fleet.distinct import compact, distinct_rows
from libs.fleet.facts import UNLIMITED, Fact, Store, Touched, parsed
from libs.fleet.fleet import Fleet
from libs.fleet.layers import Combination, Layers, compiled_schema, rank
from libs.fleet.model import FleetModel

__all__ = [
    "UNLIMITED",
    "Blobs",
    "Codes",
    "Column",
    "Combination",
    "Fact",
    "Fleet",
    "FleetModel",
    "Layers",
    "Store",
    "Touched",
    "bitmap",
    "compact",
    "compiled_schema",
    "distinct_rows",
    "held",
    "ordinals",
    "packed",
    "parsed",
    "rank",
    "unpacked",
]
