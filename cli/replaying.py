"""Rebuilds views, and the Git tree, as they were at a position of the log.

The one rule: the log is opened read-only and nothing else is read; results are in a temporary directory, or in the one
that was given.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, Table, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.errors import CliError, UsageProblem
from libs.bus import ConsumerStopped, ViewConsumer, view_engine
from libs.bus.rebuild import RebuildFailed as ViewFailed
from libs.bus.rebuild import catch_up
from libs.commands.documents import DocumentsView, documents
from libs.commands.kinds import DeclaredKind
from libs.contracts.envelope import UnknownEventType, decode
from libs.contracts.instants import instant_text
from libs.contracts.refusals import Invalid
from libs.eventlog import DatabaseNotReady, DriverMissing, EventLog, LogUnavailable, UnknownLogFormat
from libs.fleet import Blobs, Fleet
from libs.runtime.clock import utc_now
from libs.web.positions import POSITION_DIGITS_MAX
from services.audit.domain import read_time
from services.audit.projections import AuditTrail
from services.catalog.api import APPLICATION, CONFIGURATION, NAMESPACE
from services.catalog.choosing import CHOICES
from services.grouping.api import GROUP
from services.inventory.api import STORE
from services.policy.api import DECLARED as POLICY
from services.relay.api import SOURCE
from services.relay.projections import LettersView
from services.rendering.asking.asof import BranchNotRebuilt, Rebuilt, rebuild_branch
from services.rendering.writing.materialising import PAGE_EVENTS

STEP_EVENTS = 10_000
"""Events after which the next view gets its turn, and progress is shown."""
ROWS_A_PAGE = 1_000

_KINDS: Mapping[str, Sequence[DeclaredKind[Any, Any]]] = {
    "inventory": [STORE],
    "grouping": [GROUP],
    "catalog": [NAMESPACE, APPLICATION, CONFIGURATION, CHOICES],
    "rendering": [],
    "relay": [SOURCE],
    "policy": POLICY,
}
"""The declared kinds whose documents each service's view holds."""

_Make = Callable[[EventLog, AsyncEngine], ViewConsumer]


def _documents(service: str) -> _Make:
    return lambda log, engine: DocumentsView(service, log, engine, _KINDS[service])


VIEWS: Mapping[str, _Make] = {
    **{f"{service}.documents": _documents(service) for service in _KINDS},
    "relay.letters": lambda log, engine: LettersView("relay", log, engine),
    "audit.trail": AuditTrail,
}
"""Every view of every service, by its consumer's name; a test compares them with what the services run."""

FLEET_DOCUMENTS: Mapping[str, tuple[str, DeclaredKind[Any, Any]]] = {
    kind.plural: (f"{service}.documents", kind) for service, kinds in _KINDS.items() for kind in kinds
}
"""The fleet as documents: what is declared, by the plural of its kind, and the view that holds it."""

_RELEASES = "releases"
NAMES = (*FLEET_DOCUMENTS, _RELEASES, *VIEWS)


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the log: the position, when it was recorded, and the log's epoch there."""

    position: int
    at: datetime
    epoch: str

    def __str__(self) -> str:
        return f"position {self.position}, recorded {instant_text(self.at)}, epoch {self.epoch}"


