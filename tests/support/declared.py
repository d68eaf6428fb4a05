"""Declared things with every field said: built from the type hints of their events, so that a new field is one of them.

`SAID` holds only what a hint cannot tell (a zone, a quantity, a reference); all else gets a value that is not the
default. `later` gives any event a field that nobody knows yet.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass, replace
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pyroaring import BitMap

from libs.contracts import (
    ApplicationDeclared,
    CalendarDeclared,
    CalendarWindow,
    ConfigurationDeclared,
    FreezeDeclared,
    GroupDeclared,
    NamespaceDeclared,
    PlacementPolicyDeclared,
    RoleBindingDeclared,
    RoleDeclared,
    RoleSubject,
    SignOffDeclared,
    SourceDeclared,
    StoreDeclared,
    event_types,
)
from libs.contracts.inbox import PREFIX
from libs.fleet import packed

T = TypeVar("T")

EVERYWHERE = "/c/*"
LATER = "kept"
_SCALARS: Mapping[type, Any] = {
    str: "x",
    bool: True,
    int: 7,
    float: 7.5,
    datetime: datetime(2030, 1, 1, tzinfo=UTC),
    bytes: packed(BitMap([0])),
}
SAID: Mapping[tuple[str, str], Any] = {
    ("StoreDeclared", "name"): "tx-1",
    ("StoreDeclared", "timezone"): "America/Chicago",
    ("ClusterSpec", "name"): "tx-1",
    ("ClusterSpec", "capacity"): {"cpu": "4", "memory": "8Gi"},
    ("ClusterSpec", "kubernetes"): "1.33",
    ("OpeningHours", "days"): ["mon", "sun"],
    ("OpeningHours", "open"): "06:00",
    ("OpeningHours", "close"): "23:00",
    ("HoursException", "date"): "2026-12-24",
    ("HoursException", "open"): "08:00",
    ("HoursException", "close"): "14:00",
    ("GroupDeclared", "path"): "/geo/tx",
    ("GroupDeclared", "clusters"): ["tx-1", "tx-1-kitchen"],
    ("GroupDeclared", "stores"): ["tx-1"],
    ("GroupDeclared", "expression"): EVERYWHERE,
    ("NamespaceDeclared", "name"): "pos",
    ("NamespaceDeclared", "expression"): EVERYWHERE,
    ("NamespaceDeclared", "capacity"): {"cpu": "1"},
    ("NamespaceDeclared", "allow"): ["Secret"],
    ("NamespaceDeclared", "signoff"): "release",
    ("NamespaceDeclared", "kubernetes"): "1.33",
    ("NamespaceDeclared", "crds"): ["Certificate.v1.cert-manager.io"],
    ("ApplicationDeclared", "name"): "pos-api",
    ("ApplicationDeclared", "namespace"): "pos",
    ("ApplicationDeclared", "expression"): EVERYWHERE,
    ("ApplicationDeclared", "signoff"): "release",
    ("ApplicationDeclared", "fallback"): "previous",
    ("ConfigurationDeclared", "expression"): EVERYWHERE,
    ("ConfigurationDeclared", "namespace"): "pos",
    ("ConfigurationDeclared", "applications"): ["pos-api"],
    ("CalendarDeclared", "clusters"): EVERYWHERE,
    ("CalendarDeclared", "applications"): ["pos-api"],
    ("CalendarDeclared", "signoff"): "release",
    ("WeeklyWindow", "days"): ["mon", "sun"],
    ("WeeklyWindow", "opens"): "01:00",
    ("WeeklyWindow", "closes"): "05:00",
    ("RecurringWindow", "rrule"): "FREQ=DAILY;INTERVAL=2",
    ("RecurringWindow", "opens"): "01:00",
    ("RecurringWindow", "start"): "2026-01-01",
    ("Exclusion", "first"): "2026-12-24",
    ("Exclusion", "until"): "2026-12-27",
    ("FreezeDeclared", "begins"): "2030-12-20T00:00:00",
    ("FreezeDeclared", "ends"): "2031-01-02T00:00:00",
    ("FreezeDeclared", "clusters"): EVERYWHERE,
    ("FreezeDeclared", "applications"): ["pos-api"],
    ("FreezeDeclared", "signoff"): "release",
    ("PlacementPolicyDeclared", "signoff"): "release",
    ("FreezeDeclared", "new_clusters"): "hold",
    ("PlacementPolicyDeclared", "applications"): ["pos-api"],
    ("PlacementPolicyDeclared", "clusters"): "/c/tx-1",
    ("PlacementPolicyDeclared", "ends"): datetime(2031, 1, 1, tzinfo=UTC),
    ("PlacementPolicyDeclared", "enforcement"): "immediate",
    ("PlacementPolicyDeclared", "on_conflict"): "refuse",
    ("RoleRule", "verbs"): ["approve"],
    ("RoleRule", "kinds"): ["Store"],
    ("SignOffDeclared", "name"): "release",
    ("SignOffDeclared", "count"): ["requester"],
    ("SignOffStage", "roles"): ["admin"],
    ("RoleBindingDeclared", "role"): "admin",
    ("RoleBindingDeclared", "clusters"): EVERYWHERE,
    ("RoleBindingDeclared", "namespaces"): ["pos"],
    ("ReleaseChoice", "expression"): EVERYWHERE,
    ("ApprovalRequested", "content"): [],
    ("SourceDeclared", "types"): [f"{PREFIX}LabelsChanged.v1"],
    ("SourceDeclared", "public_key"): base64.b64encode(bytes(32)).decode(),
    ("SourceDeclared", "manifests"): "https://manifests.example/",
    ("SourceMapping", "type"): f"{PREFIX}LabelsChanged.v1",
    ("SourceMapping", "fields"): {"name": "/store/name"},
}
"""(class, field) → what it says, where any text would be refused."""

IN_ORDER: Sequence[type] = (
    StoreDeclared,
    GroupDeclared,
    RoleDeclared,
    SignOffDeclared,
    NamespaceDeclared,
    ApplicationDeclared,
    ConfigurationDeclared,
    CalendarDeclared,
    FreezeDeclared,
    PlacementPolicyDeclared,
    RoleBindingDeclared,
    SourceDeclared,
)
"""Every declared event type; what is referred to comes first."""


def declared_types() -> set[type]:
    """Return every published event type that declares a thing."""
    return {each for each in event_types().values() if each.__name__.endswith("Declared")}


def filled(kind: type[T]) -> T:
    """Return one with every field said."""
    hints = get_type_hints(kind)
    known: Any = kind
    return kind(**{each.name: _value(kind.__name__, each.name, hints[each.name]) for each in fields(known)})


def one_of_each(kind: type[T]) -> list[T]:
    """Return one with only the first field said, one with only the second, …: for what is exactly one of its fields."""
    whole: Any = filled(kind)
    return [kind(**{each.name: getattr(whole, each.name)}) for each in fields(whole)]


def samples() -> list[Any]:
    """Return declared things, in an order in which they can be declared, that together say every field."""
    found: list[Any] = []
    for kind in IN_ORDER:
        event: Any = filled(kind)
        match event:
            case StoreDeclared():
                own = event.clusters[0]
                found.append(replace(event, clusters=[own, replace(own, name="tx-1-kitchen")]))
            case ConfigurationDeclared():
                found.append(replace(event, namespace=None, values={"port": 80}))
                found.append(replace(event, name="y", applications=[], values={"level": "debug"}))
            case CalendarDeclared():
                found.append(replace(event, windows=one_of_each(CalendarWindow)))
            case RoleBindingDeclared():
                found.append(replace(event, subjects=one_of_each(RoleSubject)))
            case _:
                found.append(event)
    return found


def unsaid(events: Sequence[Any]) -> set[str]:
    """Return the fields, of the events and of what they hold, that none of them says."""
    said: dict[str, bool] = {}
    for each in events:
        for held in _held(each):
            for one in fields(held):
                key = f"{type(held).__name__}.{one.name}"
                default = one.default_factory() if one.default_factory is not MISSING else one.default
                said[key] = said.get(key, False) or getattr(held, one.name) != default
    return {key for key, is_said in said.items() if not is_said}


def later(event: Any) -> Any:
    """Return the event, and every cluster in it, as a later version has it: with a field more, which says `LATER`."""
    values = {each.name: getattr(event, each.name) for each in fields(event)}
    if isinstance(event, StoreDeclared):
        values["clusters"] = [later(each) for each in event.clusters]
    known: Any = type(event)
    return _later_type(known)(**values, later=LATER)


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Return path → scalar of all that an event says; an item of a list goes by its name, if it has one."""
    if is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        inside = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list):
        inside = [(str(getattr(each, "name", index)), each) for index, each in enumerate(value)]
    else:
        return {at: value}
    return {path: said for key, each in inside for path, said in flat(each, f"{at}/{key}").items()}


def changed_paths(before: Any, after: Any) -> set[str]:
    """Return the paths of what one event says that another one says differently, or not at all."""
    now = flat(after)
    return {path for path, said in flat(before).items() if path not in now or now[path] != said}


@cache
def _later_type(kind: type) -> type:
    return make_dataclass(kind.__name__, [("later", str, field(default=""))], bases=(kind,), frozen=True, slots=True)


def _held(value: Any) -> Iterator[Any]:
    if is_dataclass(value):
        yield value
        inside = [getattr(value, each.name) for each in fields(value)]
    elif isinstance(value, list):
        inside = value
    else:
        return
    for each in inside:
        yield from _held(each)


def _value(owner: str, name: str, hint: Any) -> Any:
    if (owner, name) in SAID:
        return SAID[owner, name]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _value(owner, name, next(each for each in arguments if each is not NoneType))
    if origin is list:
        return [_value(owner, name, arguments[0])]
    if origin is dict:
        return {"key": _value(owner, name, arguments[1])}
    if is_dataclass(hint):
        known: Any = hint
        return filled(known)
    return "x" if hint is Any else _SCALARS[hint]
