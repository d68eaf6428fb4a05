"""Words of the tree writer's tests: a small fleet, and git as the judge."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from libs.gittree import Family, Mode, PackSink, Repository, SlotColumn, Trailer, tree_body, tree_family
from libs.gittree.process import command, git_environment

if TYPE_CHECKING:
    from pathlib import Path

WHEN = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
MANIFEST = (b"kind: ConfigMap\nmetadata:\n  name: pos\n  labels: {load: 100%}\ndata:\n  store: ", b"\n  lanes: ", b"\n")


def git(repository: Path, *arguments: str, data: bytes | None = None) -> bytes:
    """Run git in the repository and return what it wrote; it must succeed."""
    done = subprocess.run(
        command(repository, *arguments), env=git_environment(), input=data, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def stores(count: int, first: int = 0) -> list[bytes]:
    return [b"store-%05d" % number for number in range(first, first + count)]


def manifests(names: list[bytes], lanes: bytes = b"2") -> Family:
    codes = np.zeros(len(names), dtype=np.int32)
    return Family("blob", MANIFEST, (SlotColumn(names), SlotColumn([lanes], codes)), len(names))


def write_fleet(sink: PackSink, names: list[bytes], lanes: bytes = b"2") -> str:
    """Write one manifest a store and the trees above; answers with the root's id in hex."""
    files = sink.write(manifests(names, lanes))
    folders = sink.write(tree_family({"pos.yaml": (Mode.FILE, files)}, len(names)))
    fleet = {name.decode(): (Mode.DIRECTORY, folder.tobytes()) for name, folder in zip(names, folders, strict=True)}
    clusters = sink.add("tree", tree_body(fleet))
    return sink.add("tree", tree_body({"clusters": (Mode.DIRECTORY, clusters)})).hex()


def commit_fleet(repository: Repository, names: list[bytes], lanes: bytes = b"2") -> str:
    """Write, commit and move the branch, as a writer does."""
    parent = repository.head()
    with repository.pack() as sink:
        root = write_fleet(sink, names, lanes)
        trailers = [Trailer("Epoch", "1"), Trailer("Position", "42")]
        commit = repository.commit(root, parent, f"Lanes {lanes!r}", None, WHEN, trailers=trailers, sink=sink)
        sink.finish()
    repository.move(parent, commit)
    return commit


def packs(repository: Repository) -> list[Path]:
    return sorted((repository.path / "objects" / "pack").glob("*.pack"))


def left_over(repository: Repository) -> list[str]:
    return sorted(path.name for path in repository.path.rglob("tmp_*")) + sorted(
        path.name for path in repository.path.rglob("*.lock")
    )
