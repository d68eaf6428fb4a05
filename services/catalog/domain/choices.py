"""Release choices say which release runs where: the last one of an ordered list that selects a cluster wins.

A choice applies to whatever its expression selects now; there is one per canonical expression.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from pyroaring import BitMap

from libs.contracts import ReleaseChoice, ReleaseChoicesSet
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid, Rejected
from libs.fleet.checks import check_expression, read_expression, unknown
from libs.fleet.law import check_law, law_warnings
from libs.selection import canonical
from services.catalog.domain.changing import change_warnings, check_changes
from services.catalog.domain.checks import EVERYWHERE
from services.catalog.domain.configurations import values_invalid
from services.catalog.domain.lawful import NARROW, under_law

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from libs.fleet import Fleet

CHOICES_MAX = 1_000

State = Absent | ReleaseChoicesSet
Event = ReleaseChoicesSet


class ReleaseOfAnotherNamespace(Rejected):
    """The release was compiled for a namespace that its application has left."""

    code = "release-of-another-namespace"


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice as it is asked for; `pointer` is where in the request."""

    choice: ReleaseChoice
    allow_empty: bool = False
    pointer: str = ""

    @property
    def expression(self) -> str:
        """Return the expression as it was written."""
        return self.choice.expression

    @property
    def version(self) -> str:
        """Return the version that is chosen."""
        return self.choice.version


@dataclass(frozen=True, slots=True)
class SetReleaseChoices:
    """Replace the whole list."""

    application: str
    choices: tuple[Choice, ...]
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SetRelease:
    """Run `version` on what `expression` selects: in the place of the choice of that expression, else last.

    Without an expression the whole list is replaced: the version runs everywhere.
    """

    application: str
    version: str
    actor: str
    at: datetime
    expression: str | None = None
    allow_empty: bool = False


@dataclass(frozen=True, slots=True)
class UnsetRelease:
    """Drop the choice of `expression`, if there is one."""

    application: str
    expression: str
    actor: str
    at: datetime


Command = SetReleaseChoices | SetRelease | UnsetRelease


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the choices are so already.

    Raises:
        Invalid, UnknownReference, SelectsNothing, ReleaseOfAnotherNamespace, ValuesInvalid, LawLeavesNothing,
        LawForbids: why not.
    """
    current = () if isinstance(state, Absent) else tuple(state.choices)
    match command:
        case SetReleaseChoices():
            asked = _distinct(command.choices)
        case SetRelease():
            asked = _replaced(command, current)
        case UnsetRelease():
            gone = canonical(read_expression(command.expression, "/expression"))
            asked = {each.expression: Choice(each) for each in current if each.expression != gone}
        case _:
            assert_never(command)
    wanted = tuple(replace(each.choice, expression=expression) for expression, each in asked.items())
    if wanted == current:
        return []
    if command.application not in facts.applications:
        raise unknown("application", command.application, None, facts.applications)
    for choice, each in zip(wanted, asked.values(), strict=True):
        if choice not in current:
            _check_version(command.application, each, facts)
        if choice.expression not in {kept.expression for kept in current}:
            check_expression(
                read_expression(each.expression),
                facts,
                pointer=f"{each.pointer}/expression",
                allow_empty=each.allow_empty,
            )
    chosen = _listing(command, state, list(wanted))
    _try(chosen, asked, facts, command.at)
    return [chosen]


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return how many of the chosen placements law removes."""
    application = command.application
    known = facts.choices.get(application)
    state = Absent() if known is None else ReleaseChoicesSet(application, list(known))
    events = decide(command, state, facts)
    tried = facts.fork()
    for event in events:
        tried.assume(event)
    if not events:
        return []
    before = _chosen(facts, application)
    found = [
        warning
        for version, fresh in _fresh(tried, before, application)
        for warning in change_warnings(facts, (application, version), fresh, before)
    ]
    return (
        found
        if not under_law(facts, [application])
        else found + law_warnings(tried, [(application, _running(tried, application))], command.at)
    )


