"""Git's exact bytes: object ids, pack entries and deltas (gitformat-pack(5)).

A family is written as one whole object and, against it, deltas that copy the literals and insert the slots' values. A
delta is nearly incompressible, so its zlib stream holds one stored block: framing costs a tenth of compressing. The one
rule: a delta's base is always a whole object of the same pack, so every chain has length one.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from libs.gittree.family import Family, ObjectType

KIND_CODES: Final[dict[ObjectType, int]] = {"commit": 1, "tree": 2, "blob": 3}
REF_DELTA = 7
PACK_HEADER = struct.Struct(">4sII")
_INSERT_BYTES_MAX = 127
# Git itself never copies more than 64 KiB in one operation; one byte less avoids the special encoding of that size.
_COPY_BYTES_MAX = 0xFFFF
_STORED_BYTES_MAX = 0xFFFF
# A literal this short is cheaper inserted (its length byte and itself) than copied (up to seven bytes).
_COPY_WORTHWHILE_BYTES = 8
# Below this many literal bytes an object is written whole.
SHARED_BYTES_MIN = 48
_BIG_ENDIAN = struct.Struct(">I")


def object_id(kind: ObjectType, body: bytes) -> bytes:
    """Return the 20-byte SHA-1 that Git gives the object."""
    return sha1(b"%s %d\0" % (kind.encode(), len(body)) + body, usedforsecurity=False).digest()


def varint(size: int) -> bytes:
    """Return a delta's size: seven bits a byte, least significant first."""
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def entry_head(code: int, size: int) -> bytes:
    """Return a pack entry's head: type and inflated size."""
    first, rest = code << 4 | size & 0x0F, size >> 4
    return bytes([first]) if not rest else bytes([first | 0x80]) + varint(rest)


def full_entry(kind: ObjectType, body: bytes) -> bytes:
    """Return the entry of a whole object."""
    return entry_head(KIND_CODES[kind], len(body)) + zlib.compress(body, 1)


def inserted(value: bytes) -> bytes:
    """Return the delta operations that insert `value`."""
    if len(value) <= _INSERT_BYTES_MAX:
        return bytes([len(value)]) + value if value else b""
    pieces = (value[at : at + _INSERT_BYTES_MAX] for at in range(0, len(value), _INSERT_BYTES_MAX))
    return b"".join(bytes([len(piece)]) + piece for piece in pieces)


def _copied(offset: int, size: int) -> bytes:
    """Return the delta operations that copy `size` bytes of the base from `offset`."""
    out = bytearray()
    while size:
        step = min(size, _COPY_BYTES_MAX)
        operation, arguments = 0x80, bytearray()
        for bit, byte in enumerate(offset.to_bytes(4, "little") + step.to_bytes(2, "little")):
            if byte:
                operation |= 1 << bit
                arguments.append(byte)
        out.append(operation)
        out += arguments
        offset += step
        size -= step
    return bytes(out)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chunk of objects: ids (n, 20), their pack entries and the entries' CRC-32. Deltas stand against the first."""

    ids: NDArray[np.uint8]
    entries: list[bytes]
    crcs: list[int]


