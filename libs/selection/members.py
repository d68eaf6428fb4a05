"""Keeps the members of every group, namespace and saved expression as the facts change.

Marks say which node may have changed and for which clusters (None: all); `refresh` works them off from the bottom up, so
that each node is evaluated once, for as few clusters as possible.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from itertools import chain

from pyroaring import BitMap

from libs.selection.evaluate import Facts, evaluate, named
from libs.selection.graph import Fact, Graph, Node, NodeKey
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
    by_value = graph.watchers.get("label", {})
    for value, clusters in changes.values.items():
        for key in by_value.get(value, ()):
            marks.mark(key, clusters)
    for label_key, clusters in changes.keys.items():
        for key in graph.watching("key", label_key):
            marks.mark(key, clusters)
    if changes.coarse:
        for value, keys in by_value.items():
            label_key = value[0] if isinstance(value, tuple) else None
            if label_key in changes.coarse:
                for key in keys:
                    marks.mark(key, changes.coarse[label_key])


def mark_fact(marks: Marks, graph: Graph, fact: Fact, name: Hashable, clusters: BitMap) -> None:
    """Mark what looks at one fact."""
    for key in graph.watching(fact, name):
        marks.mark(key, clusters)


def refresh(marks: Marks, graph: Graph, facts: Facts, everything: BitMap) -> dict[NodeKey, BitMap]:
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
        changed_children = marks.changed_children.pop(key, [])
        old = facts.node_members.get(key)
        node = graph.nodes[key]
        if clusters is None or old is None or len(clusters) * _PART_MAX > len(everything):
            new = _members(node, graph, facts, everything, ())
        else:
            new = (old - clusters) | _members(node, graph, facts, clusters & everything, changed_children)
        if old is None:
            old = BitMap()
        if new == old:
            facts.node_members.setdefault(key, new)
            continue
        facts.node_members[key] = new
        before[key] = old
        difference = old ^ new
        for dependent in graph.dependents(key):
            if marks.mark(dependent, difference):
                heapq.heappush(heap, (graph.ranks[dependent], graph.nodes[dependent].serial, dependent))
            if dependent.kind == "group" and key.kind == "group":
                marks.changed_children.setdefault(dependent, []).append(key)
    marks.nodes.clear()
    marks.changed_children.clear()
    return before


def _members(node: Node, graph: Graph, facts: Facts, within: BitMap, changed_children: Iterable[NodeKey]) -> BitMap:
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
