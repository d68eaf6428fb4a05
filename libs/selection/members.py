"""Keeps the members of every group, namespace and saved expression as the facts change.

Marks say which node may have changed and for which clusters (None: all); `refresh` works them off from the bottom up,
so that each node is evaluated once, for as few clusters as possible.
"""

from __future__ import annotations

import heapq
from itertools import chain
from typing import TYPE_CHECKING, cast

from pyroaring import BitMap

from libs.selection.evaluate import EvaluatedFacts, evaluate, named
from libs.selection.graph import Definition, FactKind, Graph, NodeKey

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from libs.selection.labels import LabelChanges

_PART_MAX = 8  # more than an eighth of the fleet changed: evaluate in full


class Marks:
    """Which nodes to look at again, and for which clusters."""

    __slots__ = ("changed_children", "nodes")

    def __init__(self) -> None:
        self.nodes: dict[NodeKey, BitMap | None] = {}
        self.changed_children: dict[NodeKey, list[NodeKey]] = {}

    def copy(self) -> Marks:
        """Return marks of their own with the same content."""
        other = Marks()
        other.nodes = self.nodes.copy()
        return other

    def mark(self, key: NodeKey, clusters: BitMap | None) -> bool:
        """Mark a node for some clusters (None: all); true if it was not marked before."""
        if key not in self.nodes:
            self.nodes[key] = clusters
            return True
        before = self.nodes[key]
        self.nodes[key] = None if before is None or clusters is None else before | clusters
        return False


def mark_labels(marks: Marks, graph: Graph, changes: LabelChanges) -> None:
    """Mark what looks at changed labels."""
    by_value = cast("dict[tuple[str, str | None], tuple[NodeKey, ...]]", graph.watchers.get("label", {}))
    for value, clusters in changes.values.items():
        for key in by_value.get(value, ()):
            marks.mark(key, clusters)
    for label_key, clusters in changes.keys.items():
        for key in graph.watching("key", label_key):
            marks.mark(key, clusters)
    if not changes.coarse:
        return
    for value, keys in by_value.items():
        if value[0] in changes.coarse:
            for key in keys:
                marks.mark(key, changes.coarse[value[0]])


def mark_fact(marks: Marks, graph: Graph, fact: FactKind, name: Hashable, clusters: BitMap) -> None:
    """Mark what looks at one fact."""
    for key in graph.watching(fact, name):
        marks.mark(key, clusters)


def refresh(marks: Marks, graph: Graph, facts: EvaluatedFacts, everything: BitMap) -> dict[NodeKey, BitMap]:
    """Bring the members of every marked node up to date; return those that changed with their members before."""
    if not marks.nodes:
        return {}
    graph.rank_all()
    before: dict[NodeKey, BitMap] = {}
    heap = [(graph.ranks[key], graph.nodes[key].serial, key) for key in marks.nodes if key in graph.nodes]
    heapq.heapify(heap)
    while heap:
        key = heapq.heappop(heap)[2]
        clusters = marks.nodes.pop(key)
        changed_children = marks.changed_children.pop(key, ())
        old = facts.node_members.get(key)
        if clusters is None or old is None or len(clusters) * _PART_MAX > len(everything):
            old = BitMap() if old is None else old
            new = _members(graph.nodes[key], graph, facts, everything, ())
            difference = old ^ new
            facts.node_members[key] = new
        else:
            now = _members(graph.nodes[key], graph, facts, clusters & everything, changed_children)
            difference = (old & clusters) ^ now
            if difference:
                facts.node_members[key] = old ^ difference
        if not difference:
            continue
        before[key] = old
        for dependent in graph.dependents(key):
            if marks.mark(dependent, difference):
                heapq.heappush(heap, (graph.ranks[dependent], graph.nodes[dependent].serial, dependent))
            if dependent.kind == "group" and key.kind == "group":
                marks.changed_children.setdefault(dependent, []).append(key)
    marks.nodes.clear()
    marks.changed_children.clear()
    return before


def _members(
    node: Definition, graph: Graph, facts: EvaluatedFacts, within: BitMap, changed_children: Iterable[NodeKey]
) -> BitMap:
    """Return those of `within` that belong to `node`: by name, by store, by expression, or by a group below."""
    found = BitMap()
    if node.expression is not None:
        found |= evaluate(node.expression, within, facts)
    if node.clusters:
        found |= named(node.clusters, facts.names) & within
    if node.stores:
        of_store = facts.names.of_store
        found |= BitMap([ordinal for store in node.stores for ordinal in of_store.get(store, ())]) & within
    below = graph.children.get(str(node.key.name)) if node.key.kind == "group" else None
    if not below:
        return found
    left = within - found
    for key in chain(changed_children, (NodeKey("group", child) for child in below)):
        if not left:
            break
        members = facts.node_members.get(key)
        if members is not None and left.intersect(members):
            found |= members & left
            left = left - members
    return found
