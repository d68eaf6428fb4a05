"""How fast a fleet becomes packs, against `git fast-import` of the same files, and what many small commits cost.

fast-import gets a fleet of `_FAST_IMPORT_STORES` stores with the same files, its input ready in a file; its rate is in
files a second, as ours is. That favours fast-import, whose trees grow with the fleet.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from libs.gittree import (
    Family,
    IdSink,
    Mode,
    PackSink,
    Repository,
    SlotColumn,
    Trailer,
    Workers,
    plain_family,
    tree_body,
    tree_family,
)
from libs.gittree.entries import object_bodies
from libs.gittree.process import command, git_environment

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STORES = 60_000
_NAMESPACES = 5
_APPLICATIONS = 5
_FAST_IMPORT_STORES = 2_000
_SMALL_COMMITS = 400
_WHEN = datetime(2026, 3, 1, tzinfo=UTC)
_LITERAL = b"".join(
    b"      - name: OPTION_%d\n        value: 'a value that is the same everywhere'\n" % n for n in range(16)
)

Tree = dict[str, tuple[Mode, bytes]]


def _names(stores: int) -> list[bytes]:
    return [b"tx-austin-%05d" % number for number in range(stores)]


def _application(namespace: int, application: int, names: list[bytes]) -> Family:
    """Return a Deployment a store of about 1.5 kB; its name and its lanes make it unique."""
    head = b"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-%d-%d\n  annotations: {store: " % (
        namespace,
        application,
    )
    codes = np.arange(len(names), dtype=np.int32) % 96
    lanes = SlotColumn([b"%d" % number for number in range(96)], codes)
    parts = (head, b"}\nspec:\n  template:\n    env:\n" + _LITERAL + b"      - name: LANES\n        value: '", b"'\n")
    return Family("blob", parts, (SlotColumn(names), lanes), len(names))


def _flux(namespace: int, names: list[bytes]) -> Family:
    head = b"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: team-%d\n" % namespace
    head += b"  namespace: flux-system\nspec:\n  interval: 5m\n  prune: true\n  wait: true\n  path: ./clusters/"
    return Family("blob", (head, b"/team-%d\n" % namespace), (SlotColumn(names),), len(names))


async def _namespace(sink: PackSink, namespace: int, names: list[bytes]) -> NDArray[np.uint8]:
    families = [_application(namespace, application, names) for application in range(_APPLICATIONS)]
    files = await asyncio.gather(*(sink.write_async(family) for family in families))
    shared = sink.add("blob", b"kind: Namespace %d\n" % namespace)
    entries: dict[str, tuple[Mode, NDArray[np.uint8] | bytes]] = {
        f"app-{number}.yaml": (Mode.FILE, ids) for number, ids in enumerate(files)
    }
    entries |= {"kustomization.yaml": (Mode.FILE, shared), "namespace.yaml": (Mode.FILE, shared)}
    return await sink.write_async(tree_family(entries, len(names)))


async def _fleet(sink: PackSink, names: list[bytes]) -> bytes:
    """Write the whole tree of DESIGN's layout; answers with the root's id."""
    spaces = await asyncio.gather(*(_namespace(sink, number, names) for number in range(_NAMESPACES)))
    files = await asyncio.gather(*(sink.write_async(_flux(number, names)) for number in range(_NAMESPACES)))
    flux = {f"kustomization-team-{number}.yaml": (Mode.FILE, ids) for number, ids in enumerate(files)}
    clusters = {f"team-{number}": (Mode.DIRECTORY, ids) for number, ids in enumerate(spaces)}
    clusters["flux-system"] = (Mode.DIRECTORY, await sink.write_async(tree_family(flux, len(names))))
    ids = await sink.write_async(tree_family(clusters, len(names)))
    shards: dict[int, Tree] = {}
    for number, (name, row) in enumerate(zip(names, ids, strict=True)):
        shards.setdefault(number % 4096, {})[name.decode()] = (Mode.DIRECTORY, row.tobytes())
    lower = await sink.write_async(plain_family("tree", [tree_body(shard) for shard in shards.values()]))
    upper: dict[str, Tree] = {}
    for shard, row in zip(shards, lower, strict=True):
        upper.setdefault(f"{shard >> 8:x}", {})[f"{shard & 255:02x}"] = (Mode.DIRECTORY, row.tobytes())
    top = {name: (Mode.DIRECTORY, sink.add("tree", tree_body(shard))) for name, shard in upper.items()}
    return sink.add("tree", tree_body({"clusters": (Mode.DIRECTORY, sink.add("tree", tree_body(top)))}))


async def _write(repository: Repository, workers: Workers, stores: int) -> float:
    """Return the seconds from the first family to the moved branch, all on disk."""
    names = _names(stores)
    started = time.perf_counter()
    with repository.pack(workers) as sink:
        root = await _fleet(sink, names)
        commit = repository.commit(root.hex(), None, "Admit the fleet", None, _WHEN, sink=sink)
        await sink.finish_async()
    await asyncio.to_thread(repository.move, None, commit)
    return time.perf_counter() - started


def _hashing_floor(stores: int) -> float:
    """Return the files a second of one process that formats and hashes and does nothing else."""
    family = _application(0, 0, _names(stores))
    started = time.perf_counter()
    IdSink().write(family)
    return stores / (time.perf_counter() - started)


def _fast_import(directory: Path, stores: int) -> float:
    """Return the files a second of `git fast-import`, which gets the same files at the same paths."""
    names = _names(stores)
    repository = Repository.create(directory / "fast-import.git")
    stream = directory / "stream"
    files = 0
    with stream.open("wb") as target:
        target.write(b"commit refs/heads/main\ncommitter x <x@x> 1772323200 +0000\ndata 1\nx\n")
        for namespace in range(_NAMESPACES):
            families = {f"app-{n}.yaml".encode(): _application(namespace, n, names) for n in range(_APPLICATIONS)}
            columns = {f"team-{namespace}/".encode() + file: object_bodies(family) for file, family in families.items()}
            columns[b"flux-system/kustomization-team-%d.yaml" % namespace] = object_bodies(_flux(namespace, names))
            for file, column in columns.items():
                for number, body in enumerate(column):
                    path = b"clusters/%x/%02x/%s/%s" % (number % 4096 >> 8, number & 255, names[number], file)
                    target.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(body), body))
                    files += 1
    started = time.perf_counter()
    with stream.open("rb") as source:
        arguments = command(repository.path, "fast-import", "--quiet")
        subprocess.run(arguments, env=git_environment(), stdin=source, check=True)
    return files / (time.perf_counter() - started)


def _small_commits(repository: Repository, count: int) -> tuple[float, int, float]:
    """Change one file of the fleet `count` times; answers with p99 seconds, packs, and all of maintenance's seconds."""
    head = repository.head()
    if head is None:
        raise RuntimeError("the fleet was not written")
    clusters, shard = (
        {entry.name: (entry.mode, bytes.fromhex(entry.id)) for entry in repository.read_tree(head, path)}
        for path in ("clusters", "clusters/0")
    )
    seconds, maintained = [], 0.0
    for number in range(count):
        started = time.perf_counter()
        with repository.pack() as sink:
            shard["changed.yaml"] = (Mode.FILE, sink.add("blob", b"changed: %d\n" % number))
            clusters["0"] = (Mode.DIRECTORY, sink.add("tree", tree_body(shard)))
            top = sink.add("tree", tree_body(clusters))
            root = sink.add("tree", tree_body({"clusters": (Mode.DIRECTORY, top)})).hex()
            trailers = [Trailer("Position", str(number))]
            when = _WHEN + timedelta(seconds=number)
            commit = repository.commit(root, head, "Change one store", None, when, trailers=trailers, sink=sink)
            sink.finish()
        repository.move(head, commit)
        seconds.append(time.perf_counter() - started)
        head, started = commit, time.perf_counter()
        repository.maintain()
        maintained += time.perf_counter() - started
    return float(np.percentile(seconds, 99)), len(list(repository.path.glob("objects/pack/*.pack"))), maintained


