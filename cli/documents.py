"""Reads documents from files, within limits, each with its file and number.

Every message about a document names its file and the document in it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from cli.errors import UsageProblem, nearest_words
from cli.kinds import Kinds
from libs.kinds import Kind

FILE_BYTES_MAX = 256 << 20
_JSON_NODES_MAX = 10_000_000
_SUFFIXES = (".yaml", ".yml", ".json")
SKIPPED_SHOWN_MAX = 10
_ENDINGS = ".yaml, .yml or .json"
# A line that starts with `---` ends a document even inside a block scalar (YAML 1.2, 9.1.2), so cutting here is exact.
_MARKER = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_COMMENT_OR_BLANK = re.compile(rb"\s*(#[^\n]*\n?\s*)*\Z")


@dataclass(eq=False)
class _Source:
    """The part of a file that documents were read from, with the number of lines before it."""

    file: str
    data: bytes
    lines_before: int

    @cached_property
    def root(self) -> Any:
        """The nodes of the part, which know their lines; only a message about a document needs them."""
        from libs.templates.yaml_nodes import Limits, parse_nodes  # noqa: PLC0415 - loaded only for a message

        # JSON is YAML but for the tabs that it may be indented with, and in its texts no tab can be.
        data = self.data.replace(b"\t", b" ") if is_json(self.file) else self.data
        limits = Limits(FILE_BYTES_MAX, nodes_max=_JSON_NODES_MAX, documents_max=1)
        return next(iter(parse_nodes(data, limits)), None)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: what is sent, and where it was read. `number` counts from 1 in its file.

    `item` is its index where it is one of a list.
    """

    body: Mapping[str, Any]
    file: str
    number: int
    source: _Source
    kind: Kind
    item: int | None = None

    @property
    def name(self) -> str:
        """Return its name, for a group its path without the leading slash."""
        return self.kind.key_of(self.body)

    @property
    def where(self) -> str:
        """Return `file.yaml, document 3 (Store tx-austin-0042)`."""
        return f"{self.file}, document {self.number} ({self.kind.document} {self.kind.shown(self.name)})"

    def place(self, pointer: str = "") -> str:
        """Return `file.yaml:12`, the line at which the document, or what a pointer means in it, stands."""
        node = self.source.root
        steps = pointer.split("/")[1:]
        if self.item is not None:
            steps = ["items", str(self.item), *steps]
        for step in steps:
            below = _below(node, step.replace("~1", "/").replace("~0", "~"))
            if below is None:
                break
            node = below
        line = self.source.lines_before + (1 if node is None else node.line)
        return f"{self.file}:{line}"


def _below(node: Any, step: str) -> Any:
    """Return the node one step below, or nothing."""
    entries, items = getattr(node, "entries", None), getattr(node, "items", None)
    if entries is not None:
        return entries.get(step)
    if isinstance(items, list) and step.isascii() and step.isdecimal() and int(step) < len(items):
        return items[int(step)]
    return None


def is_json(file: str) -> bool:
    """Tell whether a file is read as JSON."""
    return file.lower().endswith(".json")


def read_documents(
    sources: Sequence[str],
    say: Callable[[str], None] = lambda _text: None,
    *,
    empty: bool = False,
    kinds: Kinds | None = None,
) -> list[Document]:
    """Read files, directories (all of their .yaml, .yml and .json, sorted) and `-` for stdin.

    `say` is told which files hold no document, and which ones of a directory are skipped; `empty` lets all of them hold
    none. `kinds` are those that documents can be of; without it, those of this version of the command.

    Raises:
        UsageProblem: a file cannot be read or holds something that is not a document, or there is no document at all.
    """
    known = Kinds() if kinds is None else kinds
    found: list[Document] = []
    for source in sources:
        for name, data in _contents(source, say):
            parsed = list(_parsed(name, data, known))
            if not parsed:
                say(f"{name} holds no document: it is empty, or all of it is comments")
            found += parsed
    if not found and not empty:
        named = ", ".join("<stdin>" if source == "-" else source for source in sources)
        raise UsageProblem(f"there is no document in {named}", fix="name a file that holds one")
    return found


