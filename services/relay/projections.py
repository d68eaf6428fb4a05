"""The view of external events: the inbox (every external event and its outcome) and the dead letters.

A row is the fold of its stream's events, in order; text from a sender is only data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus import LogSource, ViewConsumer
from libs.contracts import (
    ConsumerHalted,
    EventNoted,
    EventRefused,
    LetterRetried,
    LetterSettled,
    LetterSkipped,
    Recorded,
    category_of,
    decode,
    encode,
)
from services.relay.domain.letters import ClosedLetter, OpenLetter
from services.relay.inbox_events import caused_by, letter_name

OPEN, _RETRIED, SKIPPED, SETTLED = "open", "retried", "skipped", "settled"
STATES = (OPEN, _RETRIED, SKIPPED, SETTLED)
INBOX, CONSUMER = "inbox", "consumer"
LETTER_KINDS = (INBOX, CONSUMER)

metadata = MetaData()
letters = Table(
    "letters",
    metadata,
    Column("letter", String(300), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("position", BigInteger, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("opened_at", String(40), nullable=False),
    Column("changed_at", String(40), nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
inbox = Table(
    "inbox",
    metadata,
    Column("letter", String(300), primary_key=True),
    Column("source", Text, nullable=False, index=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("position", BigInteger, nullable=False, index=True),
    Column("at", String(40), nullable=False),
    Column("actor", Text, nullable=False),
    Column("fact", Text, nullable=False),
    Column("code", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter; `position` is where it was opened first, `version` its stream's, `note` the last reason given."""

    letter: str
    kind: str
    state: str
    position: int
    version: int
    opened_at: str
    changed_at: str
    changed_by: str
    note: str
    attempts: int
    type: str
    data: bytes

    @property
    def opened(self) -> EventRefused | ConsumerHalted:
        """The fact that opened it last."""
        event: EventRefused | ConsumerHalted = decode(self.type, self.data)
        return event

    def folded(self) -> OpenLetter | ClosedLetter:
        """Return the letter as its decider sees it."""
        if self.state in {SKIPPED, SETTLED}:
            return ClosedLetter(self.opened, skipped=self.state == SKIPPED)
        return OpenLetter(self.opened, tried=self.state == _RETRIED)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An external event and its outcome; `fact` is the stream that its fact is in, `position` where."""

    letter: str
    source: str
    id: str
    type: str
    outcome: str
    position: int
    at: str
    actor: str
    fact: str
    code: str


R = TypeVar("R", LetterRow, InboxRow)


class LettersView(ViewConsumer):
    """The projection of external events and dead letters, and the reads of it."""

    metadata = metadata

    def __init__(self, service: str, log: LogSource, engine: AsyncEngine) -> None:
        """Take the relay's database."""
        super().__init__(f"{service}.letters", log, engine)

    def concerns(self, recorded: Recorded) -> bool:
        """Whether an event came from outside, or is about something that did or that stopped a consumer."""
        return category_of(recorded.stream) in {"letter", "inbox"} or caused_by(recorded.causation_id) is not None

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        """Fold each event into its letter, and record the outcomes of external events."""
        concerned = [each for each in batch if self.concerns(each)]
        names = {each.stream.partition("-")[2] for each in concerned if category_of(each.stream) == "letter"}
        folded = {row.letter: row for row in await self._read(connection, sorted(names))}
        received: dict[str, InboxRow] = {}
        for recorded in concerned:
            if category_of(recorded.stream) == "letter":
                name = recorded.stream.partition("-")[2]
                if (row := after(folded.get(name), name, recorded)) is not None:
                    folded[name] = row
            if (outcome := outcome_of(recorded)) is not None:
                received[outcome.letter] = outcome
        await _replace(connection, self.tables[letters.name], folded)
        await _replace(connection, self.tables[inbox.name], received)

    async def _read(self, connection: AsyncConnection, names: Sequence[str]) -> list[LetterRow]:
        table = self.tables[letters.name]
        if not names:
            return []
        query = select(*(table.c[each.name] for each in fields(LetterRow))).where(table.c.letter.in_(names))
        return [LetterRow(*row) for row in await connection.execute(query)]

    async def letter(self, name: str) -> LetterRow | None:
        """Return one dead letter."""
        async with self.reading.connect() as connection:
            return next(iter(await self._read(connection, [name])), None)

    async def letters(
        self, before: int | None, limit: int, *, kind: str | None = None, state: str | None = None
    ) -> list[LetterRow]:
        """Return up to `limit` dead letters that were opened before a position, newest first."""
        return await self._newest(letters.name, LetterRow, before, limit, {"kind": kind, "state": state})

    async def inbox(
        self, before: int | None, limit: int, *, source: str | None = None, outcome: str | None = None
    ) -> list[InboxRow]:
        """Return up to `limit` external events whose outcome stands before a position, newest first."""
        return await self._newest(inbox.name, InboxRow, before, limit, {"source": source, "outcome": outcome})

    async def _newest(
        self, name: str, row: type[R], before: int | None, limit: int, wanted: Mapping[str, str | None]
    ) -> list[R]:
        """Return up to `limit` rows of a table before a position, newest first; `wanted` is column → value, or any."""
        table = self.tables[name]
        query = select(*(table.c[each.name] for each in fields(row))).order_by(table.c.position.desc())
        for column, value in wanted.items():
            query = query if value is None else query.where(table.c[column] == value)
        query = query if before is None else query.where(table.c.position < before)
        async with self.reading.connect() as connection:
            return [row(*each) for each in await connection.execute(query.limit(limit))]

    async def open_counts(self) -> dict[str, int]:
        """Return how many dead letters of each kind wait."""
        table = self.tables[letters.name]
        query = select(table.c.kind, func.count()).where(table.c.state.in_((OPEN, _RETRIED))).group_by(table.c.kind)
        async with self.reading.connect() as connection:
            counted = {str(kind): int(count) for kind, count in await connection.execute(query)}
        return dict.fromkeys(LETTER_KINDS, 0) | counted