def run(stores: int = _STORES) -> list[dict[str, object]]:
    """Measure on two workers; values are for this machine as it is loaded now."""
    files = stores * _NAMESPACES * (_APPLICATIONS + 1)
    with tempfile.TemporaryDirectory() as temporary, Workers(2) as workers:
        directory = Path(temporary)
        repository = Repository.create(directory / "fleet.git")
        seconds = asyncio.run(_write(repository, workers, stores))
        floor = _hashing_floor(stores)
        baseline = _fast_import(directory, min(stores, _FAST_IMPORT_STORES))
        p99, packs, maintained = _small_commits(repository, _SMALL_COMMITS)
        megabytes = sum(path.stat().st_size for path in repository.path.glob("objects/pack/*.pack")) / 1e6
        repository.close()
    rate = files / seconds
    name = f"{stores:,} stores x {_NAMESPACES * _APPLICATIONS} applications packed"
    return [
        _figure(name, seconds, "s", 7),
        _figure("files packed, 2 workers", rate, "files/s", None)
        | {"baseline": round(baseline), "ratio": rate / baseline},
        _figure("bound: files formatted and hashed only, 1 process", floor, "files/s", None),
        _figure("packs' size", megabytes, "MB", None),
        _figure("one-file commit, durable, p99", p99 * 1000, "ms", 60),
        _figure(f"packs after {_SMALL_COMMITS} commits", packs, "packs", 50),
        _figure("maintenance a commit", maintained / _SMALL_COMMITS * 1000, "ms", None),
    ]


def _figure(name: str, value: float, unit: str, target: float | None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "target": target}


if __name__ == "__main__":
    for figure in run():
        print(json.dumps(figure))
