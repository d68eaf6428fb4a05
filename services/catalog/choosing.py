"""The routes of release choices: which release of an application runs where.

A document from `GET` can be `PUT` back, and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from libs.commands.histories import before_change
from libs.commands.intents import etag
from libs.commands.kinds import DeclaredKind, Make
from libs.commands.proposals import Proposal
from libs.contracts.names import nearest
from libs.contracts.problems import Problem, not_found
from libs.fleet.checks import read_expression
from libs.kinds import BY_RIGHT
from libs.selection import canonical
from libs.web.bodies import read_document
from libs.web.intents import flag, intent_of
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import respond, unwrapped
from libs.web.schema import Spec, validated
from services.catalog.domain.choices import (
    Choice,
    Command,
    SetRelease,
    SetReleaseChoices,
    State,
    UnsetRelease,
    decide,
    warnings,
)
from services.catalog.events import ReleaseChoice, ReleaseChoicesSet

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.commands import Commands
    from libs.fleet import Fleet

_BESIDES = ("application", "configuration", "release", "choices", "placementpolicy", "withheld")
"""What `decide` reads besides what expressions name: the application, its releases, law, and the values of clusters."""

_LISTED_MAX = 5


class ChoiceItem(Spec):
    """One release choice; `allow_empty` lets a new one select nothing yet."""

    expression: str
    version: str
    allow_empty: bool = False


class ChoicesSpec(Spec):
    """The whole list of an application's release choices."""

    choices: list[ChoiceItem]


class SetSpec(Spec):
    """One choice to put: without an expression the version runs everywhere, and is the whole list."""

    version: str
    expression: str | None = None
    allow_empty: bool = False


class UnsetSpec(Spec):
    """The choice to drop."""

    expression: str = Field(min_length=1)


def parse_choices(document: Any, application: str | None) -> tuple[str, Make[Command]]:
    """Return the application and what makes the command that sets its whole list.

    Raises:
        Invalid: the document does not fit.
    """
    said: ChoicesSpec = validated(ChoicesSpec, document)
    name = application or ""
    asked = tuple(
        Choice(ReleaseChoice(**each.model_dump(exclude={"allow_empty"})), each.allow_empty, f"/choices/{index}")
        for index, each in enumerate(said.choices)
    )
    return name, lambda actor, at: SetReleaseChoices(name, asked, actor, at)


def choices_document(event: ReleaseChoicesSet, _facts: Fleet) -> dict[str, Any]:
    """Return the list as it is read and put."""
    return {"choices": [asdict(each) for each in event.choices]}


def _emptied(application: str, actor: str, at: datetime) -> SetReleaseChoices:
    return SetReleaseChoices(application, (), actor, at)


CHOICES: DeclaredKind[Command, State] = DeclaredKind(
    registered=BY_RIGHT["ReleaseChoices"],
    declared=ReleaseChoicesSet,
    parse=parse_choices,
    remove=_emptied,
    decide=decide,
    to_document=choices_document,
    besides=_BESIDES,
    warnings=warnings,
)


class ReleaseChoices:
    """The handlers of release choices."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def get(self, request: Request, application: str, before: int | None = None) -> Response:
        """Return the whole ordered list; the last choice that selects a cluster wins there.

        With `before`, a position in the log, answer what it was before that event about it, and what changed it since.
        """
        commands = self._commands
        await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
        if before is not None:  # the application may be gone: that is what is undone
            return JSONResponse(await before_change(commands, CHOICES, application, before))
        _check_application(commands.facts.fleet, application)
        row = await commands.view.row(CHOICES.kind, application)
        event = ReleaseChoicesSet(application) if row is None else row.event()
        headers = {"ETag": etag(0 if row is None else row.version), POSITION_HEADER: str(commands.view.position)}
        return JSONResponse(choices_document(event, commands.facts.fleet), headers=headers)

    async def put(self, request: Request, application: str) -> Response:
        """Replace the whole list."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        _, make = parse_choices(document, application)
        return await self._change(request, body, assume, application, make)

    async def set(self, request: Request, application: str) -> Response:
        """Put one choice: in the place of the one with the same canonical expression, else last."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: SetSpec = validated(SetSpec, document)

        def make(actor: str, at: datetime) -> SetRelease:
            return SetRelease(application, said.version, actor, at, said.expression, said.allow_empty)

        return await self._change(request, body, assume, application, make)

    async def unset(self, request: Request, application: str) -> Response:
        """Drop the choice of an expression."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: UnsetSpec = validated(UnsetSpec, document)

        def make(actor: str, at: datetime) -> UnsetRelease:
            return UnsetRelease(application, said.expression, actor, at)

        return await self._change(request, body, assume, application, make, gone=said.expression)

    async def _change(  # a parameter each for what the three have in common
        self, request: Request, body: bytes, assume: Any, application: str, make: Make[Command], gone: str | None = None
    ) -> Response:
        intent = intent_of(request, body, assume=assume)
        strict = flag(request, "strict")

        async def propose(facts: Fleet) -> Proposal:
            _check_application(facts, application)
            if gone is not None:
                _check_chosen(facts, application, gone)
            proposal = await self._commands.propose(CHOICES, application, make, intent, facts)
            if strict and proposal.events and (warned := proposal.body.get("warnings")):
                raise Problem(
                    409,
                    "doubtful-choice",
                    "The choice may not do what you intend.",
                    warned[0],
                    extra={"problems": warned},
                )
            return proposal

        return respond(await self._commands.change(propose, intent))


def _check_application(facts: Fleet, name: str) -> None:
    if name not in facts.applications:
        raise not_found("application", name, nearest(name, facts.applications))


def _check_chosen(facts: Fleet, application: str, expression: str) -> None:
    """Refuse to drop a choice that is not in the list.

    Raises:
        Problem: 404.
    """
    listed = [each.expression for each in facts.choices.get(application, ())]
    wanted = canonical(read_expression(expression, "/expression"))
    if wanted not in listed:
        raise Problem(
            404,
            "not-found",
            "Not found.",
            f"{application} has no release choice of the expression {wanted!r}",
            pointer="/expression",
            fix=f"drop one of its choices: {'; '.join(listed[:_LISTED_MAX])}"
            if listed
            else "it has no release choices",
            extra={"nearest": nearest(wanted, listed)},
        )
