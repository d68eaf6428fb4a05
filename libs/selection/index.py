"""The selection index: clusters, labels, groups, namespaces and saved expressions, kept up to date as they change.

Reading anything brings everything up to date first; `settle` says what changed since it was last called. Bitmaps that
are returned are never changed afterwards, here or by the caller. Not thread-safe: one thread at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pyroaring import BitMap

from libs.selection import snapshot
from libs.selection.canonical import canonicalise
from libs.selection.checking import check_names_exist
from libs.selection.evaluate import evaluate
from libs.selection.explanation import Explanation, explain
from libs.selection.graph import Definition, Graph, NodeKey
from libs.selection.labels import LabelColumns
from libs.selection.members import Marks, mark_fact, mark_labels, refresh
from libs.selection.names import Names
from libs.selection.snapshot import IndexParts, UnsettledIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from libs.selection.column import LabelValue
    from libs.selection.expression import Expression


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since the last settling, as ordinals.

    `saved` is exact. `clusters` came, went or moved to another store, `labels` were written with another value: both
    may hold clusters for which that was undone in between.
    """

    saved: dict[Hashable, BitMap]
    labels: dict[str, BitMap]
    clusters: BitMap


@dataclass(frozen=True, slots=True)
class _Part:
    """One attribute of an index: how it begins, how a fork gets it, and its name in a snapshot.

    What has no name there is as at the beginning while nothing waits to be evaluated.
    """

    begin: Callable[[], Any]
    fork: Callable[[Any], Any]
    kept_as: str = ""


_PARTS: Mapping[str, _Part] = {
    "names": _Part(Names, Names.fork, "names"),
    "labels": _Part(LabelColumns, LabelColumns.fork, "labels"),
    "node_members": _Part(dict, dict.copy, "members"),
    "_graph": _Part(Graph, Graph.copy, "graph"),
    "_marks": _Part(Marks, Marks.copy),
    "_everything": _Part(BitMap, lambda it: it, "everything"),
    "_everything_shown": _Part(bool, bool),
    "_existence_changed": _Part(list, list.copy),
    "_unsettled": _Part(UnsettledIndex, UnsettledIndex.copy, "unsettled"),
}
"""All attributes of an index."""


