"""Columns, codes and facts as bytes, so that a process starts from where another one was.

The one rule: a snapshot is disposable: whatever cannot be read is folded from the log again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from pyroaring import BitMap

from libs.contracts import Event, ReleaseChoice, decode, encode, type_name
from libs.fleet.columns import Codes, Column
from libs.fleet.facts import Fact, Store
from libs.fleet.fleet import Fleet
from libs.fleet.policy_snapshots import plain_policy, policy_of
from libs.selection import Gone, Selection

VERSION = "fleet-3"
_COLUMNS = ("zone_of", "hours_of", "store_of", "declared_position", "declared_at")
_EVENTS = ("groups", "namespaces", "applications", "configurations", "releases", "sources")


def plain_column(column: Column) -> dict[str, Any]:
    """Return a column as msgpack takes it."""
    values = np.ascontiguousarray(column.values)
    return {"type": values.dtype.str, "shape": values.shape, "fill": column.fill, "bytes": values.tobytes()}


def column_of(plain: Mapping[str, Any]) -> Column:
    """Return the column that `plain_column` wrote."""
    values = np.frombuffer(plain["bytes"], plain["type"]).reshape(plain["shape"]).copy()
    return Column.of(values, plain["fill"])


def plain_bitmap(members: BitMap) -> bytes:
    """Return a set as bytes."""
    return bytes(members.serialize())


def _plain_events(events: Iterable[Event]) -> list[tuple[str, bytes]]:
    return [(type_name(each), encode(each)) for each in events]


def dump_fleet(fleet: Fleet) -> bytes:
    """Return all that `load_fleet` needs."""
    return msgspec.msgpack.encode(
        {
            "selection": fleet.selection.dump(),
            "position": fleet.position,
            "stores": [(each.name, each.timezone, each.clusters) for each in fleet.stores.values()],
            **{name: _plain_events(getattr(fleet, name).values()) for name in _EVENTS},
            "choices": [
                (application, [(each.expression, each.version) for each in choices])
                for application, choices in fleet.choices.items()
            ],
            "facts": [(*key, fact.position, fact.at.isoformat(), fact.actor) for key, fact in fleet.facts.items()],
            "zones": fleet.zones.names,
            "hours": fleet.hours.names,
            "policy": plain_policy(fleet.policy),
            "gone": fleet.gone.dump(),
            "store_names": fleet.store_names.names,
            "columns": {name: plain_column(getattr(fleet, name)) for name in _COLUMNS},
            "capacity": {resource: plain_column(column) for resource, column in fleet.capacity.items()},
            "touched": [
                sorted(fleet.touched.whole),
                sorted(fleet.touched.namespaces),
                plain_bitmap(fleet.touched.clusters),
                {name: plain_bitmap(each) for name, each in fleet.touched.applications.items()},
            ],
        }
    )


def load_fleet(fleet: Fleet, data: bytes) -> None:
    """Make a new fleet what the dumped one was.

    Raises:
        ValueError: the bytes are not such a dump (also msgspec.DecodeError, KeyError).
    """
    read = msgspec.msgpack.decode(data)
    fleet.selection = Selection.load(read["selection"])
    fleet.position = read["position"]
    fleet.stores = {name: Store(name, zone, tuple(clusters)) for name, zone, clusters in read["stores"]}
    declared = {name: [decode(*each) for each in read[name]] for name in _EVENTS}
    fleet.groups = {each.path: each for each in declared["groups"]}
    fleet.namespaces = {each.name: each for each in declared["namespaces"]}
    fleet.applications = {each.name: each for each in declared["applications"]}
    fleet.configurations = {each.name: each for each in declared["configurations"]}
    fleet.releases = {(each.application, each.version): each for each in declared["releases"]}
    fleet.sources = {each.name: each for each in declared["sources"]}
    fleet.choices = {
        application: tuple(ReleaseChoice(*each) for each in choices) for application, choices in read["choices"]
    }
    fleet.facts = {
        (kind, name): Fact(position, datetime.fromisoformat(at), actor)
        for kind, name, position, at, actor in read["facts"]
    }
    fleet.zones, fleet.store_names = Codes(read["zones"]), Codes(read["store_names"])
    fleet.hours = Codes(read["hours"])
    fleet.policy = policy_of(read["policy"])
    fleet.gone = Gone.load(read["gone"])
    for name in _COLUMNS:
        setattr(fleet, name, column_of(read["columns"][name]))
    fleet.capacity = {resource: column_of(each) for resource, each in read["capacity"].items()}
    whole, namespaces, clusters, applications = read["touched"]
    fleet.touched.whole, fleet.touched.namespaces = set(whole), set(namespaces)
    fleet.touched.clusters = BitMap.deserialize(clusters)
    fleet.touched.applications = {name: BitMap.deserialize(each) for name, each in applications.items()}
