"""Dependencies between groups, namespaces and saved expressions, and the facts that each of them uses.

A node is a group (declared, or implied by one below it), a namespace or a saved expression. Watchers go from a fact to
the nodes whose members may change with it, so that a change touches only those; ranks say in which order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from libs.selection.errors import cycle
from libs.selection.expression import (
    Compared,
    Everything,
    Expression,
    HasLabel,
    InGroup,
    InNamespace,
    Labelled,
    LabelLike,
    Named,
    NameLike,
    Nothing,
    Term,
    negates,
    terms_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator


class NodeKey(NamedTuple):
    """Which node: kind and group path, namespace or key of the saved expression."""

    kind: Literal["group", "namespace", "saved"]
    name: Hashable


FactKind: TypeAlias = Literal["group", "namespace", "cluster", "listed", "store", "label", "key", "existence"]
"""What a node can look at: a group's or namespace's members, a cluster named in an expression or listed in a group, a
store listed in a group, a (label key, value or None), a label key with whatever value, which clusters exist."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition. `declared` is false for a group that exists only because of one below it."""

    key: NodeKey
    serial: int
    expression: Expression | None = None
    clusters: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    declared: bool = True

    def same_as(self, other: Definition) -> bool:
        """Whether both say the same."""
        return (self.expression, self.clusters, self.stores, self.declared) == (
            other.expression,
            other.clusters,
            other.stores,
            other.declared,
        )


def parent_of(path: str) -> str:
    """Return the path above; that of a hierarchy (`/geo`) is the empty path."""
    return path.rpartition("/")[0]


def ancestors_of(path: str) -> Iterator[str]:
    """Yield the paths above, nearest first."""
    while path := parent_of(path):
        yield path


def facts_of(node: Definition) -> Iterator[tuple[FactKind, Hashable]]:
    """Yield everything that `node` looks at; the groups below a group are not among it."""
    yield from (("listed", name) for name in node.clusters)
    yield from (("store", store) for store in node.stores)
    if node.expression is None:
        return
    if negates(node.expression):
        yield "existence", None
    for term in terms_of(node.expression):
        yield from _facts_of_term(term)


def _facts_of_term(term: Term) -> Iterator[tuple[FactKind, Hashable]]:
    match term:
        case Labelled(key, values):
            yield from (("label", (key, value)) for value in values)
        case HasLabel(key):
            yield "label", (key, None)
        case Compared(key) | LabelLike(key):
            yield "key", key
        case InGroup(path):
            yield "group", path
        case InNamespace(name):
            yield "namespace", name
        case Named(names):
            yield from (("cluster", name) for name in names)
        case Everything() | NameLike():
            yield "existence", None
        case Nothing():
            pass


