"""Families: many Git objects of one shape, held as columns.

Object `i` is `parts[0] col0[i] parts[1] col1[i] … parts[-1]`. The one rule: no file becomes a Python object of its own;
rows exist only inside the loop that hashes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from libs.gittree.names import Mode, tree_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

ObjectType = Literal["blob", "tree", "commit"]
ID_BYTES = 20
# A dictionary of values this small is sent whole to a worker: picking the used ones would cost more than it saves.
_SMALL_DICTIONARY = 1024


@dataclass(frozen=True, slots=True, eq=False)
class SlotColumn:
    """Values of one slot: object `i` has `values[codes[i]]`, or `values[i]` where there are no codes."""

    values: Sequence[bytes]
    codes: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.codes is None else len(self.codes)

    def part(self, start: int, stop: int) -> SlotColumn:
        """Return the rows from `start` to before `stop`, with only the values that they use."""
        if self.codes is None:
            return SlotColumn(list(self.values[start:stop]))
        codes = self.codes[start:stop]
        if len(self.values) <= _SMALL_DICTIONARY:
            return SlotColumn(list(self.values), codes)
        used, inverse = np.unique(codes, return_inverse=True)
        return SlotColumn([self.values[code] for code in used.tolist()], inverse.astype(np.int32))

    def rows(self, encoded: Callable[[bytes], bytes] | None = None) -> list[bytes]:
        """Return one value per row; `encoded` is applied once per distinct value, not once per row."""
        values = self.values if encoded is None else [encoded(value) for value in self.values]
        if self.codes is None:
            return list(values)
        return [values[code] for code in self.codes.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class IdColumn:
    """Object ids of one slot of a tree: shape (n, 20)."""

    ids: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ids.shape[1] != ID_BYTES or self.ids.dtype != np.uint8:
            raise ValueError(f"ids are uint8 of shape (n, 20), not {self.ids.dtype} {self.ids.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> IdColumn:
        """Return the rows from `start` to before `stop`."""
        return IdColumn(self.ids[start:stop])

    def rows(self, encoded: Callable[[bytes], bytes] | None = None) -> list[bytes]:
        """Return one 20-byte id a row, with the constant head that `encoded` gives a 20-byte value."""
        if encoded is None:
            return split_rows(self.ids)
        head = encoded(bytes(ID_BYTES))[:-ID_BYTES]
        framed = np.empty((len(self.ids), len(head) + ID_BYTES), dtype=np.uint8)
        framed[:, : len(head)] = np.frombuffer(head, dtype=np.uint8)
        framed[:, len(head) :] = self.ids
        return split_rows(framed)


def split_rows(rows: NDArray[np.uint8]) -> list[bytes]:
    """Return each row of a two-dimensional byte array as bytes."""
    if not len(rows):
        return []
    # V, not S: numpy's S type drops trailing zero bytes.
    values: list[bytes] = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").ravel().tolist()
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """`count` objects of one shape. Equal rows are allowed and cost time, not space."""

    kind: ObjectType
    parts: tuple[bytes, ...]
    columns: tuple[SlotColumn | IdColumn, ...]
    count: int

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.columns) + 1:
            raise ValueError(
                f"{len(self.columns)} columns stand between {len(self.columns) + 1} parts, not {len(self.parts)}"
            )
        for number, column in enumerate(self.columns):
            if len(column) != self.count:
                raise ValueError(f"column {number} has {len(column)} rows, the family {self.count} objects")

    def part(self, start: int, stop: int) -> Family:
        """Return the objects from `start` to before `stop` as a family of their own."""
        stop = min(stop, self.count)
        if start == 0 and stop == self.count:
            return self
        columns = tuple(column.part(start, stop) for column in self.columns)
        return replace(self, columns=columns, count=stop - start)

    @property
    def shared_bytes(self) -> int:
        """How many bytes of every object are the family's literals."""
        return sum(map(len, self.parts))


def plain_family(kind: ObjectType, bodies: Sequence[bytes]) -> Family:
    """Return a family of objects that share nothing."""
    return Family(kind, (b"", b""), (SlotColumn(bodies),), len(bodies))


def tree_family(entries: Mapping[str, tuple[Mode, NDArray[np.uint8] | bytes]], count: int) -> Family:
    """Return `count` trees with the same entries: each has one id for all trees (20 bytes) or one a tree (n, 20).

    Raises:
        NameRefused: a name is not allowed.
    """
    names = list(entries)
    parts, order = tree_parts([(name, entries[name][0]) for name in names])
    literals, columns, pending = [], [], b""
    for part, position in zip(parts, order, strict=False):
        ids = entries[names[position]][1]
        if isinstance(ids, bytes):
            if len(ids) != ID_BYTES:
                raise ValueError("an object id has 20 bytes")
            pending += part + ids
        else:
            literals.append(pending + part)
            columns.append(IdColumn(ids))
            pending = b""
    return Family("tree", (*literals, pending), tuple(columns), count)


class ObjectSink(Protocol):
    """A destination of families: it returns their ids, in order, shape (count, 20)."""

    def write(self, family: Family) -> NDArray[np.uint8]:
        """Take the family's objects; blocks."""
        ...

    async def write_async(self, family: Family) -> NDArray[np.uint8]:
        """Take the family's objects without holding the event loop."""
        ...

    def add(self, kind: ObjectType, body: bytes) -> bytes:
        """Take one object; return its 20-byte id."""
        ...


__all__ = [
    "Family",
    "IdColumn",
    "Mode",
    "ObjectSink",
    "ObjectType",
    "SlotColumn",
    "plain_family",
    "split_rows",
    "tree_family",
]
