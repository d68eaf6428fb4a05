"""From a decision to Git objects: the files of its clusters, and the trees above them.

The result follows from the log alone. Executed again, by any process, a decision gives the same tree.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.fleet import bitmap, ordinals, unpacked
from libs.fleet.parts import microseconds
from libs.gittree import tree_body
from libs.gittree.names import Mode
from services.rendering.model import Model
from services.rendering.target.inputs import NO_VALUE
from services.rendering.target.target import wanted
from services.rendering.turns import pause
from services.rendering.writing import layout
from services.rendering.writing.families import INLINE_OBJECTS_MAX, family_of
from services.rendering.writing.trees import rebuild_trees

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from libs.contracts import AdmissionDecided
    from libs.eventlog import EventLog
    from libs.gittree import Family, ObjectSink
    from services.rendering.model.decision import DecidedAdmission
    from services.rendering.target.placements import Placement
    from services.rendering.target.target import TargetPart

PAGE_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Materialised:
    """An executed decision: the commit's tree, and whether a byte of the clusters' files changed."""

    tree: bytes
    changed: bool
    files: int


class Writes:
    """Blobs on their way into a sink: the next application is prepared while workers write the last ones."""

    UNDER_WAY_MAX = 4

    def __init__(self, sink: ObjectSink) -> None:
        self._sink = sink
        self._tasks: deque[asyncio.Task[None]] = deque()

    async def start(self, part: TargetPart, placement: Placement) -> None:
        """Write the variants of a part; their ids are in the placement's columns after `finish`."""
        family, codes = await family_of(part)
        if family.count <= INLINE_OBJECTS_MAX:
            await self._write(family, codes, part, placement)
            return
        self._tasks.append(asyncio.ensure_future(self._write(family, codes, part, placement)))
        await pause()
        while len(self._tasks) >= self.UNDER_WAY_MAX:
            await self._tasks.popleft()

    async def _write(
        self, family: Family, codes: NDArray[np.int32] | None, part: TargetPart, placement: Placement
    ) -> None:
        ids = await self._sink.write_async(family)
        placement.blob.values[part.among] = ids if codes is None else ids[codes]

    async def finish(self) -> None:
        """Wait for all of them."""
        await asyncio.gather(*self._tasks)
        self._tasks.clear()


async def materialise(model: Model, decision: DecidedAdmission, sink: ObjectSink) -> Materialised:
    """Render the files of a decision's clusters as of the log now; build the trees above.

    May be repeated with another sink if the first one failed.
    """
    model.apply(decision)
    changed: dict[str, BitMap] = {}
    writes = Writes(sink)
    files = 0
    for part in decision.parts:
        for key, packed_clusters in part.applications.items():
            among = ordinals(unpacked(packed_clusters))
            await _give(model, decision, key, among, writes)
            files += len(among)
            namespace = key.split("/", 1)[0]
            changed[namespace] = changed.get(namespace, BitMap()) | bitmap(among)
        for namespace, packed_clusters in part.namespaces.items():
            among_set = unpacked(packed_clusters)
            _set_content(model, namespace, among_set)
            changed[namespace] = changed.get(namespace, BitMap()) | among_set
    await writes.finish()
    clusters = _register(model, decision)
    names = model.fleet.selection.name
    model.clusters_tree = await rebuild_trees(model.trees, model.placements, names, changed, clusters, sink)
    tree = _root(model, decision.first, sink)
    different = model.clusters_tree != model.written_tree or model.must_commit or not model.parent
    return Materialised(tree, different, files)


async def render_again(model: Model, events: EventLog, until: int, sink: ObjectSink) -> None:
    """Write every object of the log's decisions up to a position, except the commits, into a sink."""
    fresh = Model(model.fleet.blob, model.branch)
    while fresh.position < until:
        for recorded in await asyncio.to_thread(events.read_recorded, fresh.position, PAGE_EVENTS):
            decision = fresh.fold(recorded) if recorded.position <= until else None
            if decision is not None:
                await materialise(fresh, decision, sink)


def namespace_content(model: Model, namespace: str) -> int | None:
    """Return the code of the `namespace.yaml` that a namespace should have, if it is declared."""
    declared = model.fleet.namespaces.get(namespace)
    if declared is None:
        return None
    text = layout.namespace_file(namespace, declared.namespace_labels).decode()
    return model.trees.contents.code(text)


async def _give(model: Model, decision: DecidedAdmission, key: str, among: NDArray[np.int64], writes: Writes) -> None:
    """Update one placement on some clusters: the columns, and the blobs to write."""
    at, given = decision.first.instant or decision.taken_at, decision.given(key)
    placement = model.placements.at(key)
    placement.release.values[among] = 0
    placement.variant.values[among] = NO_VALUE
    placement.blob.values[among] = 0
    placement.admission.values[among] = len(model.placements.admissions)
    here = model.fleet.applications.get(placement.application)
    if here is not None and here.namespace == placement.namespace:
        for part in wanted(model.fleet, model.inputs, placement.application, among, at, given).parts:
            await pause()
            placement.release.values[part.among] = model.placements.version_code(part.release)
            placement.variant.values[part.among] = part.variants
            await writes.start(part, placement)
    differs = placement.differs(among)
    placement.pending = (placement.pending - bitmap(among)) | bitmap(among[differs])
    if not placement.pending:
        model.behind.pop(key, None)


def _set_content(model: Model, namespace: str, among: BitMap) -> None:
    code = namespace_content(model, namespace)
    if code is not None:
        model.trees.set_content(namespace, ordinals(among), code)


def _register(model: Model, decision: DecidedAdmission) -> BitMap:
    """Add or remove directories of clusters; return the clusters whose directories changed."""
    clusters = BitMap()
    for part in decision.parts:
        clusters |= unpacked(part.clusters)
    selection, trees = model.fleet.selection, model.trees
    live = selection.everything
    trees.register(clusters & live, selection.name, layout.OLDEST.code)
    for ordinal in clusters - live:
        trees.deregister(ordinal, selection.name(ordinal))
    at = microseconds(decision.taken_at)
    for part in decision.parts:
        for code, packed_clusters in part.layouts.items():
            moved = unpacked(packed_clusters)
            trees.lay_out(moved, int(code), at)
            clusters |= moved
    return clusters


def _root(model: Model, decision: AdmissionDecided, sink: ObjectSink) -> bytes:
    facts = {
        "epoch": model.epoch,
        "position": decision.model_position,
        "clusters": len(model.trees.registered),
        "placements": model.placements.admitted_count(),
        "digest": f"sha1:{model.clusters_tree.hex()}" if model.clusters_tree else "",
    }
    manifest = sink.add("blob", layout.manifest_file(facts))
    own = sink.add("tree", tree_body({"manifest.json": (Mode.FILE, manifest)}))
    entries = {layout.MANIFEST_DIRECTORY: (Mode.DIRECTORY, own)}
    if model.clusters_tree:
        entries["clusters"] = (Mode.DIRECTORY, model.clusters_tree)
    return sink.add("tree", tree_body(entries))
