"""The view of declared stores ends the same, whatever the feed does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from libs.bus import ChaosFeed, view_engine
from libs.commands.documents import DocumentsView
from libs.contracts import StoreDeclared, StoreRemoved, encode, type_name
from libs.eventlog import EventLog, NewEvent, Submission
from services.inventory.api import STORE


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    opened = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: datetime(2026, 11, 24, tzinfo=UTC))
    yield opened
    opened.close()


@pytest.mark.parametrize("seed", range(6))
async def test_for_every_disorder_the_rows_are_the_last_events(log: EventLog, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    versions: dict[str, int] = {}
    last: dict[str, StoreDeclared | StoreRemoved] = {}
    for number in range(120):
        name = f"s-{random.randrange(15)}"
        gone = random.random() < 0.2 and isinstance(last.get(name), StoreDeclared)
        event = StoreRemoved(name) if gone else StoreDeclared(name, "UTC", {"n": str(number)})
        log.append(Submission([NewEvent(f"store-{name}", type_name(event), encode(event))], "ada"))
        last[name] = event
        versions[name] = versions.get(name, 0) + 1
    engine = view_engine(f"sqlite+aiosqlite:///{tmp_path / 'view.db'}")
    view = await ChaosFeed(log, lambda: DocumentsView("inventory", log, engine, [STORE]), seed).settle()
    rows = await view.rows("Store", sorted(last))
    assert {row.name: row.event() for row in rows} == last
    assert {row.name: row.version for row in rows} == versions
    alive = sorted(name for name, event in last.items() if isinstance(event, StoreDeclared))
    assert [row.name for row in await view.page("Store", "", 100)] == alive
    assert await view.count("Store") == len(alive)
    await engine.dispose()