def after(row: LetterRow | None, name: str, recorded: Recorded) -> LetterRow | None:
    """Return a letter's row after one of its events; nothing while nothing has opened it."""
    at, event = recorded.at.isoformat(), recorded.event
    if isinstance(event, EventRefused | ConsumerHalted):
        kind = INBOX if isinstance(event, EventRefused) else CONSUMER
        return LetterRow(
            letter=name,
            kind=kind,
            state=OPEN,
            position=recorded.position if row is None else row.position,
            version=recorded.version,
            opened_at=at if row is None else row.opened_at,
            changed_at=at,
            changed_by=recorded.actor,
            note="" if row is None else row.note,
            attempts=0 if row is None else row.attempts,
            type=recorded.type,
            data=encode(event),
        )
    if row is None:
        return None
    row = replace(row, version=recorded.version, changed_at=at, changed_by=recorded.actor)
    match event:
        case LetterRetried(reason=reason):
            return replace(row, state=_RETRIED, note=reason, attempts=row.attempts + 1)
        case LetterSkipped(reason=reason):
            return replace(row, state=SKIPPED, note=reason)
        case LetterSettled():
            return replace(row, state=SETTLED)
        case _:
            return row


def outcome_of(recorded: Recorded) -> InboxRow | None:
    """Return the external event that an event of the log records, if any."""
    event = recorded.event
    match event:
        case EventRefused():
            said = (event.letter, event.source, event.id, event.type, "refused", event.code)
        case EventNoted():
            said = (letter_name(event.source, event.id), event.source, event.id, event.type, "unchanged", "")
        case _:
            cause = caused_by(recorded.causation_id)
            if cause is None:
                return None
            type_name, source, id_ = cause
            said = (letter_name(source, id_), source, id_, type_name, "accepted", "")
    letter, source, id_, type_name, outcome, code = said
    at = recorded.at.isoformat()
    fact = recorded.stream
    return InboxRow(letter, source, id_, type_name, outcome, recorded.position, at, recorded.actor, fact, code)


async def _replace(connection: AsyncConnection, table: Table, rows: Mapping[str, Any]) -> None:
    if not rows:
        return
    await connection.execute(delete(table).where(table.c.letter.in_(sorted(rows))))
    values = [{each.name: getattr(row, each.name) for each in fields(row)} for row in rows.values()]
    await connection.execute(table.insert(), values)
