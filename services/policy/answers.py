"""Answers of policy's routes: one thing, a page of things, a few clusters of many.

An answer shows the number of clusters and a few examples, never all of them.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

from libs.contracts import stream_id
from libs.contracts.names import nearest
from libs.contracts.problems import invalid
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_HEADER, wanted_position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastapi import Request, Response
    from pyroaring import BitMap

    from libs.commands.commands import Commands
    from libs.contracts import By, Event
    from libs.fleet import Fleet

_EXAMPLES = 5
ID_CHARACTERS = 12


def examples(facts: Fleet, clusters: BitMap) -> list[str]:
    """Return the names of a few of some clusters."""
    return [facts.selection.name(ordinal) for ordinal in clusters[:_EXAMPLES]]


def said_by(by: By) -> dict[str, str]:
    """Return the author of an event, with the known details."""
    shown = {"person": by.person, "token": by.token, "creator": by.creator, "address": by.address}
    return {key: value for key, value in shown.items() if value}


def placed(events: Sequence[Event]) -> list[tuple[str, Event]]:
    """Return events of approvals, overrides and withheld changes, each with its stream."""
    return [(stream_id(_category(event), event.id), event) for event in events]


def _category(event: Event) -> str:
    name = type(event).__name__
    return "approval" if name.startswith("Approval") else "withheld" if name.startswith("Loosening") else "override"


async def seen(request: Request, commands: Commands) -> Fleet:
    """Return the fleet after the position that a request names was folded."""
    await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
    return commands.facts.fleet


def one(commands: Commands, document: dict[str, Any]) -> Response:
    """Return the answer that shows one thing."""
    return JSONResponse(document, headers={POSITION_HEADER: str(commands.facts.position)})


def listed(
    request: Request, response: Response, commands: Commands, found: Iterable[dict[str, Any]], since: str
) -> dict[str, Any]:
    """Return a page of documents in the order of when they began, which the field `since` of each says."""
    page = page_of(request)
    keyed = ((f"{each[since]} {each['id']}", each) for each in found)
    shown = heapq.nsmallest(page.limit + 1, (each for each in keyed if each[0] > page.after), key=lambda each: each[0])
    more = len(shown) > page.limit
    shown = shown[: page.limit]
    response.headers[POSITION_HEADER] = str(commands.facts.position)
    return page_answer(request, response, [document for _, document in shown], shown[-1][0] if more else None)


def check_state(state: str, states: Sequence[str]) -> None:
    """Refuse an unknown state; None means all states.

    Raises:
        Problem: 422.
    """
    if state and state not in states:
        near = nearest(state, states)
        fix = f"did you mean {near!r}?" if near else None
        raise invalid(f"state must be one of {', '.join(states)}", pointer="?state", fix=fix)
