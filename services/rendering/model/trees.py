"""The ids of the GitOps tree as columns: of namespaces, of Flux's directory and of whole clusters.

They are built from the log's decisions by services/rendering/writing/trees.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.contracts.tree import shard
from libs.fleet import Codes, Extent, FleetColumn, bitmap, ordinals
from libs.fleet.state import (
    Part,
    Parts,
    begin_parts,
    codes,
    column,
    columns_in,
    columns_of,
    never,
    plain_columns,
    remembered,
    typed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(slots=True)
class NamespaceTree:
    """One namespace over all clusters: which `namespace.yaml` it has (0: none yet), and its directory."""

    content: FleetColumn
    tree: FleetColumn
    present: FleetColumn

    @classmethod
    def new(cls, extent: Extent) -> NamespaceTree:
        """Return a namespace that is on no cluster yet."""
        return cls(
            FleetColumn(extent, np.int32),
            FleetColumn(extent, np.uint8, width=20),
            FleetColumn(extent, np.bool_, fill=False),
        )


PARTS: Parts = {
    "contents": codes(),
    "namespaces": Part(
        lambda _: {},
        never,
        lambda it: {name: plain_columns(tree) for name, tree in it.items()},
        lambda plain, extent: {name: NamespaceTree(**columns_of(each, extent)) for name, each in plain.items()},
    ),
    "flux": column(np.uint8, width=20),
    "cluster": column(np.uint8, width=20),
    "registered": typed(BitMap),
    "layout": column(np.uint8),
    "layout_at": column(np.int64),
    "grace_ended": column(np.int64),
    "shards": typed(dict[str, dict[str, dict[str, int]]]),
    "shard_ids": typed(dict[str, dict[str, bytes]]),
    "first_ids": typed(dict[str, bytes]),
    "moved": typed(BitMap),
    "current": remembered(dict),
}


class Trees:
    """Tree ids of namespaces, of Flux's directory and of whole clusters, and which clusters are in the tree."""

    __slots__ = ("extent", *PARTS)

    contents: Codes
    namespaces: dict[str, NamespaceTree]
    flux: FleetColumn
    cluster: FleetColumn
    registered: BitMap
    layout: FleetColumn
    """The code of each registered cluster's layout, 0 elsewhere."""
    layout_at: FleetColumn
    """When it was given that layout: microseconds since 1970, 0 where it began with it."""
    grace_ended: FleetColumn
    """The position at which somebody asked to remove a deleted cluster's directory now, 0 if nobody did."""
    shards: dict[str, dict[str, dict[str, int]]]
    """The ordinals of the registered clusters by name, in the directories that they lie in."""
    shard_ids: dict[str, dict[str, bytes]]
    first_ids: dict[str, bytes]
    moved: BitMap
    """Where the present decision adds or removes namespaces; kept, since it may have to be written again."""
    current: dict[str, int]
    """Namespace → the only content that it has anywhere, where that is known: looking at every cluster costs a scan."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        begin_parts(self, PARTS, extent)

    def at(self, namespace: str) -> NamespaceTree:
        """Return a namespace's columns."""
        tree = self.namespaces.get(namespace)
        if tree is None:
            tree = self.namespaces[namespace] = NamespaceTree.new(self.extent)
        return tree

    def set_content(self, namespace: str, among: NDArray[np.int64], code: int) -> None:
        """Give a namespace the `namespace.yaml` of this code on some clusters."""
        self.at(namespace).content.values[among] = code
        if self.current.get(namespace) != code:
            self.current.pop(namespace, None)

    def stale(self, namespace: str, code: int) -> BitMap:
        """Return the clusters on which a namespace has a `namespace.yaml` other than that of this code."""
        if self.current.get(namespace) == code:
            return BitMap()
        content = self.at(namespace).content.values
        found = bitmap(np.flatnonzero((content != 0) & (content != code)).astype(np.int64))
        if not found:
            self.current[namespace] = code
        return found

    def begin_decision(self) -> None:
        """Forget where the previous decision added or removed namespaces."""
        self.moved = BitMap()

    def register(self, clusters: BitMap, names: Callable[[int], str], code: int) -> None:
        """Give clusters their directories, in the layout of this code where they have none."""
        among = ordinals(clusters)
        self.registered |= clusters
        codes = self.layout.values[among]
        self.layout.values[among] = np.where(codes == 0, code, codes)
        for ordinal in among.tolist():
            name = names(ordinal)
            first, second = shard(name)
            self.shards.setdefault(first, {}).setdefault(second, {})[name] = ordinal

    def lay_out(self, clusters: BitMap, code: int, at: int) -> None:
        """Give clusters another layout."""
        among = ordinals(clusters & self.registered)
        self.layout.values[among] = code
        self.layout_at.values[among] = at

    def deregister(self, ordinal: int, name: str) -> None:
        """Remove a cluster's directory."""
        first, second = shard(name)
        self.registered.discard(ordinal)
        self.layout.values[ordinal] = self.layout_at.values[ordinal] = 0
        for tree in self.namespaces.values():
            for each in columns_in(tree).values():
                each.values[ordinal] = 0
        self.shards.get(first, {}).get(second, {}).pop(name, None)
