"""Commits as bytes: equal input gives the same commit id, and no text can imitate a trailer.

Trailers are typed fields, written as the last paragraph; lines of a message that look like one are indented.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHOR_NAME = "Resilient Edge"
TRAILER_CHARACTERS_MAX = 1024
MESSAGE_CHARACTERS_MAX = 64 * 1024
_KEY = re.compile(r"[A-Z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_LOOKS_LIKE_TRAILER = re.compile(r"[A-Za-z0-9-]+\s*:|\(cherry picked from")
_TRAILER = re.compile(r"([A-Z][A-Za-z0-9-]*): (.*)")
_HEX = re.compile(r"[0-9a-f]{40}")


class CommitUnreadable(ValueError):  # noqa: N818 - it states the fact
    """The commit is not one that this system writes."""

    code = "commit-unreadable"


def _one_line(text: str) -> str:
    """Return the text on one line: control, format and separator characters become single spaces."""
    spaced = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in text
    )
    return " ".join(spaced.split())


@dataclass(frozen=True, slots=True)
class Trailer:
    """`Key: value` at the end of a commit message; the value is brought onto one line and cut at 1,024 characters."""

    key: str
    value: str

    def __post_init__(self) -> None:
        if _KEY.fullmatch(self.key) is None:
            raise ValueError(f"{self.key!r} is not a trailer key such as Approved-by")
        object.__setattr__(self, "value", _one_line(self.value)[:TRAILER_CHARACTERS_MAX].rstrip())


@dataclass(frozen=True, slots=True)
class Author:
    """Who a commit names; characters that delimit the field are dropped."""

    name: str = AUTHOR_NAME
    email: str = "resedge@localhost"

    def encode(self, when: datetime) -> bytes:
        """Return the field: name, address, seconds since 1970, UTC."""
        name, email = (re.sub(r"[<>]", "", _one_line(text)).strip(" .,:;\"'\\") for text in (self.name, self.email))
        return f"{name or AUTHOR_NAME} <{email.replace(' ', '')}> {int(when.timestamp())} +0000".encode()


@dataclass(frozen=True, slots=True)
class GitCommit:
    """One commit as read. `when` is in UTC, to the second; `message` is without its trailers."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    when: datetime
    message: str
    trailers: tuple[Trailer, ...]

    def values(self, key: str) -> list[str]:
        """Return the values of all trailers named `key`."""
        return [trailer.value for trailer in self.trailers if trailer.key == key]


def normalise_message(message: str) -> str:
    """Return the message with one trailing newline, no control characters, and no paragraph that reads as trailers."""
    lines = [_one_line_keeping_indent(line) for line in message[:MESSAGE_CHARACTERS_MAX].splitlines()]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    if not text:
        raise ValueError("a commit message must not be empty")
    subject, *body = text.split("\n")
    guarded = [f" {line}" if _LOOKS_LIKE_TRAILER.match(line) else line for line in body]
    return "\n".join([subject, *guarded]) + "\n"


def _one_line_keeping_indent(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    cleaned = _one_line(line)
    return " " * min(indent, 16) + cleaned if cleaned else ""


def encode_commit(
    tree: str,
    parents: Sequence[str],
    message: str,
    when: datetime,
    *,
    author: Author | None = None,
    trailers: Sequence[Trailer] = (),
) -> bytes:
    """Return the commit object's bytes; author and committer are the same, at `when`, in UTC.

    Raises:
        ValueError: an id is not 40 lower-case hex digits, `when` has no zone or lies before 1970, or the message is
            empty.
    """
    if when.tzinfo is None or when.timestamp() < 0:
        raise ValueError("a commit's time must have a zone and be after 1970")
    for identity in (tree, *parents):
        if _HEX.fullmatch(identity) is None:
            raise ValueError(f"{identity!r} is not an object id")
    signature = (author or Author()).encode(when)
    head = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
    head += [b"author " + signature, b"committer " + signature]
    text = normalise_message(message)
    if trailers:
        text += "\n" + "".join(f"{trailer.key}: {trailer.value}\n" for trailer in trailers)
    return b"\n".join(head) + b"\n\n" + text.encode("utf-8", "replace")


def decode_commit(identity: str, data: bytes) -> GitCommit:
    """Read a commit object.

    Raises:
        CommitUnreadable: it has no tree, author or message as Git writes them.
    """
    head, _, body = data.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value)
    found = re.fullmatch(r"(.*) ([0-9]+) [+-][0-9]{4}", fields.get("author", [""])[0])
    if "tree" not in fields or found is None:
        raise CommitUnreadable(f"{identity} has no tree or no author")
    message, trailers = _split_trailers(body.decode("utf-8", "replace"))
    when = datetime.fromtimestamp(int(found[2]), UTC)
    return GitCommit(identity, fields["tree"][0], tuple(fields.get("parent", ())), found[1], when, message, trailers)


def _split_trailers(text: str) -> tuple[str, tuple[Trailer, ...]]:
    message, separator, last = text.rstrip("\n").rpartition("\n\n")
    found = [_TRAILER.fullmatch(line) for line in last.split("\n")]
    if not separator or any(match is None for match in found):
        return text, ()
    return message + "\n", tuple(Trailer(match[1], match[2]) for match in found if match is not None)
