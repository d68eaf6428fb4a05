"""A decision of the log, and how it is carried out: its parts, what became of it, blobs on their way into a sink."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.bus.faults import passing
from libs.fleet import unpacked
from libs.gittree import RefLocked
from libs.gittree.workers import WorkerDied
from services.rendering.events import AdmissionDecided
from services.rendering.observing import UNKNOWN, Cause
from services.rendering.turns import pause
from services.rendering.writing.families import INLINE_OBJECTS_MAX, family_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from libs.gittree import Family, ObjectSink
    from services.rendering.target.placements import Placement
    from services.rendering.target.target import Part


class WritingFailed(OSError):  # noqa: N818 - it states the fact
    """A decision could not be written now; it is tried again, and nothing is folded before it is."""


@dataclass(slots=True)
class Decision:
    """An admission as decided: its parts, where and when the log took it, and itself as the cause of its commit."""

    parts: list[AdmissionDecided] = field(default_factory=list)
    position: int = 0
    at: datetime | None = None
    itself: Cause = UNKNOWN

    @property
    def first(self) -> AdmissionDecided:
        """What all parts say alike."""
        return self.parts[0]

    def given(self, key: str) -> dict[str, BitMap]:
        """Return the clusters of a placement that get another version than the chosen one, by that version."""
        found: dict[str, BitMap] = {}
        for part in self.parts:
            for name, clusters in part.given.items():
                placement, _, version = name.partition("@")
                if placement == key:
                    found[version] = found.get(version, BitMap()) | unpacked(clusters)
        return found

    @property
    def whole(self) -> bool:
        """Whether the last part has come."""
        return bool(self.parts) and len(self.parts) == self.parts[0].parts


@dataclass(frozen=True, slots=True)
class Materialised:
    """A decision carried out: the commit's tree, and whether a byte of the clusters' files changed."""

    tree: bytes
    changed: bool
    files: int


class Writes:
    """Blobs on their way into a sink: the next application is prepared while workers write the last ones."""

    UNDER_WAY_MAX = 4

    def __init__(self, sink: ObjectSink) -> None:
        self._sink = sink
        self._tasks: deque[asyncio.Task[None]] = deque()

    async def start(self, part: Part, placement: Placement) -> None:
        """Write the variants of a part; their ids are in the placement's columns after `finish`."""
        family, codes = await family_of(part)
        if family.count <= INLINE_OBJECTS_MAX:
            await self._write(family, codes, part, placement)
            return
        self._tasks.append(asyncio.ensure_future(self._write(family, codes, part, placement)))
        await pause()
        while len(self._tasks) >= self.UNDER_WAY_MAX:
            await self._tasks.popleft()

    async def _write(self, family: Family, codes: NDArray[np.int32] | None, part: Part, placement: Placement) -> None:
        ids = await self._sink.write_async(family)
        placement.blob.values[part.among] = ids if codes is None else ids[codes]

    async def finish(self) -> None:
        """Wait for all of them."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()


def may_pass(error: Exception) -> bool:
    """Whether carrying a decision out may go well the next time, without a restart."""
    return isinstance(error, WorkerDied | RefLocked | RuntimeError) or passing(error)
