"""A source is an external system that may send events: which types, about which names, under which account.

A CloudEvents source URI belongs to one Source only, so that (source, id) names one event, and the right to send it is
in one place.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from libs.contracts import SourceDeclared, SourceMapping, SourceRemoved
from libs.contracts.absent import Absent
from libs.contracts.inbox import external_types
from libs.contracts.names import check_name, escape, nearest
from libs.contracts.refusals import Invalid, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

SOURCE_BYTES_MAX = 160
PATTERNS_MAX = 100
MAPPINGS_MAX = 100
POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
PATTERN = re.compile(r"[a-z0-9*?-]{1,63}")
KEY_BYTES = 32
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_FOREIGN = re.compile(r"[\x21-\x7e]{1,128}")

State = Absent | SourceDeclared
Event = SourceDeclared | SourceRemoved


class SourceTaken(Rejected):
    """Another Source already uses this source URI."""

    code = "source-taken"


@dataclass(frozen=True, slots=True)
class DeclareSource:
    """Declare the source."""

    source: SourceDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveSource:
    """Remove the source."""

    name: str
    actor: str
    at: datetime


Command = DeclareSource | RemoveSource


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if it is so already.

    Raises:
        Invalid, SourceTaken: why not.
    """
    match command:
        case DeclareSource():
            return _declare(command.source, state, facts)
        case RemoveSource():
            return [] if isinstance(state, Absent) else [SourceRemoved(command.name)]
        case _:
            assert_never(command)


def _declare(declared: SourceDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    check_source(declared)
    if declared == state:
        return []
    for other in facts.sources.values():
        if other.source == declared.source and other.name != declared.name:
            raise SourceTaken(
                f"{declared.source} belongs to the Source {other.name}",
                pointer="/spec/source",
                fix=f"change {other.name}, or let this one send under another source URI",
                owner=other.name,
            )
    return [declared]


def check_source(declared: SourceDeclared) -> None:
    """Refuse fields that could never match, be verified or be fetched.

    Raises:
        Invalid: with its place.
    """
    _check_uri(declared.source)
    check_name(declared.service_account, "/spec/serviceAccount")
    _check_types(declared.types)
    if len(declared.names) > PATTERNS_MAX:
        raise Invalid(f"there are more than {PATTERNS_MAX} patterns", pointer="/spec/names")
    for index, pattern in enumerate(declared.names):
        if not PATTERN.fullmatch(pattern):
            raise Invalid(
                f"{pattern[:80]!r} is not a pattern of names",
                pointer=f"/spec/names/{index}",
                fix="write a name in which * stands for any characters and ? for one, such as tx-*",
            )
    if declared.public_key:
        _check_key(declared.public_key)
    if declared.manifests:
        _check_prefix(declared.manifests)
    _check_mappings(declared.mappings)


def _check_uri(source: str) -> None:
    printable = source.isascii() and source.isprintable() and " " not in source
    if not source or not printable or len(source) > SOURCE_BYTES_MAX:
        raise Invalid(
            f"{source[:80]!r} is not a source: a URI of at most {SOURCE_BYTES_MAX} printable ASCII characters",
            pointer="/spec/source",
            fix="write the `source` of its events exactly, such as https://stores.example.com/registry",
        )


def _check_types(types: Sequence[str]) -> None:
    known = external_types()
    if not types:
        raise Invalid("the list of types is empty", pointer="/spec/types", fix="list the types that it may send")
    for index, each in enumerate(types):
        if each not in known:
            raise _unknown_type(each, f"/spec/types/{index}")
    if len(set(types)) != len(types):
        raise Invalid("a type is listed twice", pointer="/spec/types")


def _unknown_type(name: str, pointer: str) -> Invalid:
    near = nearest(name, external_types())
    fix = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(external_types()))}"
    return Invalid(f"there is no external type {name[:80]!r}", pointer=pointer, fix=fix, nearest=near)


def _check_key(text: str) -> None:
    try:
        length = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if length != KEY_BYTES:
        raise Invalid(
            "the key is not 32 bytes in base64",
            pointer="/spec/publicKey",
            fix="give the raw Ed25519 public key in base64, never the private one",
        )


def _check_prefix(prefix: str) -> None:
    try:
        url = urlsplit(prefix)
        host = url.hostname
        _ = url.port
    except ValueError:
        host, url = None, urlsplit("")
    secure = url.scheme == "https" or (url.scheme == "http" and host in LOOPBACK)
    clean = not (url.query or url.fragment or url.username or url.password) and ".." not in prefix
    if not (host and secure and clean and prefix.endswith("/") and prefix.isascii() and prefix.isprintable()):
        raise Invalid(
            f"{prefix[:120]!r} is not a prefix of addresses to fetch manifests from",
            pointer="/spec/manifests",
            fix="write https://HOST/PATH/ with a slash at its end (http only on loopback)",
        )


def _check_mappings(mappings: Sequence[SourceMapping]) -> None:
    known = external_types()
    if len(mappings) > MAPPINGS_MAX:
        raise Invalid(f"there are more than {MAPPINGS_MAX} mappings", pointer="/spec/mappings")
    seen: set[str] = set()
    for index, mapping in enumerate(mappings):
        here = f"/spec/mappings/{index}"
        if not _FOREIGN.fullmatch(mapping.foreign) or mapping.foreign in known:
            raise Invalid(f"{mapping.foreign[:80]!r} is not a foreign type", pointer=f"{here}/foreign")
        if mapping.foreign in seen:
            raise Invalid(f"{mapping.foreign} is mapped twice", pointer=f"{here}/foreign")
        seen.add(mapping.foreign)
        if mapping.type not in known:
            raise _unknown_type(mapping.type, f"{here}/type")
        ours = [each.name for each in fields_of(known[mapping.type])]
        for name, pointer in mapping.fields.items():
            if name not in ours:
                near = nearest(name, ours)
                fix = f"did you mean {near!r}?" if near else f"known here: {', '.join(ours)}"
                place = f"{here}/fields/{escape(name)}"
                raise Invalid(f"there is no field {name[:80]!r}", pointer=place, fix=fix, nearest=near)
            if not POINTER.fullmatch(pointer):
                place = f"{here}/fields/{escape(name)}"
                raise Invalid(f"{pointer[:80]!r} is not a JSON pointer", pointer=place, fix="write /store/name")
