"""The renderer's model as bytes.

The one rule: a snapshot is disposable; a change of what is kept here, or of what the fold means, is a new VERSION.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

import msgspec
from pyroaring import BitMap

from libs.contracts import decode, encode, type_name
from libs.fleet import Codes
from libs.fleet.snapshots import VERSION as FLEET_VERSION
from libs.fleet.snapshots import column_of, dump_fleet, load_fleet, plain_bitmap, plain_column
from services.rendering.domain import BranchState
from services.rendering.inputs import Inputs
from services.rendering.message import Kind
from services.rendering.model import Decision, Model
from services.rendering.observing import Cause, Causes
from services.rendering.placements import Admission, Placement, Placements, RefusalKey, split_key
from services.rendering.trees import NamespaceTree, Trees

VERSION = f"rendering-5/{FLEET_VERSION}"
_SCALARS = (
    "epoch", "hash", "position", "branch_version", "clusters_tree", "written_tree",
    "parent", "must_commit", "applied", "applied_position",
)  # fmt: skip


def dump_model(model: Model) -> bytes:
    """Return all that `load_model` needs; call it between decisions."""
    return msgspec.msgpack.encode(
        {
            "fleet": dump_fleet(model.fleet),
            "scalars": {name: getattr(model, name) for name in _SCALARS},
            "state": [model.state.held, sorted(model.state.confirmed), model.state.foreign],
            "confirmed": {
                plan: {key: plain_bitmap(clusters) for key, clusters in left.items()}
                for plan, left in model.confirmed.items()
            },
            "at": model.at.isoformat(),
            "behind": {key: sorted(people) for key, people in model.behind.items()},
            "held": None if model.held is None else _event(model.held),
            "removals": [(at.isoformat(), count) for at, count in model.removals],
            "decision": [[_event(each) for each in model.decision.parts], model.decision.position],
            "reasons": _plain_reasons(model),
            "placements": _plain_placements(model.placements),
            "trees": _plain_trees(model.trees),
        }
    )


def load_model(model: Model, data: bytes) -> None:
    """Make a new model what the dumped one was.

    Raises:
        ValueError: the bytes are not such a dump (also msgspec.DecodeError, KeyError, TypeError).
    """
    read = msgspec.msgpack.decode(data)
    fresh = Model(model.fleet.blob, model.branch)
    load_fleet(fresh.fleet, read["fleet"])
    fresh.inputs = Inputs(fresh.fleet)
    for name, value in read["scalars"].items():
        setattr(fresh, name, value)
    held, confirmed, foreign = read["state"]
    fresh.state = BranchState(held, frozenset(confirmed), foreign)
    fresh.confirmed = {
        plan: {key: BitMap.deserialize(clusters) for key, clusters in left.items()}
        for plan, left in read["confirmed"].items()
    }
    fresh.behind = {key: set(people) for key, people in read["behind"].items()}
    fresh.at = datetime.fromisoformat(read["at"])
    fresh.held = None if read["held"] is None else decode(*read["held"])
    fresh.removals = deque((datetime.fromisoformat(at), count) for at, count in read["removals"])
    parts, position = read["decision"]
    fresh.decision = Decision([decode(*each) for each in parts], position)
    _load_reasons(fresh, read["reasons"])
    fresh.placements = _placements(read["placements"])
    fresh.trees = _trees(read["trees"], fresh)
    model.become(fresh)


def _event(event: Any) -> tuple[str, bytes]:
    return type_name(event), encode(event)


def _plain_reasons(model: Model) -> dict[str, Any]:
    kinds = {name: (kind.count, kind.first, kind.last, kind.streams) for name, kind in model.reasons.kinds.items()}
    causes = [(each.id, each.traceparent, each.position) for each in model.reasons.causes]
    said = {"kinds": kinds, "actors": list(model.reasons.actors), "position": model.reasons.position}
    said["fresh"] = sorted(model.reasons.fresh)
    return {**said, "causes": causes}


def _load_reasons(model: Model, plain: dict[str, Any]) -> None:
    model.reasons.kinds = {name: Kind(*each) for name, each in plain["kinds"].items()}
    model.reasons.actors = dict.fromkeys(plain["actors"])
    model.reasons.position = plain["position"]
    model.reasons.fresh = set(plain["fresh"])
    model.reasons.causes = Causes(Cause(*each) for each in plain.get("causes", ()))


def _plain_placements(placements: Placements) -> dict[str, Any]:
    return {
        "size": placements.size,
        "versions": placements.versions.names,
        "admissions": [(each.position, each.at.isoformat(), each.commit) for each in placements.admissions],
        "refusals": [
            (each.key, each.code, each.detail, plain_bitmap(members)) for each, members in placements.refusals.items()
        ],
        "by_key": {
            key: [[plain_column(column) for column in each.columns()], plain_bitmap(each.pending)]
            for key, each in placements.by_key.items()
        },
    }


def _placements(plain: dict[str, Any]) -> Placements:
    placements = Placements(Codes(plain["versions"]), size=plain["size"])
    placements.admissions = [
        Admission(position, datetime.fromisoformat(at), commit) for position, at, commit in plain["admissions"]
    ]
    placements.refusals = {
        RefusalKey(key, code, detail): BitMap.deserialize(members) for key, code, detail, members in plain["refusals"]
    }
    for key, (columns, pending) in plain["by_key"].items():
        release, variant, blob, admission, target_release, target_variant = map(column_of, columns)
        placements.by_key[key] = Placement(
            *split_key(key),
            release,
            variant,
            blob,
            admission,
            target_release,
            target_variant,
            BitMap.deserialize(pending),
        )
    return placements


def _plain_trees(trees: Trees) -> dict[str, Any]:
    return {
        "contents": trees.contents.names,
        "namespaces": {
            name: [plain_column(each) for each in tree.columns()] for name, tree in trees.namespaces.items()
        },
        "flux": plain_column(trees.flux),
        "cluster": plain_column(trees.cluster),
        "registered": plain_bitmap(trees.registered),
        "shard_ids": trees.shard_ids,
        "first_ids": trees.first_ids,
    }


def _trees(plain: dict[str, Any], model: Model) -> Trees:
    trees = Trees(
        Codes(plain["contents"]),
        {name: NamespaceTree(*map(column_of, columns)) for name, columns in plain["namespaces"].items()},
        column_of(plain["flux"]),
        column_of(plain["cluster"]),
        shard_ids=plain["shard_ids"],
        first_ids=plain["first_ids"],
    )
    for ordinal in BitMap.deserialize(plain["registered"]):
        trees.register(ordinal, model.fleet.selection.name(ordinal))
    return trees