def _contents(source: str, say: Callable[[str], None]) -> Iterator[tuple[str, bytes]]:
    if source == "-":
        yield "<stdin>", _bounded(sys.stdin.buffer.read(FILE_BYTES_MAX + 1), "<stdin>")
        return
    path = Path(source)
    if not path.is_dir():
        yield source, read_file(path, FILE_BYTES_MAX)
        return
    found = sorted(
        Path(folder) / name
        for folder, below, names in os.walk(path)
        if not _prune_hidden(below)
        for name in names
        if not name.startswith(".")
    )
    files = [file for file in found if file.name.lower().endswith(_SUFFIXES)]
    skipped = [str(file) for file in found if not file.name.lower().endswith(_SUFFIXES)]
    if skipped:
        say(f"skipped, since {'they do' if len(skipped) > 1 else 'it does'} not end in {_ENDINGS}: {_some(skipped)}")
    if not files:
        raise UsageProblem(f"{source} holds no {', '.join(_SUFFIXES)} file", fix="name a file, or another directory")
    for file in files:
        yield str(file), read_file(file, FILE_BYTES_MAX)


def _some(names: Sequence[str]) -> str:
    more = len(names) - SKIPPED_SHOWN_MAX
    return ", ".join(names[:SKIPPED_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


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
        near = nearest_words(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else []
        missing = isinstance(error, FileNotFoundError)
        raise UsageProblem(
            f"cannot read {path}", why=str(error.strerror or error), nearest=near if missing else ()
        ) from error


def _bounded(data: bytes, name: str, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    if len(data) > bytes_max:
        raise UsageProblem(f"{name} is larger than {bytes_max >> 20} MiB", fix="split it, or use `resedge import`")
    return data


def _parsed(file: str, data: bytes, kinds: Kinds) -> Iterator[Document]:
    number = 0
    for line, chunk in _chunks(file, data):
        source = _Source(file, chunk, line)
        for body in _values(file, number + 1, line, chunk):
            if body is None:
                continue
            for item, one in _unlisted(body):
                number += 1
                yield _checked(one, number, source, item, kinds)


def _chunks(file: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each document's bytes with the number of lines before it; comments alone are no document."""
    if is_json(file):
        if data.strip():
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
        if is_json(file):
            # YAML forbids tabs as indentation, JSON allows them. A JSON file may be a list of documents.
            return [read_json(chunk, Limits(bytes_max=FILE_BYTES_MAX, nodes_max=_JSON_NODES_MAX))]
        return read_yaml(chunk)
    except YamlRejected as error:
        at = f", line {line + error.line}" if error.line else ""
        raise UsageProblem(f"{file}, document {number}{at}: {error.detail}", why=str(error.code)) from error


def _unlisted(body: Any) -> Sequence[tuple[int | None, Any]]:
    """Return the items, each with its index, of what `get -o json` printed, else the document itself."""
    if isinstance(body, Mapping) and "kind" not in body and isinstance(body.get("items"), list):
        return list(enumerate(body["items"]))
    return [(None, body)]


def _checked(body: Any, number: int, source: _Source, item: int | None, kinds: Kinds) -> Document:
    file = source.file
    where = f"{file}, document {number}"
    fix = "a document has apiVersion: resedge.dev/v1, kind, metadata and spec"
    if not isinstance(body, Mapping):
        raise UsageProblem(f"{where}: not a mapping", fix=fix)
    name = body.get("kind")
    kind = kinds.of_document(name)
    if kind is None:
        why, known, near = kinds.unknown_document(str(name))
        raise UsageProblem(
            f"{where}: {'no kind' if name is None else f'unknown kind {name!r}'}",
            why=why,
            fix=known if name is not None else fix,
            nearest=near,
        )
    key = kind.named_by
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get(key), str) or not metadata[key].strip("/"):
        raise UsageProblem(f"{where} ({name}): metadata.{key} is missing or not text", fix=f"give metadata.{key}")
    return Document(body, file, number, source, kind, item)