class Graph:
    """The nodes and their watchers. Copied whole for a fork: small beside the fleet."""

    __slots__ = ("_ranks_hold", "_serial", "children", "nodes", "ranks", "watchers")

    def __init__(self) -> None:
        self.nodes: dict[NodeKey, Definition] = {}
        self.children: dict[str, tuple[str, ...]] = {}
        self.watchers: dict[FactKind, dict[Hashable, tuple[NodeKey, ...]]] = {}
        self.ranks: dict[NodeKey, int] = {}
        self._serial = 0
        self._ranks_hold = True

    def copy(self) -> Graph:
        """Return a graph of its own with the same content."""
        other = Graph()
        other.nodes, other.children, other.ranks = self.nodes.copy(), self.children.copy(), self.ranks.copy()
        other.watchers = {fact: by_name.copy() for fact, by_name in self.watchers.items()}
        other._serial, other._ranks_hold = self._serial, self._ranks_hold
        return other

    def put(self, node: Definition, *, trusted: bool = False) -> bool:
        """Define a node, and the groups that it implies; false if it says what is already so.

        `trusted`: it was put before, so that it need not be looked at for cycles again.

        Raises:
            Cycle: it would reach itself; nothing changed.
        """
        before = self.nodes.get(node.key)
        if before is not None and before.same_as(node):
            return False
        if node.expression is not None and not trusted:
            self.refuse_cycle(node.expression, node.key)
        if before is not None:
            self._unwatch(before)
        self._serial += 1
        node = Definition(node.key, self._serial, node.expression, node.clusters, node.stores, node.declared)
        self.nodes[node.key] = node
        for fact, name in dict.fromkeys(facts_of(node)):
            by_name = self.watchers.setdefault(fact, {})
            by_name[name] = (*by_name.get(name, ()), node.key)
        if node.key.kind == "group":
            self._imply_parents(str(node.key.name))
        self._rank(node.key)
        return True

    def _imply_parents(self, path: str) -> None:
        for above in (*ancestors_of(path), ""):
            siblings = self.children.get(above, ())
            if path in siblings:
                return
            self.children[above] = (*siblings, path)
            key = NodeKey("group", above)
            if above and key not in self.nodes:
                self._serial += 1
                self.nodes[key] = Definition(key, self._serial, declared=False)
            path = above

    def drop(self, key: NodeKey) -> list[NodeKey]:
        """Remove a definition; return the nodes that are gone: itself unless implied, and parents no longer implied."""
        node = self.nodes.get(key)
        if node is None or not node.declared:
            return []
        self._unwatch(node)
        if key.kind != "group":
            self._remove(key)
            return [key]
        self.nodes[key] = Definition(key, node.serial, declared=False)
        gone: list[NodeKey] = []
        path = str(key.name)
        while path and not self.children.get(path) and not self.nodes[NodeKey("group", path)].declared:
            self._remove(NodeKey("group", path))
            gone.append(NodeKey("group", path))
            above = parent_of(path)
            left = tuple(child for child in self.children[above] if child != path)
            if left:
                self.children[above] = left
            else:
                del self.children[above]
            path = above
        return gone

    def _remove(self, key: NodeKey) -> None:
        del self.nodes[key]
        self.ranks.pop(key, None)

    def _unwatch(self, node: Definition) -> None:
        for fact, name in dict.fromkeys(facts_of(node)):
            by_name = self.watchers[fact]
            left = tuple(key for key in by_name[name] if key != node.key)
            if left:
                by_name[name] = left
            else:
                del by_name[name]

    def watching(self, fact: FactKind, name: Hashable) -> tuple[NodeKey, ...]:
        """Return the nodes that look at a fact."""
        by_name = self.watchers.get(fact)
        return by_name.get(name, ()) if by_name else ()

    def dependents(self, key: NodeKey) -> Iterator[NodeKey]:
        """Yield the nodes whose members follow from those of `key`."""
        if key.kind == "saved":
            return
        yield from self.watching(key.kind, key.name)
        if key.kind == "group":
            above = parent_of(str(key.name))
            if above:
                yield NodeKey("group", above)

    def needs(self, key: NodeKey) -> list[NodeKey]:
        """Return the nodes from whose members those of `key` follow; some of them may not exist."""
        needed = []
        node = self.nodes.get(key)
        if node is not None and node.expression is not None:
            needed = list(_needed_by(node.expression))
        if key.kind == "group":
            needed += [NodeKey("group", child) for child in self.children.get(str(key.name), ())]
        return needed

    def refuse_cycle(self, expression: Expression, inside: NodeKey, *, positions: bool = False) -> None:
        """Raise `Cycle` if `inside` would reach itself with this expression, a group also by way of its ancestors."""
        if inside.kind == "saved":
            return
        targets = {inside}
        if inside.kind == "group":
            targets |= {NodeKey("group", above) for above in ancestors_of(str(inside.name))}
        seen: set[NodeKey] = set()
        for first, position in _needed_by(expression).items():
            waiting: list[tuple[NodeKey, tuple[NodeKey, ...]]] = [(first, (first,))] if first not in seen else []
            while waiting:
                key, path = waiting.pop()
                if key in targets:
                    closing = () if key == inside else (inside,)
                    shown = tuple(_shown(step) for step in (inside, *path, *closing))
                    raise cycle(shown, position if positions else None)
                if key in seen:
                    continue
                seen.add(key)
                waiting.extend((needed, (*path, needed)) for needed in self.needs(key))

    def _rank(self, key: NodeKey) -> None:
        """Rank a new definition above what it needs; if that does not settle it, rank everything when next asked."""
        if not self._ranks_hold:
            return
        while True:
            rank = 1 + max((self.ranks.get(needed, 0) for needed in self.needs(key)), default=0)
            self.ranks[key] = rank
            above = [dependent for dependent in self.dependents(key) if self.ranks.get(dependent, 0) <= rank]
            if not above:
                return
            if len(above) > 1 or above[0] in self.ranks:
                self._ranks_hold = False
                return
            key = above[0]  # a parent that was just implied

    def rank_all(self) -> None:
        """Make the ranks hold: every node above all that it needs."""
        if self._ranks_hold:
            return
        missing = {key: sum(needed in self.nodes for needed in set(self.needs(key))) for key in self.nodes}
        ready = [key for key, count in missing.items() if count == 0]
        self.ranks = dict.fromkeys(ready, 1)
        while ready:
            key = ready.pop()
            for dependent in set(self.dependents(key)):
                self.ranks[dependent] = max(self.ranks.get(dependent, 0), self.ranks[key] + 1)
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    ready.append(dependent)
        self._ranks_hold = True


def _needed_by(expression: Expression) -> dict[NodeKey, int]:
    """Return the groups and namespaces that an expression names, with the first place of each."""
    needed: dict[NodeKey, int] = {}
    for term in terms_of(expression):
        if isinstance(term, InGroup):
            needed.setdefault(NodeKey("group", term.path), term.span[0])
        elif isinstance(term, InNamespace):
            needed.setdefault(NodeKey("namespace", term.name), term.span[0])
    return needed


def _shown(key: NodeKey) -> str:
    return f"/g{key.name}" if key.kind == "group" else f"/n/{key.name}"
