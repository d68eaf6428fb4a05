"""A selection index as bytes and back, exactly: ordinals, codes, members and unsettled changes.

Snapshots are disposable: a reader first checks that it is the one that was written (position, hash, `FORMAT`).
Expressions are kept as trees, not as text, so that thousands of them need no parsing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import numpy as np
from pyroaring import BitMap

from libs.selection import expression as ex
from libs.selection.column import LabelColumn
from libs.selection.graph import Definition, Graph, NodeKey
from libs.selection.labels import LabelColumns
from libs.selection.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_FORMAT = 1

_CLASSES: tuple[type[ex.Expression], ...] = get_args(ex.Expression)
_KINDS: dict[str, Callable[..., ex.Expression]] = {kind.__name__: kind for kind in _CLASSES}
_FIELDS = {kind: tuple(f.name for f in fields(kind) if f.compare) for kind in _CLASSES}


@dataclass(slots=True)
class UnsettledIndex:
    """What the next settling will report: members before, labels written, clusters moved, what existed then."""

    before: dict[NodeKey, BitMap] = field(default_factory=dict)
    labels: dict[str, BitMap] = field(default_factory=dict)
    moved: list[int] = field(default_factory=list)
    everything: BitMap = field(default_factory=BitMap)

    def copy(self) -> UnsettledIndex:
        """Return one of its own with the same content."""
        return UnsettledIndex(self.before.copy(), self.labels.copy(), self.moved.copy(), self.everything)


@dataclass(slots=True)
class IndexParts:
    """Everything that an index consists of while nothing waits to be evaluated."""

    names: Names
    labels: LabelColumns
    graph: Graph
    members: dict[NodeKey, BitMap]
    everything: BitMap
    unsettled: UnsettledIndex


def dump_index(parts: IndexParts) -> bytes:
    """Return `parts` as bytes.

    Raises:
        TypeError: a saved expression's key is something else than text, numbers, None and tuples of them.
    """
    names, unsettled = parts.names, parts.unsettled
    stores = [None if store == name else store for name, store in zip(names.texts, names.stores, strict=True)]
    columns = {
        key: (column.values, column.codes[: len(names.texts)].astype("<i4").tobytes())
        for key, column in parts.labels.columns.items()
    }
    nodes = [
        (key.kind, _plain(key.name), _tree(node.expression), node.clusters, node.stores, _bytes(parts.members, key))
        for key, node in parts.graph.nodes.items()
        if node.declared
    ]
    implied = [(key.name, _bytes(parts.members, key)) for key, node in parts.graph.nodes.items() if not node.declared]
    return msgspec.msgpack.encode(
        {
            "format": _FORMAT,
            "names": names.texts,
            "stores": stores,
            "columns": columns,
            "everything": parts.everything.serialize(),
            "nodes": nodes,
            "implied": implied,
            "before": [(key.kind, _plain(key.name), members.serialize()) for key, members in unsettled.before.items()],
            "labels": {key: clusters.serialize() for key, clusters in unsettled.labels.items()},
            "moved": unsettled.moved,
            "settled": unsettled.everything.serialize(),
        }
    )


def load_index(data: bytes) -> IndexParts:
    """Return what `dump_index` was given.

    Raises:
        ValueError: not a snapshot of this format.
    """
    read = msgspec.msgpack.decode(data)
    if not isinstance(read, dict) or read.get("format") != _FORMAT:
        raise ValueError(f"not a snapshot of the selection index in format {_FORMAT}")
    names = Names()
    for name, store in zip(read["names"], read["stores"], strict=True):
        names.put(name, name if store is None else store)
    labels, graph = LabelColumns(), Graph()
    members: dict[NodeKey, BitMap] = {}
    for key, (values, codes) in read["columns"].items():
        labels.columns[key] = _column(values, codes)
    for kind, name, tree, clusters, stores, node_members in read["nodes"]:
        node_key = NodeKey(kind, _hashable(name))
        graph.put(Definition(node_key, 0, _expression(tree), tuple(clusters), tuple(stores)), trusted=True)
        members[node_key] = BitMap.deserialize(node_members)
    for path, node_members in read["implied"]:
        members[NodeKey("group", path)] = BitMap.deserialize(node_members)
    unsettled = UnsettledIndex(
        {NodeKey(kind, _hashable(name)): BitMap.deserialize(clusters) for kind, name, clusters in read["before"]},
        {key: BitMap.deserialize(clusters) for key, clusters in read["labels"].items()},
        read["moved"],
        BitMap.deserialize(read["settled"]),
    )
    return IndexParts(names, labels, graph, members, BitMap.deserialize(read["everything"]), unsettled)


def _bytes(members: dict[NodeKey, BitMap], key: NodeKey) -> bytes:
    found = members.get(key)
    return (BitMap() if found is None else found).serialize()


def _column(values: list[Any], codes: bytes) -> LabelColumn:
    column = LabelColumn()
    for value in values[1:]:
        column.intern(value if isinstance(value, str) else tuple(value))
    column.codes = np.frombuffer(codes, dtype="<i4").astype(np.int32)
    return column


def _plain(key: Hashable) -> Any:
    if isinstance(key, tuple):
        return [_plain(part) for part in key]
    if key is None or isinstance(key, str | int | float | bytes):
        return key
    raise TypeError(f"a saved expression's key cannot be kept in a snapshot: {key!r}")


def _hashable(plain: Any) -> Hashable:
    return tuple(_hashable(part) for part in plain) if isinstance(plain, list) else plain


def _tree(expression: ex.Expression | None) -> Any:
    if expression is None:
        return None
    values: list[Any] = [type(expression).__name__]
    for name in _FIELDS[type(expression)]:
        value = getattr(expression, name)
        if isinstance(value, tuple):
            value = [part if isinstance(part, str) else _tree(part) for part in value]
        values.append(value if isinstance(value, str | list) else _tree(value))
    return values


def _expression(tree: Any) -> ex.Expression | None:
    return None if tree is None else _read(tree)


def _read(tree: list[Any]) -> ex.Expression:
    match tree:
        case ["Not", operand]:
            return ex.Not(_read(operand))
        case ["And", operands]:
            return ex.And(tuple(_read(operand) for operand in operands))
        case ["Or", operands]:
            return ex.Or(tuple(_read(operand) for operand in operands))
        case [kind, *values]:
            return _KINDS[kind](*(tuple(value) if isinstance(value, list) else value for value in values))
        case _:
            raise ValueError("not a tree of an expression")
