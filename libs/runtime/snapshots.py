"""Snapshots of in-memory models on disk: disposable, replaced at once, ignored if damaged.

A snapshot only saves time; if it is unusable, the model is built from the log.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import structlog

from libs.bus import ModelConsumer
from libs.eventlog import EventLog

DIGEST_BYTES = 32
"""A file begins with the SHA-256 of the rest: otherwise a flipped bit in a label would not be noticed."""

log = structlog.get_logger("resedge.snapshots")


class Snapshots:
    """The snapshots of a process's models, one file per model."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, model: ModelConsumer) -> Path:
        return self._directory / f"{model.name}.snapshot"

    def restore(self, model: ModelConsumer, event_log: EventLog) -> bool:
        """Load a model's snapshot, if there is one of this log."""
        path = self._path(model)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("snapshot ignored", model=model.name, reason=str(error))
            return False
        digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            log.warning("snapshot ignored", model=model.name, reason="it is damaged")
            return False
        try:
            taken = model.restore(body)
            fits = taken and event_log.hash_at(model.checkpoint.position) == model.checkpoint.hash
        except Exception as error:
            log.warning("snapshot ignored", model=model.name, reason=f"{type(error).__name__}: {error}")
            _remove(path)
            raise DamagedSnapshot(model.name) from error
        if taken and not fits:
            log.warning("snapshot ignored", model=model.name, reason="it is of another log")
            _remove(path)
            raise DamagedSnapshot(model.name)
        if not taken:
            log.warning("snapshot ignored", model=model.name, reason="it is unreadable or another version's")
        return taken

    def save(self, model: ModelConsumer) -> None:
        """Write a snapshot of a model to a new file, then replace the last one."""
        self.write(model.name, model.snapshot())

    def write(self, name: str, content: bytes) -> None:
        """Put the bytes of a snapshot in place of the last one; safe in any thread."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{name}.snapshot"
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError:
            _remove(fresh)  # half a snapshot is useless, and takes space on a full disk
            raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a file that cannot be removed now is replaced, or ignored, later
        path.unlink(missing_ok=True)


class DamagedSnapshot(RuntimeError):  # noqa: N818 - it states the fact
    """A loaded snapshot cannot be trusted; it was deleted, and the model must be built again."""
