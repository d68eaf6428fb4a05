"""The fleet in memory: what services fold from events to decide and to render."""

from libs.fleet.bitmaps import bitmap, is_member, ordinals, packed, unpacked
from libs.fleet.blobs import Blobs
from libs.fleet.columns import Codes, Extent, FleetColumn
from libs.fleet.distinct import compact, distinct, distinct_rows
from libs.fleet.effects import Effect, effect_of, fixed
from libs.fleet.fleet import Fleet
from libs.fleet.layers import Combination, Layers, compiled_schema, rank
from libs.fleet.model import FleetModel
from libs.fleet.parts import UNLIMITED, Fact, Store, Touched, parsed
from libs.fleet.policy import (
    Approval,
    Forbidding,
    Override,
    Policy,
    Withheld,
    change_of,
    content_digest,
    in_force,
    kept_key,
    name_of,
)
from libs.fleet.runs import within_bounds

__all__ = [
    "UNLIMITED",
    "Approval",
    "Blobs",
    "Codes",
    "Combination",
    "Effect",
    "Extent",
    "Fact",
    "Fleet",
    "FleetColumn",
    "FleetModel",
    "Forbidding",
    "Layers",
    "Override",
    "Policy",
    "Store",
    "Touched",
    "Withheld",
    "bitmap",
    "change_of",
    "compact",
    "compiled_schema",
    "content_digest",
    "distinct",
    "distinct_rows",
    "effect_of",
    "fixed",
    "in_force",
    "is_member",
    "kept_key",
    "name_of",
    "ordinals",
    "packed",
    "parsed",
    "rank",
    "unpacked",
    "within_bounds",
]
