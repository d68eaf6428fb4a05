"""What a change would admit: on each of some clusters one variant. An approval covers exactly that.

The one rule: a variant is compared by its whole digest. An author who may choose both of two values could make a
shortened digest collide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.fleet.bitmaps import bitmap, ordinals, packed, unpacked
from libs.fleet.distinct import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from libs.contracts import ApprovalRequested

VARIANT_BYTES = 16
_NAMED_MAX = 64
"""So many variants an event names itself; where there are more, each cluster's is in a blob."""
_CHUNK_BYTES = 2 * 1024 * 1024
REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Effect:
    """The variants (rows of two numbers; zeros: removed) that `clusters` would get, by ascending ordinal."""

    clusters: BitMap
    variants: NDArray[np.uint64]

    @property
    def digest(self) -> str:
        """What identifies it."""
        return hashlib.sha256(packed(self.clusters) + b"\0" + self.variants.astype("<u8").tobytes()).hexdigest()

    def of(self, clusters: BitMap) -> NDArray[np.uint64]:
        """Return the variants of some of its clusters."""
        some: NDArray[np.uint64] = self.variants[np.searchsorted(ordinals(self.clusters), ordinals(clusters))]
        return some

    def shared(self, other: Effect) -> BitMap:
        """Return the clusters that get the same variant from both."""
        both = self.clusters & other.clusters
        if not both:
            return both
        among = ordinals(both)
        return bitmap(among[(self.of(both) == other.of(both)).all(axis=1)])


@dataclass(frozen=True, slots=True)
class Fixed:
    """An effect as an event says it, with the blobs that go with the event."""

    digest: str
    variants: Mapping[str, bytes]
    names: list[str]
    blobs: Mapping[str, bytes]


def fixed(effect: Effect) -> Fixed:
    """Return an effect as an event says it."""
    among = ordinals(effect.clusters)
    body = effect.variants.astype("<u8").tobytes()
    columns = [np.unique(effect.variants[:, word], return_inverse=True)[1].reshape(-1) for word in (0, 1)]
    first, codes = distinct(columns, len(among))
    if len(first) <= _NAMED_MAX:
        named = {
            body[VARIANT_BYTES * row : VARIANT_BYTES * (row + 1)].hex(): packed(bitmap(among[codes == code]))
            for code, row in enumerate(first.tolist())
        }
        return Fixed(effect.digest, named, [], {})
    chunks = [body[start : start + _CHUNK_BYTES] for start in range(0, len(body), _CHUNK_BYTES)]
    names = [hashlib.sha256(chunk).hexdigest() for chunk in chunks]
    return Fixed(effect.digest, {}, names, dict(zip(names, chunks, strict=True)))


def effect_of(run: ApprovalRequested, blob: Callable[[str], bytes | None]) -> Effect | None:
    """Return what a run would admit; nothing where it was recorded without, or where the log lost some of it."""
    if not run.effect:
        return None
    try:
        return _remembered(_Asked(run, blob))
    except LookupError:
        return None


class _Asked:
    """A run whose effect is read unless it was lately: effects of one digest are the same."""

    __slots__ = ("blob", "run")

    def __init__(self, run: ApprovalRequested, blob: Callable[[str], bytes | None]) -> None:
        self.run, self.blob = run, blob

    def __hash__(self) -> int:
        return hash(self.run.effect)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.run.effect == other.run.effect


@lru_cache(maxsize=REMEMBERED)
def _remembered(asked: _Asked) -> Effect:
    found = _read(asked.run, asked.blob)
    if found.digest != asked.run.effect:
        raise LookupError(f"the effect of {asked.run.id} is not the one that was asked about")
    asked.blob = lambda _: None  # what is remembered keeps no log
    return found


def _read(run: ApprovalRequested, blob: Callable[[str], bytes | None]) -> Effect:
    clusters = unpacked(run.clusters) if run.clusters else BitMap()
    among = ordinals(clusters)
    variants = np.zeros((len(among), 2), np.uint64)
    left = np.ones(len(among), np.bool_)
    for digest, members in run.variants.items():
        here = np.isin(among, ordinals(unpacked(members)), assume_unique=True)
        variants[here] = np.frombuffer(bytes.fromhex(digest), "<u8")
        left &= ~here
    chunks = [chunk for name in run.variant_blobs if (chunk := blob(name)) is not None]
    body = b"".join(chunks)
    if len(chunks) < len(run.variant_blobs) or len(body) != VARIANT_BYTES * int(left.sum()):
        raise LookupError(f"the log lost a part of approval {run.id}")
    if body:
        variants[left] = np.frombuffer(body, "<u8").reshape(-1, 2)
    return Effect(clusters, variants)
