"""Documents from files: read within bounds, each with its file and number.

The one rule: every message about a document says which file and which document in it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cli.errors import UsageProblem, nearest
from cli.kind import Kind
from cli.kinds import BY_DOCUMENT

FILE_BYTES_MAX = 256 << 20
_JSON_NODES_MAX = 10_000_000
_SUFFIXES = (".yaml", ".yml", ".json")
# A line that starts with `---` ends a document even inside a block scalar (YAML 1.2, 9.1.2), so cutting here is exact.
_MARKER = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_COMMENT_OR_BLANK = re.compile(rb"\s*(#[^\n]*\n?\s*)*\Z")


@dataclass(frozen=True, slots=True)
class Document:
    """One document: what is sent, and where it was read. `number` counts from 1 in its file."""

    body: Mapping[str, Any]
    file: str
    number: int

    @property
    def kind(self) -> Kind:
        """Return its kind."""
        return BY_DOCUMENT[self.body["kind"]]

    @property
    def name(self) -> str:
        """Return its name, for a group its path without the leading slash."""
        return self.kind.key_of(self.body)

    @property
    def where(self) -> str:
        """Return `file.yaml, document 3 (Store tx-austin-0042)`."""
        name = f"/{self.name}" if self.kind.document == "Group" else self.name
        return f"{self.file}, document {self.number} ({self.body['kind']} {name})"


def read_documents(sources: Sequence[str]) -> list[Document]:
    """Read files, directories (all of their .yaml, .yml and .json, sorted) and `-` for stdin.

    Raises:
        UsageProblem: a file cannot be read or holds something that is not a document.
    """
    return [document for source in sources for name, data in _contents(source) for document in _parsed(name, data)]


def _contents(source: str) -> Iterator[tuple[str, bytes]]:
    if source == "-":
        yield "<stdin>", _bounded(sys.stdin.buffer.read(FILE_BYTES_MAX + 1), "<stdin>")
        return
    path = Path(source)
    if not path.is_dir():
        yield source, read_file(path, FILE_BYTES_MAX)
        return
    files = [
        Path(folder) / name
        for folder, below, names in os.walk(path)
        for name in names
        if name.endswith(_SUFFIXES) and not name.startswith(".") and not _prune_hidden(below)
    ]
    if not files:
        raise UsageProblem(f"{source} holds no {', '.join(_SUFFIXES)} file")
    for file in sorted(files):
        yield str(file), read_file(file, FILE_BYTES_MAX)


def _prune_hidden(below: list[str]) -> bool:
    below[:] = [name for name in below if not name.startswith(".")]  # os.walk then does not go there
    return False


def read_file(path: Path, bytes_max: int) -> bytes:
    """Return a file's bytes.

    Raises:
        UsageProblem: it is missing, cannot be read or is larger than `bytes_max`.
    """
    try:
        with path.open("rb") as file:
            return _bounded(file.read(bytes_max + 1), str(path), bytes_max)
    except OSError as error:
        near = nearest(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else []
        missing = isinstance(error, FileNotFoundError)
        raise UsageProblem(
            f"cannot read {path}", why=str(error.strerror or error), nearest=near if missing else ()
        ) from error


def _bounded(data: bytes, name: str, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    if len(data) > bytes_max:
        raise UsageProblem(f"{name} is larger than {bytes_max >> 20} MiB", fix="split it, or use `resedge import`")
    return data


def _parsed(file: str, data: bytes) -> Iterator[Document]:
    number = 0
    for line, chunk in _chunks(file, data):
        for body in _values(file, number + 1, line, chunk):
            if body is None:
                continue
            for one in _unlisted(body):
                number += 1
                yield _checked(one, file, number)


def _chunks(file: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each document's bytes with the number of lines before it; comments alone are no document."""
    if file.endswith(".json"):
        yield 0, data
        return
    edges = [0, *(match.start() for match in _MARKER.finditer(data)), len(data)]
    line = 0
    for start, end in pairwise(edges):
        chunk = data[start:end]
        if not _COMMENT_OR_BLANK.match(chunk.removeprefix(b"---")):
            yield line, chunk
        line += chunk.count(b"\n")


def _values(file: str, number: int, line: int, chunk: bytes) -> Sequence[Any]:
    from libs.templates import Limits, YamlRejected, read_json, read_yaml  # noqa: PLC0415 - loaded only to read files

    try:
        if file.endswith(".json"):
            # YAML's reader refuses the tabs that JSON may be indented with. A JSON file may be a list of everything.
            return [read_json(chunk, Limits(bytes_max=FILE_BYTES_MAX, nodes_max=_JSON_NODES_MAX))]
        return read_yaml(chunk)
    except YamlRejected as error:
        at = f", line {line + error.line}" if error.line else ""
        raise UsageProblem(f"{file}, document {number}{at}: {error.detail}", why=str(error.code)) from error


def _unlisted(body: Any) -> Sequence[Any]:
    """Return the items of what `get -o json` printed, else the document itself."""
    if isinstance(body, Mapping) and "kind" not in body and isinstance(body.get("items"), list):
        return list(body["items"])
    return [body]


def _checked(body: Any, file: str, number: int) -> Document:
    where = f"{file}, document {number}"
    fix = "a document has apiVersion: resedge.dev/v1, kind, metadata and spec"
    if not isinstance(body, Mapping):
        raise UsageProblem(f"{where}: not a mapping", fix=fix)
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in BY_DOCUMENT:
        raise UsageProblem(
            f"{where}: {'no kind' if kind is None else f'unknown kind {kind!r}'}",
            fix=f"kinds are {', '.join(BY_DOCUMENT)}" if kind is not None else fix,
            nearest=nearest(str(kind), BY_DOCUMENT),
        )
    key = "path" if kind == "Group" else "name"
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get(key), str) or not metadata[key].strip("/"):
        raise UsageProblem(f"{where} ({kind}): metadata.{key} is missing or not text", fix=f"give metadata.{key}")
    return Document(body, file, number)
