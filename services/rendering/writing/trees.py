"""Builds the GitOps tree: only changed parts are built again, from the blobs up to the root.

A directory exists exactly while something admitted is in it, and names exactly the files that it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyroaring import BitMap

from libs.contracts.tree import cluster_path, shard
from libs.fleet import bitmap, distinct_rows, ordinals
from libs.gittree import Family, Mode, tree_body, tree_family
from libs.gittree import SlotColumn as Values
from services.rendering.turns import pause
from services.rendering.writing import layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from libs.gittree import ObjectSink
    from services.rendering.model.trees import NamespaceTree, Trees
    from services.rendering.target.placements import Placement, Placements

_WORD = 62
SHARDS_A_TURN = 32


async def rebuild_trees(
    trees: Trees,
    placements: Placements,
    names: Callable[[int], str],
    changed: Mapping[str, BitMap],
    clusters: BitMap,
    sink: ObjectSink,
) -> bytes | None:
    """Build the trees above the changes; return the id of `clusters/`, or None if no cluster is left.

    `changed` holds per namespace the clusters on which a file of it changed; `clusters` those added or removed.
    """
    trees.moved |= clusters
    touched = clusters.copy()
    for namespace, where in sorted(changed.items()):
        here = ordinals(where & trees.registered)
        trees.moved |= await _namespace(trees, placements, namespace, here, sink)
        touched |= where
    order = sorted(trees.namespaces)
    await _flux(trees, order, ordinals(trees.moved & trees.registered), names, sink)
    await _clusters(trees, order, ordinals(touched & trees.registered), sink)
    return await _upward(trees, names, touched, sink)


async def _namespace(
    trees: Trees, placements: Placements, namespace: str, here: NDArray[np.int64], sink: ObjectSink
) -> BitMap:
    """Build one namespace's directories; return the clusters on which it appeared or vanished."""
    own = trees.at(namespace)
    inside = placements.of_namespace(namespace)
    was = own.present.values[here]
    flags = [placement.release.values[here] != 0 for placement in inside]
    async for rows, there in _shapes(flags, len(here)):
        some = here[rows]
        own.present.values[some] = bool(there)
        if not there:
            own.content.values[some] = 0
            own.tree.values[some] = 0
            continue
        own.tree.values[some] = await _namespace_trees(trees, own, [inside[index] for index in there], some, sink)
    return bitmap(here[own.present.values[here] != was])


async def _namespace_trees(
    trees: Trees, own: NamespaceTree, inside: Sequence[Placement], some: NDArray[np.int64], sink: ObjectSink
) -> NDArray[np.uint8]:
    files = ("namespace.yaml", *(placement.file for placement in inside))
    entries: dict[str, Any] = {
        placement.file: (Mode.FILE, np.ascontiguousarray(placement.blob.values[some])) for placement in inside
    }
    entries["kustomization.yaml"] = (Mode.FILE, sink.add("blob", layout.kustomization_file(files)))
    codes, inverse = np.unique(own.content.values[some], return_inverse=True)
    texts = [sink.add("blob", trees.contents.names[code].encode()) for code in codes.tolist()]
    ids = np.frombuffer(b"".join(texts), np.uint8).reshape(-1, 20)
    entries["namespace.yaml"] = (Mode.FILE, ids[inverse.reshape(-1)] if len(texts) > 1 else texts[0])
    return await sink.write_async(tree_family(entries, len(some)))


async def _flux(
    trees: Trees, order: Sequence[str], here: NDArray[np.int64], names: Callable[[int], str], sink: ObjectSink
) -> None:
    """Build Flux's directories on clusters whose set of namespaces changed."""
    flags = [trees.namespaces[namespace].present.values[here] for namespace in order]
    paths = [cluster_path(names(ordinal)).encode("ascii") for ordinal in here.tolist()]
    codes = trees.layout.values[here]
    flags += [codes == code for code in layout.LAYOUTS]
    async for rows, there in _shapes(flags, len(here)):
        inside = [order[index] for index in there if index < len(order)]
        if not inside:
            trees.flux.values[here[rows]] = _empty_flux(sink)
            continue
        laid_out = layout.LAYOUTS[int(codes[rows[0]])]
        files = {name: parts for each in inside for name, parts in layout.flux_files(each, laid_out).items()}
        entries: dict[str, Any] = {}
        some = [paths[row] for row in rows.tolist()]
        for name, parts in files.items():
            family = Family("blob", parts, (Values(some),), len(rows))
            entries[name] = (Mode.FILE, await sink.write_async(family))
        text = layout.kustomization_file(tuple(entries))
        entries["kustomization.yaml"] = (Mode.FILE, sink.add("blob", text))
        trees.flux.values[here[rows]] = await sink.write_async(tree_family(entries, len(rows)))


