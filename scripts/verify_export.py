"""Verifies an export of events (FILE.jsonl with FILE.manifest.json) with Python's standard library alone.

    python3 -I -S verify_export.py FILE.jsonl [--git REPOSITORY]

Of every line it recomputes the chain hash: SHA-256 over the previous hash (32 bytes), then the envelope and then the
data, each after its length in 8 big-endian bytes. It compares what the line says with the envelope, each line with the
one before it, and all of them with the manifest. With --git it also compares the hashes with the `Head:` and
`Position:` trailers of the commits in a clone of the GitOps repository: those were published when they were made, so
that a log that was rewritten afterwards, hashes and all, is found.

Exit 0: all of it is as it was written; 1: something is not, and where; 2: it was called wrongly.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FORMAT = "resedge-export/1"
_GENESIS = "00" * 32
_LINE_BYTES_MAX = 4 << 20
KEYS = ("position", "epoch", "stream", "version", "type", "time", "actor", "envelope", "data", "previous", "hash")
TOLD = KEYS[:7]
MANIFEST_KEYS = {
    "format", "tool", "file", "after", "through", "asked", "filter", "count", "first", "last", "previous", "epochs",
    "bytes", "sha256", "digest",
}  # fmt: skip
_HASH = re.compile(r"[0-9a-f]{64}")
TRAILER = re.compile(r"(Epoch|Position|Head): (\S+)")


class Differs(Exception):  # noqa: N818 - it states the fact
    """Something is not as it was written; the message says what and where."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, and refuse one with a repeated key."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _parsed(text: bytes | str, what: str) -> dict[str, Any]:
    """Return a JSON object."""
    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Differs(f"{what} cannot be read as JSON ({error})") from None
    if not isinstance(value, dict):
        raise Differs(f"{what} is not a JSON object")
    return value


def _chain(previous: bytes, envelope: bytes, data: bytes) -> str:
    """Return the chain hash after an event, in hex."""
    parts = (previous, len(envelope).to_bytes(8, "big"), envelope, len(data).to_bytes(8, "big"), data)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def check_shape(raw: bytes, where: str) -> dict[str, Any]:
    """Return the fields of a line, if it is spelled as an export spells it."""
    if not raw.endswith(b"\n"):
        raise Differs(f"{where}: the line has no end, the file was cut off")
    said = _parsed(raw, f"{where}: the line")
    if tuple(said) != KEYS:
        raise Differs(f"{where}: the line has other fields than {', '.join(KEYS)}")
    if json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n" != raw:
        raise Differs(f"{where}: the line is spelled otherwise than an export spells it")
    for name in KEYS:
        wanted = int if name in {"position", "version"} else str
        if type(said[name]) is not wanted:
            raise Differs(f"{where}: {name} is not {'a whole number' if wanted is int else 'text'}")
    if not _HASH.fullmatch(said["previous"]) or not _HASH.fullmatch(said["hash"]):
        raise Differs(f"{where}: a hash is not 64 hex digits")
    return said


def check_line(raw: bytes, where: str) -> dict[str, Any]:
    """Return what a line says, after everything that it can prove by itself."""
    said = check_shape(raw, where)
    try:
        envelope, data = (said[name].encode("utf-8", "surrogateescape") for name in ("envelope", "data"))
    except UnicodeEncodeError:
        raise Differs(f"{where}: envelope or data holds what no bytes stand for") from None
    if _chain(bytes.fromhex(said["previous"]), envelope, data) != said["hash"]:
        raise Differs(f"{where}: the hash does not follow from the previous hash, the envelope and the data")
    told = _parsed(said["envelope"], f"{where}: the envelope")
    for name in TOLD:
        if told.get(name) != said[name] or type(told.get(name)) is not type(said[name]):
            raise Differs(f"{where}: {name} is {said[name]!r}, the envelope says {told.get(name)!r}")
    if said["position"] < 1 or said["version"] < 1:
        raise Differs(f"{where}: positions and versions count from 1")
    if said["position"] == 1 and said["previous"] != _GENESIS:
        raise Differs(f"{where}: the first event follows a hash, but nothing was before it")
    return said


@dataclass
class Export:
    """What the lines say together; `wanted` are the positions whose hashes are kept, as commits name them."""

    wanted: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)
    count: int = 0
    size: int = 0
    first: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    epochs: list[str] = field(default_factory=list)
    anchored: int = 0

    def take(self, said: dict[str, Any], where: str, *, whole: bool) -> None:
        """Compare a line with the one before it, and with the commits that name its position."""
        if self.last is not None:
            before = self.last["position"]
            if said["position"] <= before:
                raise Differs(f"{where}: it stands after position {before}: a line is doubled or out of place")
            if whole and said["position"] != before + 1:
                raise Differs(f"position {before + 1}: it is missing, position {said['position']} stands in its place")
            if said["position"] == before + 1 and said["previous"] != self.last["hash"]:
                raise Differs(f"{where}: its previous hash is not the hash of position {before}")
            if said["time"][:19] < self.last["time"][:19]:
                raise Differs(f"{where}: the recorded time goes back")
        for commit, epoch, head in self.wanted.get(said["position"], ()):
            if head != said["hash"] or epoch != said["epoch"]:
                raise Differs(f"{where}: commit {commit} names another chain hash or epoch for it")
            self.anchored += 1
        self.first = self.first or said
        self.last = said
        self.count += 1
        if said["epoch"] not in self.epochs:
            self.epochs.append(said["epoch"])


