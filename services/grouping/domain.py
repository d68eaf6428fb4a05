"""A group is a node of a business hierarchy; its own members are listed by name and selected by an expression.

A group's path also makes the paths above it exist. So a removal also removes each path that no other declared group is
below, and no expression may still refer to one of those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts import GroupDeclared, GroupRemoved
from libs.contracts.absent import Absent
from libs.contracts.names import NAME, nearest
from libs.contracts.refusals import Invalid, StillReferenced
from libs.fleet.checks import check_expression, nearly, read_expression, some
from libs.selection import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from libs.fleet import Fleet

PATH_DEPTH_MAX = 16
PATH_CHARACTERS_MAX = 253
"""Names listed in one group, together: they must fit into an event of 256 KiB."""
COMPARED_MAX = 500
"""Names that are compared to find the nearest one."""


State = Absent | GroupDeclared
Event = GroupDeclared | GroupRemoved


@dataclass(frozen=True, slots=True)
class DeclareGroup:
    """Replace the group's own members."""

    group: GroupDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveGroup:
    """Remove the group's declaration."""

    path: str
    actor: str
    at: datetime


Command = DeclareGroup | RemoveGroup


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the group is so already.

    Raises:
        Invalid, UnknownReference, Cycle, SelectsNothing, StillReferenced: why not.
    """
    match command:
        case DeclareGroup():
            return _declare(command.group, state, facts)
        case RemoveGroup():
            return _remove(command, state, facts)
        case _:
            assert_never(command)


def check_path(path: str, pointer: str = "/metadata/path") -> None:
    """Refuse text that is not a group path: `/`-separated elements of `[a-z0-9-]`, the first of them the hierarchy.

    Raises:
        Invalid: with what is wrong with it.
    """
    where = {"pointer": pointer, "fix": "write a path such as /geo/us/central/tx/austin"}
    if not path.startswith("/"):
        raise Invalid(f"the group path {path[:80]!r} does not start with a slash", **where)
    elements = path[1:].split("/")
    if len(elements) > PATH_DEPTH_MAX:
        raise Invalid(f"the group path has {len(elements)} elements; {PATH_DEPTH_MAX} are allowed", **where)
    if len(path) > PATH_CHARACTERS_MAX:
        raise Invalid(f"the group path has {len(path)} characters; {PATH_CHARACTERS_MAX} are allowed", **where)
    for element in elements:
        if not NAME.fullmatch(element):
            raise Invalid(
                f"{element!r} in the group path {path!r} is not a name: lower-case letters, digits and inner dashes, "
                "at most 63",
                **where,
            )


def living(event: GroupDeclared, facts: Fleet) -> GroupDeclared:
    """Return the group without the listed clusters and stores that no longer exist: they have simply left it."""
    return replace(
        event,
        clusters=[name for name in event.clusters if facts.selection.ordinal(name) is not None],
        stores=[name for name in event.stores if facts.store(name) is not None],
    )


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return the warnings: accepted, but probably not intended."""
    del facts
    if not isinstance(command, DeclareGroup):
        return []
    group = command.group
    if not (group.clusters or group.stores or group.expression):
        return [f"{group.path} has no members of its own, only those of groups below it"]
    return []


def _declare(asked: GroupDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    check_path(asked.path)
    declared = replace(
        asked,
        clusters=sorted(set(asked.clusters)),
        stores=sorted(set(asked.stores)),
        expression=None if asked.expression is None else canonical(read_expression(asked.expression)),
    )
    if isinstance(state, GroupDeclared) and declared in (state, living(state, facts)):
        return []
    _check_listed(asked, facts)
    said = None if isinstance(state, Absent) else (state.expression, state.allow_empty)
    if asked.expression is not None and said != (declared.expression, declared.allow_empty):
        expression = read_expression(asked.expression)
        check_expression(expression, facts, inside=("group", asked.path), allow_empty=asked.allow_empty)
    return [declared]


def _remove(command: RemoveGroup, state: State, facts: Fleet) -> Sequence[Event]:
    if isinstance(state, Absent):
        return []
    for path in _vanishing(command.path, facts):
        if referrers := facts.referrers("group", path):
            raise StillReferenced(
                f"{path} would no longer exist, and it is referred to by {some(referrers)}",
                fix="change or delete these first",
                referrers=referrers,
            )
    return [GroupRemoved(command.path)]


def _vanishing(path: str, facts: Fleet) -> Iterator[str]:
    """Yield the paths that exist only through the declaration of `path`: it and the implicit parents above it."""
    others = [other for other in facts.groups if other != path]
    while path:
        if any(other == path or other.startswith(path + "/") for other in others):
            return
        yield path
        path = path.rpartition("/")[0]


def _check_listed(asked: GroupDeclared, facts: Fleet) -> None:
    for index, name in enumerate(asked.clusters):
        if facts.selection.ordinal(name) is None:
            everything = (facts.selection.name(ordinal) for ordinal in facts.selection.everything)
            raise nearly("cluster", name, f"/spec/clusters/{index}", nearest(name, _alike(name, everything)))
    for index, name in enumerate(asked.stores):
        if facts.store(name) is None:
            raise nearly("store", name, f"/spec/stores/{index}", nearest(name, _alike(name, facts.stores)))


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """Return the few of perhaps 60,000 names that are worth comparing: similar length, a common start or end."""
    alike = [other for other in known if abs(len(other) - len(name)) <= 2]
    for kept in (len(name) - 1, len(name) - 2, len(name) // 2):
        if closest := [other for other in alike if other.startswith(name[:kept]) or other.endswith(name[-kept:])]:
            return closest[:COMPARED_MAX]
    return []
