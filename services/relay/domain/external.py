"""An external event becomes at most one command to another service; which one follows from the event alone.

The meaning of an event depends only on the event and on its Source's document; the service that gets the command
decides whether it is accepted.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from pydantic import ValidationError

from libs.contracts import SourceDeclared, SourceMapping
from libs.contracts.inbox import (
    External,
    LabelsChanged,
    ManifestsReference,
    ReleasePublished,
    StoreChanged,
    StoreClosed,
    StoreOpened,
    adapter_of,
    external_types,
)
from libs.contracts.names import API_VERSION, check_labels, check_name, escape, nearest, unescape
from libs.contracts.refusals import Invalid, Rejected

_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""A version as the catalog accepts it; checked here because it becomes a part of a path."""


class UnknownExternalType(Invalid):
    """The event type is unknown."""

    code = "unknown-type"


class DataDoesNotFit(Invalid):
    """The data of the event does not fit its type."""

    code = "invalid-data"


class TypeNotAllowed(Rejected):
    """The source is not allowed to send events of this type."""

    code = "type-not-allowed"


class NameNotAllowed(Rejected):
    """The source may not send events about this name."""

    code = "name-not-allowed"


@dataclass(frozen=True, slots=True)
class Declare:
    """PUT a store's document, whole."""

    name: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeStore:
    """Read a store's document, change it, PUT it if nobody else has meanwhile.

    `spec` replaces fields of its spec, `labels` (if any) all of its labels; `put` and `remove` change some of them.
    """

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] | None = None
    put: dict[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remove:
    """DELETE a store; nothing follows if it was already removed."""

    name: str


@dataclass(frozen=True, slots=True)
class Publish:
    """PUT a release; its manifests are here, or are fetched first."""

    application: str
    version: str
    body: dict[str, Any]
    reference: ManifestsReference | None = None


Instruction = Declare | ChangeStore | Remove | Publish


def instruction(source: SourceDeclared, type_name: str, data: Any) -> tuple[str, Instruction]:
    """Return the event's type among ours, and its command.

    Raises:
        UnknownExternalType, DataDoesNotFit, TypeNotAllowed, NameNotAllowed: it means nothing, or is not this source's.
    """
    mapping = next((each for each in source.mappings if each.foreign == type_name), None)
    ours = type_name if mapping is None else mapping.type
    if ours not in external_types():
        near = nearest(ours, external_types())
        raise UnknownExternalType(
            f"{type_name[:120]!r} is not a known type, and {source.name} has no mapping for it",
            fix=f"did you mean {near!r}?" if near else f"map it in the Source {source.name}",
            nearest=near,
        )
    if ours not in source.types:
        raise TypeNotAllowed(
            f"{source.name} may not send {ours}", fix=f"add it to the types of the Source {source.name}"
        )
    said = read(ours, data if mapping is None else mapped(mapping, data))
    name = said.application if isinstance(said, ReleasePublished) else said.name
    check_name(name, "/data/application" if isinstance(said, ReleasePublished) else "/data/name")
    if source.names and not any(fnmatch.fnmatchcase(name, pattern) for pattern in source.names):
        raise NameNotAllowed(
            f"{source.name} may not send events about {name}",
            pointer="/data/name",
            fix=f"its names are {', '.join(source.names[:5])}; change the Source {source.name} if that is too narrow",
        )
    return ours, _meaning(said)


def read(ours: str, data: Any) -> External:
    """Return the data of one of our types.

    Raises:
        DataDoesNotFit: the first error, with its pointer.
    """
    if not isinstance(data, Mapping):
        raise DataDoesNotFit("the data is not a JSON object", pointer="/data")
    try:
        said: External = adapter_of(ours).validate_python(dict(data))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        fault = next((each for each in faults if each["type"].startswith("unexpected_")), faults[0])
        path = [part for part in fault["loc"] if isinstance(part, int) or not str(part).startswith(("list[", "str"))]
        pointer = "".join(f"/{escape(part)}" for part in path)
        raise DataDoesNotFit(str(fault["msg"]), pointer=f"/data{pointer}") from None
    return said


def mapped(mapping: SourceMapping, data: Any) -> dict[str, Any]:
    """Return our fields, each read from the foreign data by its pointer; missing ones are left out."""
    found = {name: _at(data, pointer) for name, pointer in mapping.fields.items()}
    return {name: value for name, value in found.items() if value is not _MISSING}


_MISSING = object()


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = unescape(part)
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdecimal() and int(key[:9]) < len(value):
            value = value[int(key[:9])]
        else:
            return _MISSING
    return value


def _meaning(said: External) -> Instruction:
    match said:
        case StoreOpened():
            spec: dict[str, Any] = {"timezone": said.timezone, "hours": [_hours(each) for each in said.hours]}
            if said.clusters is not None:
                spec["clusters"] = [_cluster(each) for each in said.clusters]
            metadata = {"name": said.name, "labels": said.labels}
            document = {"apiVersion": API_VERSION, "kind": "Store", "metadata": metadata, "spec": spec}
            return Declare(said.name, document)
        case StoreChanged():
            given: dict[str, Any] = {
                "timezone": said.timezone,
                "hours": None if said.hours is None else [_hours(each) for each in said.hours],
                "clusters": None if said.clusters is None else [_cluster(each) for each in said.clusters],
            }
            changed = {name: value for name, value in given.items() if value is not None}
            return ChangeStore(said.name, changed, said.labels)
        case StoreClosed():
            return Remove(said.name)
        case LabelsChanged():
            check_labels(said.set, "/data/set")
            return ChangeStore(said.name, put=dict(said.set), remove=tuple(said.remove))
        case ReleasePublished():
            return _release(said)
        case _:
            assert_never(said)


def _release(said: ReleasePublished) -> Publish:
    if not _VERSION.fullmatch(said.version):
        raise DataDoesNotFit(f"{said.version[:80]!r} is not a version", pointer="/data/version", fix="write 1.4.0")
    if (said.manifests is None) == (said.reference is None):
        raise DataDoesNotFit(
            "a release must have its manifests either inline or by reference", pointer="/data/manifests"
        )
    given = {"manifests": said.manifests, "schema": said.schema, "defaults": said.defaults}
    body = {name: value for name, value in given.items() if value is not None}
    return Publish(said.application, said.version, body, said.reference)


def _hours(hours: Any) -> dict[str, Any]:
    return {"days": list(hours.days), "open": hours.open, "close": hours.close}


def _cluster(cluster: Any) -> dict[str, Any]:
    return {"name": cluster.name, "labels": dict(cluster.labels), "capacity": dict(cluster.capacity)}
