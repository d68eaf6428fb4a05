"""Decides many documents on one fork of the fleet, for the services that declare their kinds.

A document is decided on the fleet as the earlier documents would change it; a refused one changes nothing there.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from libs.commands.commands import Commands
from libs.commands.documents import Row
from libs.commands.intents import Intent
from libs.commands.kinds import DeclaredKind, Make
from libs.commands.problems import problem_of
from libs.commands.proposals import sized
from libs.contracts import Event
from libs.contracts.names import nearest
from libs.contracts.problems import Problem
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet

T = TypeVar("T")

DOCUMENTS_A_TURN = 25
"""Documents that are decided between two turns of the event loop."""


@dataclass(frozen=True, slots=True)
class Served:
    """A kind and the executor of its commands."""

    kind: DeclaredKind[Any, Any]
    commands: Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The result for one document: `events` (none: unchanged), the version before them, and the categories read."""

    name: str
    stream: str
    version: int
    result: str = "unchanged"
    warnings: Sequence[str] = ()
    events: Sequence[tuple[str, Event]] = ()
    guards: Sequence[str] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Parsed:
    served: Served
    name: str
    make: Make[Any]


async def decide_documents(
    served: Mapping[str, Served], documents: Sequence[Any], intent: Intent, fork: Fleet, position: int
) -> list[Decided | Problem]:
    """Return the result for each document, in order, or its refusal; `fork` keeps their events.

    The views have seen `position` before their rows are read. `intent.assume` is what the fork holds besides the log.
    """
    parsed: list[_Parsed | Problem] = [
        _tried(partial(_parsed, served, document)) async for document in _in_turns(documents)
    ]
    rows = await _rows([each for each in parsed if isinstance(each, _Parsed)], position)
    assumed: dict[str, list[tuple[str, Event]]] = defaultdict(list)
    for stream, event in intent.assume:
        assumed[stream].append((stream, event))
    intent = replace(intent, if_match=None, if_none_match=None)  # they declare the same thing
    found: list[Decided | Problem] = []
    async for each in _in_turns(parsed):
        if isinstance(each, _Parsed):
            here = replace(intent, assume=assumed.get(each.served.kind.stream(each.name), ()))
            row = rows.get((each.served.kind.kind, each.name))
            found.append(_tried(partial(_decided, each, here, fork, row)))
        else:
            found.append(each)
    return found


async def _in_turns(values: Iterable[T]) -> AsyncIterator[T]:
    """Yield the values; other work of the process goes on meanwhile."""
    for count, each in enumerate(values, start=1):
        yield each
        if count % DOCUMENTS_A_TURN == 0:
            await asyncio.sleep(0)


def _tried(act: Callable[[], Any]) -> Any:
    """Return what `act` returns, or the problem that it raises."""
    try:
        return act()
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return problem


def _parsed(served: Mapping[str, Served], document: Any) -> _Parsed:
    kind = document.get("kind") if isinstance(document, dict) else None
    found = served.get(str(kind))
    if found is None:
        raise unknown_kind(kind, served)
    name, make = found.kind.parse(document, None)
    return _Parsed(found, name, make)


def unknown_kind(kind: object, known: Mapping[str, Any]) -> Invalid:
    """Return the refusal of a document whose kind nobody declares."""
    near = nearest(str(kind), known)
    fix = f"did you mean {near}?" if near else f"known kinds: {', '.join(sorted(known))}"
    return Invalid(f"there is no kind {str(kind)[:80]!r}", pointer="/kind", fix=fix, nearest=near)


async def _rows(parsed: Sequence[_Parsed], position: int) -> dict[tuple[str, str], Row]:
    """Return the rows of the things, by kind and name."""
    names: dict[str, dict[str, None]] = defaultdict(dict)
    commands: dict[str, Commands] = {}
    for each in parsed:
        kind = each.served.kind.kind
        names[kind][each.name] = None
        commands[kind] = each.served.commands
    found: dict[tuple[str, str], Row] = {}
    for kind, some in names.items():
        view = commands[kind].view
        await commands[kind].positions.seen(position, view, by_log=True)
        found |= {(kind, row.name): row for row in await view.rows(kind, list(some))}
    return found


def _decided(parsed: _Parsed, intent: Intent, fork: Fleet, row: Row | None) -> Decided:
    kind, commands = parsed.served.kind, parsed.served.commands
    proposal = commands.decided(kind, parsed.name, parsed.make, intent, fork, row)
    stream = kind.stream(parsed.name)
    if not proposal.events:
        return Decided(name=parsed.name, stream=stream, version=proposal.version)
    sized(proposal)
    for _, event in proposal.events:
        fork.assume(event)
    return Decided(
        name=parsed.name,
        stream=stream,
        version=proposal.version,
        result=proposal.body["result"],
        warnings=proposal.body["warnings"],
        events=proposal.events,
        guards=proposal.guards,
        blobs=proposal.blobs,
    )
