"""Writes an export: the events as JSON Lines, and a manifest that describes them.

Both files appear whole or not at all, the manifest last; an interrupted export leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from cli.errors import CliError, UsageProblem
from cli.terminal import progress
from libs.contracts.meaning import counted
from libs.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from cli.client import Streamed
    from cli.session import Session

_FORMAT = "resedge-export/1"
_NARROWING = ("subject", "actor", "type")
_LINE_BYTES_MAX = 4 << 20


def manifest_path(file: Path) -> Path:
    """Return the path of an export's manifest: `FILE.manifest.json` beside `FILE.jsonl`."""
    return file.with_name(f"{file.name.removesuffix('.jsonl')}.manifest.json")


@dataclass
class Summary:
    """A summary of the written events; its size does not grow with the export."""

    count: int = 0
    size_bytes: int = 0
    first: Mapping[str, Any] | None = None
    last: Mapping[str, Any] | None = None
    epochs: list[str] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)

    def take(self, line: bytes, *, contiguous: bool) -> None:
        """Count a line.

        Raises:
            CliError: it does not follow the one before it.
        """
        try:
            told: Mapping[str, Any] = json.loads(line)
            position, epoch = int(told["position"]), str(told["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            raise CliError("the server sent a line that is not an event", why=str(error)) from error
        if self.last is not None:
            expected = int(self.last["position"]) + 1
            follows = position == expected if contiguous else position >= expected
            if not follows or (position == expected and told.get("previous") != self.last.get("hash")):
                raise CliError(f"position {position} does not follow position {expected - 1}", fix="resedge verify")
        self.first = self.first or told
        self.last = told
        self.count += 1
        self.size_bytes += len(line)
        self.digest.update(line)
        if epoch not in self.epochs:
            self.epochs.append(epoch)


def export_events(session: Session, file: Path, query: Mapping[str, Any], *, force: bool) -> None:
    """Write `file` and its manifest.

    Raises:
        UsageProblem: one of them already exists.
        CliError: the server refused, or closed the connection.
    """
    manifest = manifest_path(file)
    for each in (file, manifest):
        if each.is_dir():
            raise UsageProblem(f"{each} is a directory", fix="name a file")
        if (each.exists() or each.is_symlink()) and not force:
            raise UsageProblem(f"{each} already exists", fix="name another file, or add --force")
    if not file.parent.is_dir():
        raise UsageProblem(f"there is no directory {file.parent}")
    narrowed = {name: query[name] for name in _NARROWING if name in query}
    with session.client.stream("/v1/events:export", query) as answer, replacing(file) as out:
        said = {name: int(answer.headers[f"resedge-export-{name}"]) for name in ("after", "through", "count")}
        summary = _written(answer, out, said["count"], contiguous=not narrowed)
    told = _manifest(file.name, said, query, narrowed, summary)
    with replacing(manifest) as out:
        out.write(json.dumps(told, indent=2).encode("ascii") + b"\n")
    session.say(
        f"{counted(summary.count, 'event')} written to {file}, described by {manifest}; "
        f"check with scripts/verify-export {file}"
    )


def _written(answer: Streamed, out: BinaryIO, count: int, *, contiguous: bool) -> Summary:
    summary = Summary()
    for line in progress(_lines(answer.parts), count, "exporting"):
        summary.take(line, contiguous=contiguous)
        out.write(line)
    if summary.count != count:
        raise CliError(
            f"the server closed the connection after {summary.count:,} of {count:,} events",
            fix="try again; if it fails again, run `resedge verify`",
        )
    return summary


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield whole lines, however the body was split in transit."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > _LINE_BYTES_MAX:
            raise CliError("the server sent a line that is too long")
    if rest:
        raise CliError("the server closed the connection in the middle of a line", fix="ask again")


def _manifest(
    name: str, said: Mapping[str, int], query: Mapping[str, Any], narrowed: Mapping[str, Any], summary: Summary
) -> Mapping[str, Any]:
    told = {
        "format": _FORMAT,
        "tool": f"resedge {VERSION}",
        "file": name,
        "after": said["after"],
        "through": said["through"],
        "asked": {key: value for key, value in query.items() if key not in _NARROWING},
        "filter": dict(narrowed) or None,
        "count": summary.count,
        "first": _end(summary.first),
        "last": _end(summary.last),
        "previous": summary.first["previous"] if summary.first else None,
        "epochs": summary.epochs,
        "bytes": summary.size_bytes,
        "sha256": summary.digest.hexdigest(),
    }
    digest = hashlib.sha256(json.dumps(told, separators=(",", ":")).encode("ascii")).hexdigest()
    return {**told, "digest": digest}


def _end(told: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if told is None else {key: told[key] for key in ("position", "time", "hash")}


@contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `file` when all is written and durable; on an error nothing is left."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
        _sync(file.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Sync a directory to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