def read_manifest(file: Path) -> dict[str, Any]:
    """Return the manifest beside an export."""
    name = file.name.removesuffix(".jsonl")
    path = file.with_name(f"{name}.manifest.json")
    if not path.is_file():
        raise Differs(f"the manifest {path} is missing")
    raw = path.read_bytes()
    manifest = _parsed(raw, "the manifest")
    if manifest.get("format") != _FORMAT:
        raise Differs(f"the manifest has format {manifest.get('format')!r}, this program knows {_FORMAT}")
    if set(manifest) != MANIFEST_KEYS:
        raise Differs(f"the manifest has other fields than {', '.join(sorted(MANIFEST_KEYS))}")
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    digest = hashlib.sha256(json.dumps(rest, separators=(",", ":")).encode("ascii")).hexdigest()
    if manifest["digest"] != digest or json.dumps(manifest, indent=2).encode("ascii") + b"\n" != raw:
        raise Differs("the manifest is not as it was written: its digest is not that of its other fields")
    return manifest


def check_manifest(manifest: dict[str, Any], export: Export, file: Path, digest: str) -> None:
    """Compare what the manifest says with what was found."""
    ends = {"first": export.first, "last": export.last}
    found: dict[str, Any] = {
        name: None if end is None else {key: end[key] for key in ("position", "time", "hash")}
        for name, end in ends.items()
    }
    found["previous"] = export.first["previous"] if export.first else None
    found["epochs"], found["count"], found["bytes"] = export.epochs, export.count, export.size
    found["file"], found["sha256"] = file.name, digest
    at = f"position {export.last['position']}" if export.last else "the beginning"
    for name, value in found.items():
        if manifest[name] != value:
            raise Differs(f"the manifest says {name} {manifest[name]!r}, the file up to {at} has {value!r}")
    after, through, narrowed = manifest["after"], manifest["through"], manifest["filter"]
    if type(after) is not int or type(through) is not int or not 0 <= after <= through:
        raise Differs("the manifest's range is none")
    if narrowed is not None and (not isinstance(narrowed, dict) or not narrowed):
        raise Differs("the manifest's filter is none")
    if not isinstance(manifest["asked"], dict) or not isinstance(manifest["tool"], str):
        raise Differs("the manifest does not say what was asked, or by which tool")
    positions = [end["position"] for end in (export.first, export.last) if end is not None]
    if narrowed is None and (export.count != through - after or positions not in ([], [after + 1, through])):
        raise Differs(f"the manifest's range is ({after}, {through}], the file has {export.count} events of it")
    if positions and not after < positions[0] <= positions[1] <= through:
        raise Differs(f"the file holds events outside of the manifest's range ({after}, {through}]")


def commits_of(repository: Path) -> dict[int, list[tuple[str, str, str]]]:
    """Return position → (commit, epoch, head) of every commit that has the trailers."""
    command = ["git", "-C", str(repository), "log", "--all", "--format=%x00%H%n%B"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Differs(f"git cannot read {repository}: {done.stderr.decode('utf-8', 'replace').strip()}")
    found: dict[int, list[tuple[str, str, str]]] = {}
    for text in done.stdout.decode("utf-8", "replace").split("\0")[1:]:
        commit, _, message = text.partition("\n")
        last = message.strip().split("\n\n")[-1]
        trailers = {match[1]: match[2] for match in map(TRAILER.fullmatch, last.split("\n")) if match}
        if trailers.keys() == {"Epoch", "Position", "Head"} and trailers["Position"].isdecimal():
            told = (commit, trailers["Epoch"], trailers["Head"])
            found.setdefault(int(trailers["Position"]), []).append(told)
    return found


def verify(file: Path, repository: Path | None) -> str:
    """Return what was found to be right.

    Raises:
        Differs: Not verified: see the failed checks..
    """
    manifest = read_manifest(file)
    whole = manifest["filter"] is None
    export = Export(wanted=commits_of(repository) if repository is not None else {})
    digest = hashlib.sha256()
    with file.open("rb") as lines:
        number = 0
        while raw := lines.readline(_LINE_BYTES_MAX):
            number += 1
            digest.update(raw)
            export.size += len(raw)
            after = export.last["position"] if export.last else manifest["after"]
            near = f"position {after + 1}" if whole and type(after) is int else f"after position {after}"
            said = check_line(raw, f"line {number} ({near})")
            if number == 1 and whole and said["position"] != manifest["after"] + 1:
                raise Differs(f"position {manifest['after'] + 1}: it is missing, the file begins at {said['position']}")
            export.take(said, f"line {number} (position {said['position']})", whole=whole)
    check_manifest(manifest, export, file, digest.hexdigest())
    if repository is not None and not export.anchored:
        raise Differs(f"no commit of {repository} names a position of this export, so nothing outside vouches for it")
    plural = "" if export.count == 1 else "s"
    span = (
        f", positions {export.first['position']} to {export.last['position']}" if export.first and export.last else ""
    )
    how = "without a gap" if whole else f"chosen by {json.dumps(manifest['filter'])}"
    vouched = f"; {export.anchored} commits name the same hashes" if repository is not None else ""
    return f"{export.count:,} event{plural}{span}, {how}, as they were written{vouched}"


def main(arguments: list[str]) -> int:
    """Verify and say what was found."""
    parser = argparse.ArgumentParser(prog="verify-export", description="Verifies an export of events.")
    parser.add_argument("file", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--git", type=Path, metavar="REPOSITORY", help="compare with the commits of this clone")
    given = parser.parse_args(arguments)
    if not given.file.is_file():
        print(f"error: there is no file {given.file}", file=sys.stderr)
        return 2
    try:
        print(f"ok: {verify(given.file, given.git)}")
    except Differs as differs:
        print(f"error: {differs}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