async def _clusters(trees: Trees, order: Sequence[str], here: NDArray[np.int64], sink: ObjectSink) -> None:
    flags = [trees.namespaces[namespace].present.values[here] for namespace in order]
    async for rows, there in _shapes(flags, len(here)):
        some = here[rows]
        if not there:
            own = tree_body({layout.FLUX_NAMESPACE: (Mode.DIRECTORY, _empty_flux(sink).tobytes())})
            trees.cluster.values[some] = np.frombuffer(sink.add("tree", own), np.uint8)
            continue
        entries: dict[str, Any] = {
            order[index]: (Mode.DIRECTORY, np.ascontiguousarray(trees.namespaces[order[index]].tree.values[some]))
            for index in there
        }
        entries[layout.FLUX_NAMESPACE] = (Mode.DIRECTORY, np.ascontiguousarray(trees.flux.values[some]))
        trees.cluster.values[some] = await sink.write_async(tree_family(entries, len(some)))


def _empty_flux(sink: ObjectSink) -> NDArray[np.uint8]:
    """Return the id of Flux's directory on a cluster without namespaces: the same for all of them."""
    file = sink.add("blob", layout.kustomization_file(()))
    return np.frombuffer(sink.add("tree", tree_body({"kustomization.yaml": (Mode.FILE, file)})), np.uint8)


async def _upward(trees: Trees, names: Callable[[int], str], touched: BitMap, sink: ObjectSink) -> bytes | None:
    """Build the shards above the clusters that changed, and `clusters/` itself."""
    dirty: dict[str, set[str]] = {}
    for ordinal in touched:
        first, second = shard(names(ordinal))
        dirty.setdefault(first, set()).add(second)
    for first, seconds in sorted(dirty.items()):
        ids = trees.shard_ids.setdefault(first, {})
        for number, second in enumerate(sorted(seconds), 1):
            if number % SHARDS_A_TURN == 0:
                await pause()
            inside = trees.shards.get(first, {}).get(second, {})
            _replace(ids, second, {name: trees.cluster.values[at].tobytes() for name, at in inside.items()}, sink)
        _replace(trees.first_ids, first, ids, sink)
        await pause()
    return _tree(trees.first_ids, sink) if trees.first_ids else None


def _replace(ids: dict[str, bytes], name: str, inside: Mapping[str, bytes], sink: ObjectSink) -> None:
    if inside:
        ids[name] = _tree(inside, sink)
    else:
        ids.pop(name, None)


def _tree(directories: Mapping[str, bytes], sink: ObjectSink) -> bytes:
    return sink.add("tree", tree_body({name: (Mode.DIRECTORY, each) for name, each in directories.items()}))


async def _shapes(flags: Sequence[NDArray[np.bool_]], count: int) -> AsyncIterator[tuple[NDArray[np.int64], list[int]]]:
    """Yield (rows, which flags are set there) for each distinct combination of flags."""
    if not count:
        return
    words = np.zeros((count, max(1, -(-len(flags) // _WORD))), np.int64)
    for index, flag in enumerate(flags):
        word, bit = divmod(index, _WORD)
        words[:, word] |= flag.astype(np.int64) << bit
    distinct, codes = distinct_rows(words)
    for code, row in enumerate(distinct):
        there = [index for index in range(len(flags)) if row[index // _WORD] >> (index % _WORD) & 1]
        yield np.flatnonzero(codes == code), there
        await pause()
