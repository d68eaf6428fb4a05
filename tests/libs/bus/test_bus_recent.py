"""What a process has just appended reaches its consumers from memory, and is exactly what the log would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.bus import LogFeed, ModelConsumer
from libs.bus.contract import read_page
from libs.bus.metrics import LOG_EVENTS_READ
from libs.bus.recent import Recent
from libs.contracts import ClusterSpec, ConfigurationDeclared, Recorded, StoreDeclared, decode, encode
from libs.contracts.envelope import Event, event_types, type_name
from libs.contracts.faithful import faithful
from libs.eventlog import EventLog, NewEvent, Submission
from tests.support.every_event import CASES, frozen
from tests.support.feeds import append, log_of, ticking_clock

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inside: (
        st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside, max_size=2) | st.tuples(inside)
    ),
    max_leaves=4,
)


def followed(url: str = "sqlite://") -> tuple[EventLog, Recent]:
    log, recent = EventLog.open(url, clock=ticking_clock()), Recent()
    log.on_commit(recent.take)
    append(log, ("store-first", StoreDeclared("first", "UTC")), correlation_id="c", causation_id="d", traceparent="t")
    return log, recent


def store(number: int, **more: Any) -> tuple[str, StoreDeclared]:
    return f"store-s{number}", StoreDeclared(f"s{number}", "UTC", **more)


def same(log: EventLog, recent: Recent, after: int, limit: int = 1_000) -> Sequence[Recorded]:
    """Compare a page from memory with the log's, down to the types of all values, and return its events."""
    page, read = recent.page(after, limit), read_page(log, after, limit, "tail")
    assert page is not None
    assert (page.before, list(page.events)) == (read.before, list(read.events))
    assert repr(page) == repr(read)  # equal values of other types, such as 1 and 1.0, are written otherwise
    return page.events


@pytest.mark.parametrize("event_type", CASES, ids=lambda each: each.__name__)
async def test_an_event_of_every_type_is_what_the_log_gives(event_type: type) -> None:
    log, recent = followed()
    append(log, *(("store-x", event) for event in CASES[event_type](await frozen())))

    events = same(log, recent, 1)

    assert any(isinstance(each.event, event_type) for each in events)
    log.close()


UNFAITHFUL: list[Event] = [
    StoreDeclared("a", "UTC", labels={"k": ("x", "y")}),  # type: ignore[dict-item]  # the wrong type is the test
    StoreDeclared("a", "UTC", clusters=(ClusterSpec("a"),)),  # type: ignore[arg-type]  # the same
    StoreDeclared("a", "UTC", clusters=[ClusterSpec("a", capacity=msgspec.json.decode(b'{"cpu":"1"}'), labels={})]),
    ConfigurationDeclared("a", "/c/*", ["x"], values={"n": (1, 2), "f": 1.0, "at": datetime(2026, 1, 1, tzinfo=UTC)}),
]


@pytest.mark.parametrize("event", UNFAITHFUL, ids=range(len(UNFAITHFUL)))
def test_an_event_that_comes_back_otherwise_is_handed_over_as_it_comes_back(event: Event) -> None:
    log, recent = followed()
    append(log, store(1), ("store-x", event), store(2))

    assert len(same(log, recent, 1)) == 3
    log.close()


