"""Merges the packs of many small commits into few, by copying entries, without inflating or judging objects.

Sizes follow a geometric progression, so that a byte is copied a logarithmic number of times and the big first pack
almost never. The one rule: a pack is removed only after every object in it is, durably and visibly, in another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.contracts.crash import crash_point
from libs.gittree.index import read_index
from libs.gittree.merge import merge_packs
from libs.gittree.owner import temporary_name
from libs.gittree.sink import publish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# This many packs, not counting large ones, are left alone.
PACKS_KEPT = 24
GEOMETRIC_FACTOR = 2
# Packs of this size and of this share of all bytes are left alone: they are few, and copying them takes seconds.
LARGE_PACK_BYTES = 96 * 1024 * 1024
LARGE_PACK_SHARE = 16


@dataclass(frozen=True, slots=True)
class Maintained:
    """How many packs there were, how many were merged away, and how many objects were copied."""

    packs: int
    removed: int
    objects: int


def consolidate(directory: Path, *, large_bytes: int = LARGE_PACK_BYTES) -> Maintained:
    """Merge the smallest packs of `objects/pack` until each left is large or twice all smaller ones together.

    Packs with a `.keep`, and packs that git made with offset deltas, are left as they are.
    """
    packs = _mergeable(directory)
    large = max(large_bytes, sum(size for size, _ in packs) // LARGE_PACK_SHARE)
    small = [(size, pack) for size, pack in packs if size < large]
    chosen = _geometric(small) if len(small) > PACKS_KEPT else []
    merged = [entries for entries in map(read_index, chosen) if entries is not None]
    if len(merged) < 2:
        return Maintained(len(packs), 0, 0)
    written = merge_packs(directory / temporary_name("pack"), merged)
    crash_point("gittree.packs-merged")
    new = {directory / f"pack-{checksum}.pack" for checksum in publish(directory, [written])}
    removed = [entries.path for entries in merged if entries.path not in new]
    # The index goes first: without it git no longer looks for the pack.
    for pack in removed:
        pack.with_suffix(".idx").unlink(missing_ok=True)
    crash_point("gittree.indexes-removed")
    for pack in removed:
        for suffix in (".pack", ".rev", ".bitmap"):
            pack.with_suffix(suffix).unlink(missing_ok=True)
    return Maintained(len(packs), len(removed), written.objects)


def _mergeable(directory: Path) -> list[tuple[int, Path]]:
    """Return (bytes, path) of every complete pack that nobody asked to keep, smallest first."""
    names = {path.name for path in directory.iterdir()}
    packs = []
    for name in sorted(names):
        stem, dot, suffix = name.rpartition(".")
        special = any(stem + other in names for other in (".keep", ".promisor", ".mtimes"))
        if dot and suffix == "pack" and stem.startswith("pack-") and stem + ".idx" in names and not special:
            packs.append(((directory / name).stat().st_size, directory / name))
    return sorted(packs)


def _geometric(packs: Sequence[tuple[int, Path]]) -> list[Path]:
    """Return the smallest packs whose merging leaves a geometric progression of sizes."""
    split, total = 0, 0
    for number, (size, _) in enumerate(packs):
        if size < GEOMETRIC_FACTOR * total or number == 0:
            split = number + 1
        total += size
    return [pack for _, pack in packs[:split]]