@contextmanager
def opened_log(url: str) -> Iterator[EventLog]:
    """Open a log for reading.

    Raises:
        UsageProblem: there is none.
        CliError: it does not answer, or holds what this program cannot apply.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageProblem("--log-url is not the address of a database", fix="write sqlite:///FILE") from None
    shown = parsed.render_as_string(hide_password=True)
    file = parsed.database or ""
    if parsed.get_backend_name() == "sqlite" and not Path(file).is_file():
        raise UsageProblem(f"there is no log at {file or shown}")
    try:
        log = EventLog.read_only(url, clock=utc_now)
    except (LogUnavailable, DBAPIError) as error:
        raise CliError(f"{shown} cannot be read", why=str(getattr(error, "orig", error))) from error
    except (UnknownLogFormat, DatabaseNotReady, DriverMissing, ValueError) as error:
        raise UsageProblem(f"{shown} cannot be replayed", why=str(error)) from error
    try:
        yield log
    except (LogUnavailable, DBAPIError) as error:
        raise CliError(f"{shown} cannot be read", why=str(getattr(error, "orig", error))) from error
    except (ConsumerStopped, UnknownEventType, ViewFailed, BranchNotRebuilt, msgspec.DecodeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise CliError(f"{shown} cannot be replayed", why=why, fix="see `resedge verify`") from error
    finally:
        log.close()


def log_place_of(log: EventLog, text: str) -> _Place:
    """Return the place that `--as-of` means: a position, or the last one recorded at or before a time.

    Raises:
        UsageProblem: it is not in this log.
    """
    head = log.head()
    if head.position == 0:
        raise UsageProblem("the log is empty")
    if text.isascii() and text.isdecimal():
        position = int(text) if len(text) <= POSITION_DIGITS_MAX else head.position + 1
        if position == 0:
            raise UsageProblem("positions count from 1")
        if position > head.position:
            raise UsageProblem(f"the log ends at position {head.position}, recorded {instant_text(head.recorded_at)}")
    else:
        try:
            position = log.position_at(read_time(text))
        except Invalid as unreadable:
            raise UsageProblem(
                f"--as-of takes a position or a time, not {text[:60]!r}",
                fix="a whole number, or date, time and offset: 2026-11-24T06:00:00Z, 2026-11-24T06:00:00-06:00",
            ) from unreadable
        if position == 0:
            raise UsageProblem(f"the log begins at {instant_text(log.read(0, 1)[0].recorded_at)}, after {text}")
    found = log.read(position - 1, 1)[0]
    return _Place(position, found.recorded_at, found.epoch)


class Replay:
    """Some views, rebuilt up to a place and then read; they lie in `folder`."""

    def __init__(self, log: EventLog, place: _Place, folder: Path, names: Sequence[str]) -> None:
        """Take which views, by consumer or by plural of a kind."""
        self._log, self._place, self._folder = log, place, folder
        self._views = {FLEET_DOCUMENTS[name][0] if name in FLEET_DOCUMENTS else name for name in names} - {_RELEASES}
        needs_facts = any(
            name == _RELEASES or (name in FLEET_DOCUMENTS and FLEET_DOCUMENTS[name][1] is GROUP) for name in names
        )
        self._facts = Fleet(Blobs(log.blob)) if needs_facts else None

    def run(self) -> Iterator[int]:
        """Rebuild them, yielding each position that is in; memory does not grow with the log.

        An event that somebody let a view skip is skipped here too.
        """
        engines = {name: _engine(self._folder / f"{name}.db") for name in sorted(self._views)}
        views = [VIEWS[name](self._log, engine) for name, engine in engines.items()]
        with asyncio.Runner() as runner:
            try:
                for view in views:
                    runner.run(_started(view))
                for after in range(0, self._place.position, STEP_EVENTS):
                    until = min(after + STEP_EVENTS, self._place.position)
                    for view in views:
                        runner.run(catch_up(view, self._log, view.name, until))
                    if self._facts is not None:
                        self._fold(self._facts, after, until)
                    yield from range(after + 1, until + 1)
            finally:
                for engine in engines.values():
                    runner.run(engine.dispose())

    def _fold(self, facts: Fleet, after: int, until: int) -> None:
        while after < until:
            for recorded in self._log.read_recorded(after, min(PAGE_EVENTS, until - after)):
                facts.fold(recorded)
                after = recorded.position

    def items(self, name: str) -> Iterator[Mapping[str, Any]]:
        """Yield what a view held, in the order of its keys."""
        if name == _RELEASES and self._facts is not None:
            for key, release in sorted(self._facts.releases.items()):
                said = self._facts.facts["release", "/".join(key)]
                told = {"published_at": instant_text(said.at), "published_by": said.actor, "position": said.position}
                yield {**msgspec.to_builtins(release), **told}
        elif name in FLEET_DOCUMENTS:
            view, kind = FLEET_DOCUMENTS[name]
            facts = self._facts or Fleet(lambda _digest: None)
            query = select(documents).where(documents.c.kind == kind.kind, documents.c.removed.is_(False))
            for row in self._rows(view, query.order_by(documents.c.name)):
                document = kind.to_document(decode(row.type, bytes(row.data)), facts)
                if kind is CHOICES:
                    choices = enumerate(document["choices"], start=1)
                    yield from ({"application": row.name, "order": order, **choice} for order, choice in choices)
                else:
                    yield document
        else:
            for table in self._tables(name):
                keys = list(table.primary_key.columns)
                for row in self._rows(name, select(table).order_by(*keys)):
                    yield {"table": table.name, **dict(zip(table.columns.keys(), map(_plain, row), strict=True))}

    def columns(self, name: str) -> list[str]:
        """Return the columns of a view's tables."""
        return list(dict.fromkeys(column.name for table in self._tables(name) for column in table.columns))

    def count(self, name: str) -> int:
        """Return how many things of a kind there were, or rows of a view."""
        if name == _RELEASES:
            return 0 if self._facts is None else len(self._facts.releases)
        if name in FLEET_DOCUMENTS:
            view, kind = FLEET_DOCUMENTS[name]
            query = select(func.count()).where(documents.c.kind == kind.kind, documents.c.removed.is_(False))
            return int(next(self._rows(view, query))[0])
        tables = self._tables(name)
        return sum(int(next(self._rows(name, select(func.count()).select_from(table)))[0]) for table in tables)

    def _tables(self, name: str) -> list[Table]:
        metadata = VIEWS[name](self._log, view_engine("sqlite+aiosqlite://")).metadata
        return [] if metadata is None else list(metadata.sorted_tables)

    def _rows(self, view: str, query: Any) -> Iterator[Any]:
        engine: Engine = create_engine(f"sqlite:///{self._folder / view}.db")
        try:
            with engine.connect() as connection:
                yield from connection.execution_options(yield_per=ROWS_A_PAGE).execute(query)
        finally:
            engine.dispose()


async def _started(view: ViewConsumer) -> None:
    await view.start()


def _engine(file: Path) -> AsyncEngine:
    """Return an engine for a temporary view: without protection against power cuts."""
    engine = view_engine(f"sqlite+aiosqlite:///{file}")

    @event.listens_for(engine.sync_engine, "connect")
    def _careless(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA cache_size = -65536")
        cursor.close()

    return engine


def _plain(value: Any) -> Any:
    """Return a column's value as JSON has it; bytes that are JSON as what they say, others in hex."""
    if not isinstance(value, bytes):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value.hex()


@contextmanager
def temporary() -> Iterator[Path]:
    """Make a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="resedge-replay-") as folder:
        yield Path(folder)


def rebuilt_branch(log: EventLog, place: _Place, folder: Path) -> Rebuilt:
    """Write the branch as it was into a new repository; what fails leaves nothing behind.

    Raises:
        UsageProblem: there is something at `folder` already.
    """
    there = folder.exists() or folder.is_symlink()
    if there and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        raise UsageProblem(f"{folder} already exists", fix="name a new directory")
    if not folder.parent.is_dir():
        raise UsageProblem(f"there is no directory {folder.parent}")
    try:
        return asyncio.run(rebuild_branch(log, folder, place.position))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