def _running(facts: Fleet, application: str) -> BitMap:
    """Return the clusters on which some release of an application is to run, law left aside."""
    return BitMap.union(BitMap(), *(clusters for _, clusters in facts.chosen(application))) & facts.placed(application)


def _listing(command: Command, state: State, choices: list[ReleaseChoice]) -> ReleaseChoicesSet:
    if isinstance(command, SetReleaseChoices) or isinstance(state, Absent):
        return ReleaseChoicesSet(command.application, choices)
    return replace(state, choices=choices)


def _distinct(choices: Sequence[Choice]) -> dict[str, Choice]:
    if len(choices) > CHOICES_MAX:
        raise Invalid(f"an application has at most {CHOICES_MAX:,} release choices", pointer="/choices")
    asked: dict[str, Choice] = {}
    for each in choices:
        expression = canonical(read_expression(each.expression, f"{each.pointer}/expression"))
        if expression in asked:
            raise Invalid(
                f"{expression!r} has two choices, and only the last would count",
                pointer=f"{each.pointer}/expression",
                fix="leave one of the two out",
            )
        asked[expression] = each
    return asked


def _replaced(command: SetRelease, current: Sequence[ReleaseChoice]) -> dict[str, Choice]:
    if command.expression is None:
        # The request has no expression here, so it cannot be wrong that it selects nothing yet.
        return {EVERYWHERE: Choice(ReleaseChoice(EVERYWHERE, command.version), allow_empty=True)}
    expression = canonical(read_expression(command.expression, "/expression"))
    asked = {each.expression: Choice(each) for each in current}
    there = next((each for each in current if each.expression == expression), ReleaseChoice(expression, ""))
    asked[expression] = Choice(replace(there, version=command.version), allow_empty=command.allow_empty)
    return asked


def _check_version(application: str, choice: Choice, facts: Fleet) -> None:
    release = facts.releases.get((application, choice.version))
    if release is None:
        known = [version for each, version in facts.releases if each == application]
        raise unknown(f"release of {application}", choice.version, f"{choice.pointer}/version", known)
    if release.namespace != facts.applications[application].namespace:
        raise ReleaseOfAnotherNamespace(
            f"{application} {choice.version} was compiled for the namespace {release.namespace}",
            pointer=f"{choice.pointer}/version",
            fix="publish it again, under another version",
        )


def _try(chosen: ReleaseChoicesSet, asked: dict[str, Choice], facts: Fleet, at: datetime) -> None:
    """Refuse what law forbids, and values that a release's schema refuses, on clusters that get that release."""
    application = chosen.application
    tried = facts.fork()
    tried.assume(chosen)
    before = _chosen(facts, application)
    forbidden = tried.forbidden(application, at)
    whole = _running(tried, application)
    for (version, fresh), each in zip(_fresh(tried, before, application), asked.values(), strict=True):
        check_law(tried, application, whole, fresh, at, pointer=f"{each.pointer}/expression", fix=NARROW)
        among = fresh - forbidden
        if found := tried.values_problems(application, version, among):
            raise values_invalid(tried, (application, version), found[0], f"{each.pointer}/version")
        check_changes(facts, (application, version), among, before, f"{each.pointer}/version")


def _chosen(facts: Fleet, application: str) -> dict[str, BitMap]:
    """Return where each version is chosen."""
    before: dict[str, BitMap] = {}
    for version, clusters in facts.chosen(application):
        before[version] = before.get(version, BitMap()) | clusters
    return before


def _fresh(tried: Fleet, before: Mapping[str, BitMap], application: str) -> list[tuple[str, BitMap]]:
    """Return for each choice its version and the clusters that newly get that version."""
    placed = tried.placed(application)
    return [
        (version, (clusters & placed) - before.get(version, BitMap()))
        for version, clusters in tried.chosen(application)
    ]