def test_an_event_that_nobody_can_read_is_handed_over_as_such() -> None:
    log, recent = followed()
    log.append(Submission([NewEvent("store-x", "dev.resedge.nothing.v1", b"{}")], "test"))
    log.append(Submission([NewEvent("store-x", type_name(StoreDeclared("a", "UTC")), b"[]")], "test"))

    assert len(same(log, recent, 1)) == 2
    log.close()


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return values of an annotation; `Any` is what JSON holds, and tuples."""
    if annotation is Any:
        return JSON
    if get_origin(annotation) is dict and get_args(annotation)[1] is Any:
        return st.dictionaries(st.text(max_size=3), JSON, max_size=2)
    if get_origin(annotation) is UnionType:
        return st.one_of(*map(_values, get_args(annotation)))
    return st.from_type(annotation)


@st.composite
def events(draw: st.DrawFn) -> Event:
    cls: Any = draw(st.sampled_from(sorted(event_types().values(), key=lambda each: each.__name__)))
    hints = get_type_hints(cls)
    strange = draw(st.sampled_from([None, *(each.name for each in fields(cls))]))
    return cls(**{each.name: draw(JSON if each.name == strange else _values(hints[each.name])) for each in fields(cls)})


st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(float, st.floats() | st.integers(0, 3))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(events())
def test_every_event_that_is_called_faithful_comes_back_as_it_is(event: Event) -> None:
    if not faithful([event]):
        return
    back = decode(type_name(event), encode(event))

    assert (repr(back), back) == (repr(event), event)


def test_the_stores_of_an_import_need_not_be_decoded() -> None:
    labels = {"size": "large", "grill": ["a", "b"]}
    assert faithful([StoreDeclared("a", "UTC", labels, clusters=[ClusterSpec("a", capacity={"cpu": "4"})])])  # type: ignore[arg-type]  # any JSON is tried


def test_what_another_process_appends_in_between_is_read_from_the_log(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log, recent = followed(url)
    other = EventLog.open(url, clock=ticking_clock())
    append(log, store(1), store(2))
    append(other, store(3))

    assert [each.position for each in same(log, recent, 1, 1)] == [2]
    assert recent.page(3, 10) is None, "what is not held is read"
    append(log, store(4), store(5))
    assert (recent.page(1, 10), recent.page(3, 10), recent.page(4, 10)) == (None, None, None)
    assert [each.position for each in same(log, recent, 5)] == [6]
    log.close()
    other.close()


def test_a_log_that_was_put_back_does_not_go_on_from_what_is_held(tmp_path: Path) -> None:
    first, second = tmp_path / "a.db", tmp_path / "b.db"
    log, recent = followed(f"sqlite:///{first}")
    append(log, store(1))
    log.close()
    replaced = EventLog.open(f"sqlite:///{second}", clock=ticking_clock())
    append(replaced, store(7), store(8))  # as long, and another one
    replaced.on_commit(recent.take)
    append(replaced, store(9), store(10))

    assert recent.page(1, 10) is None
    assert [each.event.name for each in same(replaced, recent, 3)] == ["s10"]
    replaced.close()


def test_no_more_is_held_than_the_bounds_say() -> None:
    log, recent = followed()
    recent = Recent(events_max=5, bytes_max=1_000)
    log.on_commit(recent.take)
    append(log, *(store(number) for number in range(9)))

    assert len(recent) == 5
    assert [each.position for each in same(log, recent, 6)] == [7, 8, 9, 10]
    append(log, store(20, labels={"k": "v" * 900}))
    assert len(recent) == 1
    append(log, store(21, labels={"k": "v" * 2_000}))
    assert len(recent) == 0
    append(log, store(22), store(23))
    assert [each.position for each in same(log, recent, 13)] == [14]
    log.close()


def test_what_everybody_has_seen_is_held_no_longer() -> None:
    log, recent = followed()
    append(log, *(store(number) for number in range(9)))

    recent.seen(4)
    assert [each.position for each in same(log, recent, 4, 2)] == [5, 6]
    recent.seen(3)
    assert len(recent) == 7
    recent.seen(10_000)
    assert len(recent) == 1
    append(log, store(20))
    assert [each.position for each in same(log, recent, 10)] == [11]
    log.close()


async def test_a_feed_reads_nothing_of_what_its_process_appends() -> None:
    log = log_of(store(0))
    seen: list[int] = []
    names = ("one", "two")
    feed = LogFeed(log, [ModelConsumer(name, log, lambda each: seen.append(each.position)) for name in names])
    await feed.start()
    append(log, store(1))
    assert await feed.reached(names, 2, 10)
    before = LOG_EVENTS_READ.labels("tail")._value.get()

    append(log, *(store(number) for number in range(2, 3_000)))
    assert await feed.reached(names, 3_000, 20)

    assert LOG_EVENTS_READ.labels("tail")._value.get() == before
    assert sorted(seen) == sorted([*range(1, 3_001)] * 2)
    await feed.stop()
    log.close()