class Selection:
    """Clusters by dense ordinal, and everything that selects among them."""

    __slots__ = tuple(_PARTS)

    names: Names
    labels: LabelColumns
    node_members: dict[NodeKey, BitMap]
    _graph: Graph
    _marks: Marks
    _everything: BitMap
    _everything_shown: bool
    _existence_changed: list[int]
    _unsettled: UnsettledIndex

    def __init__(self) -> None:
        for name, part in _PARTS.items():
            setattr(self, name, part.begin())

    def put_cluster(self, name: str, store: str, labels: Mapping[str, str | Sequence[str]]) -> int:
        """Set a cluster, whole: its store and its effective labels. Returns its ordinal.

        `labels` is kept until something is read; the caller does not change it afterwards.
        """
        ordinal, before = self.names.put(name, store)
        if ordinal not in self._everything:
            self._writable_everything().add(ordinal)
            self._existence_changed.append(ordinal)
        if before != store:
            self._unsettled.moved.append(ordinal)
            if self._graph.watchers.get("store"):
                for left in {before, store} - {None}:
                    mark_fact(self._marks, self._graph, "store", left, BitMap([ordinal]))
        if self.labels.put(ordinal, labels):
            self._flush()
        return ordinal

    def drop_cluster(self, name: str) -> None:
        """Remove a cluster; its ordinal is never reused. Nothing happens if there is none."""
        ordinal = self.ordinal(name)
        if ordinal is None:
            return
        self._writable_everything().discard(ordinal)
        self._existence_changed.append(ordinal)
        if self.labels.put(ordinal, {}):
            self._flush()

    def _writable_everything(self) -> BitMap:
        if self._everything_shown:
            self._everything = self._everything.copy()
            self._everything_shown = False
        return self._everything

    def ordinal(self, name: str) -> int | None:
        """Return the ordinal of a cluster that exists."""
        ordinal = self.names.ordinals.get(name)
        return ordinal if ordinal is not None and ordinal in self._everything else None

    def ordinal_ever(self, name: str) -> int | None:
        """Return the ordinal of a cluster that exists or once did."""
        return self.names.ordinals.get(name)

    def name(self, ordinal: int) -> str:
        """Return the name that an ordinal was given to."""
        return self.names.texts[ordinal]

    def store_of(self, ordinal: int) -> str:
        """Return the store that a cluster is, or last was, in."""
        return self.names.stores[ordinal]

    @property
    def size(self) -> int:
        """The number of ordinals ever given."""
        return len(self.names.texts)

    @property
    def everything(self) -> BitMap:
        """The clusters that exist."""
        self._everything_shown = True
        return self._everything

    def labels_of(self, ordinal: int) -> dict[str, LabelValue]:
        """Return the labels of a cluster by key, sorted; a label declared as a list is a tuple."""
        self._flush()
        return self.labels.labels_of(ordinal)

    def has_label_key(self, key: str) -> bool:
        """Whether some cluster has a label of this key."""
        self._flush()
        return bool(self.labels.bitmap(key, None))

    def label_keys(self) -> list[str]:
        """Return the label keys that some cluster has, sorted."""
        self._flush()
        return sorted(key for key in self.labels.columns if self.labels.bitmap(key, None))

    def column(self, key: str) -> tuple[NDArray[np.int32], list[LabelValue | None]]:
        """Return one code per ordinal, and the value of each code; code 0 is no such label.

        The array is read-only and holds until the next change; codes are stable while this object lives.
        """
        self._flush()
        return self.labels.codes(key, self.size)

    def put_group(
        self, path: str, clusters: Sequence[str] = (), stores: Sequence[str] = (), expression: Expression | None = None
    ) -> None:
        """Declare a group (`/geo/us`), whole. Names of clusters and stores count while those exist.

        Raises:
            Cycle: the expression would make the group reach itself; nothing changed.
        """
        key = NodeKey("group", path)
        self._put(Definition(key, 0, _canonical(expression), tuple(clusters), tuple(stores)))

    def drop_group(self, path: str) -> None:
        """Remove a group's declaration; its path lives on while there are groups below it."""
        self._drop(NodeKey("group", path))

    def group_exists(self, path: str) -> bool:
        """Whether a group is declared, or implied by one below it."""
        return NodeKey("group", path) in self._graph.nodes

    def members(self, path: str) -> BitMap:
        """Return the members of a group and of everything below it; none if there is no such group."""
        return self._members(NodeKey("group", path))

    def groups_of(self, ordinal: int) -> list[str]:
        """Return the paths of all groups that a cluster is a member of, sorted."""
        self._refresh()
        members = self.node_members.items()
        return sorted(str(key.name) for key, clusters in members if key.kind == "group" and ordinal in clusters)

    def put_namespace(self, name: str, expression: Expression) -> None:
        """Declare a namespace.

        Raises:
            Cycle: the expression would make the namespace reach itself; nothing changed.
        """
        self._put(Definition(NodeKey("namespace", name), 0, _canonical(expression)))

    def drop_namespace(self, name: str) -> None:
        """Remove a namespace."""
        self._drop(NodeKey("namespace", name))

    def namespace_exists(self, name: str) -> bool:
        """Whether a namespace is declared."""
        return NodeKey("namespace", name) in self._graph.nodes

    def namespace_members(self, name: str) -> BitMap:
        """Return the clusters of a namespace; none if there is no such namespace."""
        return self._members(NodeKey("namespace", name))

    def save(self, key: Hashable, expression: Expression) -> None:
        """Keep the clusters of an expression up to date under `key`, in place of what was saved there."""
        self._put(Definition(NodeKey("saved", key), 0, _canonical(expression)))

    def forget(self, key: Hashable) -> None:
        """Keep an expression no longer; the next settling reports its members as changed."""
        self._drop(NodeKey("saved", key))

    def saved(self, key: Hashable) -> BitMap:
        """Return the clusters of a saved expression; none if nothing is saved there."""
        return self._members(NodeKey("saved", key))

    def _members(self, key: NodeKey) -> BitMap:
        self._refresh()
        members = self.node_members.get(key)
        return members if members is not None else BitMap()

    def _put(self, node: Definition) -> None:
        if self._graph.put(node):
            self._marks.mark(node.key, None)
            above = [key for key in self._graph.dependents(node.key) if key.kind == "group"]
            while above:
                key = above.pop()
                if key not in self.node_members:
                    self._marks.mark(key, None)
                    above.extend(dependent for dependent in self._graph.dependents(key) if dependent.kind == "group")

    def _drop(self, key: NodeKey) -> None:
        if key not in self._graph.nodes:
            return
        self._marks.mark(key, None)
        for gone in self._graph.drop(key):
            self._marks.nodes.pop(gone, None)
            members = self.node_members.pop(gone, BitMap())
            self._unsettled.before.setdefault(gone, members)
            for dependent in self._graph.dependents(gone):
                if dependent in self._graph.nodes:
                    self._marks.mark(dependent, members)

    def _flush(self) -> None:
        changes = self.labels.flush(self.size)
        if changes is None:
            return
        mark_labels(self._marks, self._graph, changes)
        for key, clusters in changes.keys.items():
            before = self._unsettled.labels.get(key)
            self._unsettled.labels[key] = clusters if before is None else before | clusters

    def _refresh(self) -> None:
        self._flush()
        if self._existence_changed:
            self._mark_existence()
        if self._marks.nodes:
            for key, members in refresh(self._marks, self._graph, self, self.everything).items():
                self._unsettled.before.setdefault(key, members)

    def _mark_existence(self) -> None:
        changed, self._existence_changed = self._existence_changed, []
        clusters = BitMap(changed)
        mark_fact(self._marks, self._graph, "existence", None, clusters)
        watched = [self._graph.watchers.get("listed"), self._graph.watchers.get("cluster")]
        stores = self._graph.watchers.get("store")
        for ordinal in clusters if any(watched) or stores else ():
            single = BitMap([ordinal])
            mark_fact(self._marks, self._graph, "listed", self.names.texts[ordinal], single)
            mark_fact(self._marks, self._graph, "cluster", self.names.texts[ordinal], single)
            mark_fact(self._marks, self._graph, "store", self.names.stores[ordinal], single)

    def settle(self) -> Changes:
        """Bring everything up to date and return what changed since the last call."""
        self._refresh()
        told, self._unsettled = self._unsettled, UnsettledIndex(everything=self.everything)
        saved: dict[Hashable, BitMap] = {}
        for key, before in told.before.items():
            if key.kind == "saved":
                difference = before ^ self.node_members.get(key, _NOBODY)
                if difference:
                    saved[key.name] = difference
        clusters = (told.everything ^ self._everything) | BitMap(told.moved)
        return Changes(saved, told.labels, clusters)

    def forget_changes(self) -> None:
        """Let the next settling report only what changes from now on, and what was not asked for yet."""
        self._unsettled = UnsettledIndex(everything=self.everything)

    def select(self, expression: Expression) -> BitMap:
        """Return the clusters that `expression` selects; what it names and does not exist selects nothing."""
        self._refresh()
        return evaluate(expression, self.everything, self)

    def check(
        self,
        expression: Expression,
        *,
        inside: tuple[Literal["group", "namespace"], str] | None = None,
        labels_may_come: bool = False,
    ) -> None:
        """Refuse an expression that names what does not exist, or by which `inside` would reach itself.

        Raises:
            UnknownName: with the position of the term and the nearest name that exists.
            Cycle: with the way from `inside` back to it.
        """
        self._flush()
        if inside is not None:
            self._graph.refuse_cycle(expression, NodeKey(*inside), positions=True)
        check_names_exist(expression, self, labels_may_come=labels_may_come)

    def explain(self, expression: Expression, ordinal: int) -> Explanation:
        """Return whether `expression` selects a cluster, and for every term of it whether and why it holds."""
        self._refresh()
        return explain(expression, ordinal, self)

    def referrers(self, kind: Literal["group", "namespace", "cluster"], name: str) -> list[Hashable]:
        """Return whose expressions name this: keys of saved expressions, ("group", path), ("namespace", name)."""
        found = self._graph.watching(kind, name)
        return [key.name if key.kind == "saved" else (key.kind, key.name) for key in found]

    def group_paths(self) -> list[str]:
        """Return the paths of all groups, declared or implied, in no order."""
        return [str(key.name) for key in self._graph.nodes if key.kind == "group"]

    def namespaces(self) -> list[str]:
        """Return the names of all namespaces, in no order."""
        return [str(key.name) for key in self._graph.nodes if key.kind == "namespace"]

    def fork(self) -> Selection:
        """Return a copy for trying changes: it shares large parts until either side writes them."""
        self._flush()
        self._everything_shown = True  # on both sides: they share the bitmap until one of them writes
        other = Selection.__new__(Selection)
        for name, part in _PARTS.items():
            setattr(other, name, part.fork(getattr(self, name)))
        return other

    def dump(self) -> bytes:
        """Return all of it as bytes, for a snapshot; keys of saved expressions are text, numbers and tuples of them."""
        self._refresh()
        kept = {part.kept_as: getattr(self, name) for name, part in _PARTS.items() if part.kept_as}
        return snapshot.dump_index(IndexParts(**kept))

    @classmethod
    def load(cls, data: bytes) -> Selection:
        """Return the index that `dump` was called on: the same ordinals, codes and unsettled changes.

        Raises:
            ValueError: not a snapshot of this format.
        """
        parts, index = snapshot.load_index(data), cls()
        for name, part in _PARTS.items():
            if part.kept_as:
                setattr(index, name, getattr(parts, part.kept_as))
        return index


_NOBODY = BitMap()


def _canonical(expression: Expression | None) -> Expression | None:
    return None if expression is None else canonicalise(expression)