class _Heads(dict[int, bytes]):
    """Bytes that depend on a size alone, made once per size."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, size: int) -> bytes:
        head = self[size] = self._make(size)
        return head


def _object_heads(kind: ObjectType) -> _Heads:
    name = kind.encode()
    return _Heads(lambda size: b"%s %d\0" % (name, size))


def _format(literals: list[bytes]) -> bytes:
    return b"%b".join(literal.replace(b"%", b"%%") for literal in literals)


def object_bodies(family: Family) -> Iterator[bytes]:
    """Yield the bytes of each object."""
    if not family.columns:
        return itertools.repeat(family.parts[0], family.count)
    if len(family.columns) == 1 and not any(family.parts):
        return iter(family.columns[0].rows())
    shape = _format(list(family.parts))
    return (shape % row for row in zip(*(column.rows() for column in family.columns), strict=True))


def ids_of(family: Family) -> NDArray[np.uint8]:
    """Return the ids alone, shape (count, 20)."""
    heads, hashed = _object_heads(family.kind), sha1
    digests = b"".join(hashed(heads[len(body)] + body).digest() for body in object_bodies(family))
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 20)


def encode_full(family: Family) -> Encoded:
    """Encode every object whole."""
    ids, entries = [], []
    for body in object_bodies(family):
        ids.append(object_id(family.kind, body))
        entries.append(full_entry(family.kind, body))
    return Encoded(_as_ids(ids), entries, [zlib.crc32(entry) for entry in entries])


def encode_deltas(family: Family) -> Encoded:
    """Encode the first object whole and the others as deltas against it."""
    base = next(object_bodies(family))
    base_id = object_id(family.kind, base)
    if not family.columns:
        entry = full_entry(family.kind, base)
        return Encoded(
            _as_ids([base_id]).repeat(family.count, axis=0), [entry] * family.count, [zlib.crc32(entry)] * family.count
        )
    shape, operations = _format(list(family.parts)), _format(_literal_operations(family))
    rows = zip(*(column.rows() for column in family.columns), strict=True)
    insertions = zip(*(column.rows(inserted) for column in family.columns), strict=True)
    heads = _object_heads(family.kind)
    delta_heads = _Heads(lambda size: varint(len(base)) + varint(size))
    stored_heads = _Heads(lambda size: _stored_head(base_id, size))
    # The loop below runs millions of times: everything it calls is local and every size-dependent byte is looked up.
    hashed, adler, crc, big_endian = sha1, zlib.adler32, zlib.crc32, _BIG_ENDIAN.pack
    ids: list[bytes] = []
    entries: list[bytes] = []
    crcs: list[int] = []
    keep_id, keep_entry, keep_crc = ids.append, entries.append, crcs.append
    for row, insertion in zip(rows, insertions, strict=True):
        body = shape % row
        size = len(body)
        keep_id(hashed(heads[size] + body).digest())
        delta = delta_heads[size] + operations % insertion
        entry = stored_heads[len(delta)] + delta + big_endian(adler(delta))
        keep_entry(entry)
        keep_crc(crc(entry))
    _replace_long(family, base_id, entries, crcs)
    entries[0] = full_entry(family.kind, base)
    crcs[0] = crc(entries[0])
    return Encoded(_as_ids(ids), entries, crcs)


def _replace_long(family: Family, base_id: bytes, entries: list[bytes], crcs: list[int]) -> None:
    """Write whole those few objects whose delta does not fit into one stored block."""
    limit = _STORED_BYTES_MAX + 4 + len(_stored_head(base_id, _STORED_BYTES_MAX))
    long = {number for number, entry in enumerate(entries) if len(entry) > limit}
    if not long:
        return
    for number, body in enumerate(object_bodies(family)):
        if number in long:
            entries[number] = full_entry(family.kind, body)
            crcs[number] = zlib.crc32(entries[number])


def _stored_head(base_id: bytes, size: int) -> bytes:
    """Return the bytes before a delta of `size` bytes: entry, base, zlib head (RFC 1950), block head (RFC 1951)."""
    length = min(size, _STORED_BYTES_MAX)
    block = b"\x78\x01\x01" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")
    return entry_head(REF_DELTA, size) + base_id + block


def _literal_operations(family: Family) -> list[bytes]:
    """Return for each literal the operations that copy it out of the family's first object."""
    first = [column.rows()[0] if len(column) else b"" for column in (c.part(0, 1) for c in family.columns)]
    operations, offset = [], 0
    for number, literal in enumerate(family.parts):
        short = len(literal) < _COPY_WORTHWHILE_BYTES
        operations.append(inserted(literal) if short else _copied(offset, len(literal)))
        offset += len(literal) + (len(first[number]) if number < len(first) else 0)
    return operations


def _as_ids(ids: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, 20)
