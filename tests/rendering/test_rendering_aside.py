"""One application that cannot be evaluated, judged, asked about or decided is set aside; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts import (
    CalendarDeclared,
    CalendarWindow,
    FreezeDeclared,
    RecurringWindow,
    ReleasePublished,
    SignOffDeclared,
    SignOffStage,
)
from libs.eventlog import EventTooLarge, LogUnavailable
from libs.gates.refusals import SET_ASIDE
from services.rendering.asking.blocked import blocked
from services.rendering.asking.why import Why
from services.rendering.deciding.composing import uses
from services.rendering.deciding.dividing import set_aside_in
from services.rendering.deciding.plan import plan
from services.rendering.target.aside import RETRY
from tests.support.renderer import MANIFEST, Renderer, application, choose, namespace, store

OTHERS = ["one", "two", "three"]
BROKEN = "broken"
KEY = f"{BROKEN}/{BROKEN}"
SCHEMA = '{"type": "object"}'
FREEZE = FreezeDeclared("all", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "/c/*", "weekend", "operations")


async def fleet() -> Renderer:
    """Four applications, each in a namespace of its own, at release 1.0.0 on three stores."""
    renderer = Renderer()
    renderer.facts(*(store(f"store-{number}", size="small") for number in range(3)))
    for name in (*OTHERS, BROKEN):
        renderer.facts(namespace(name), application(name, name), renderer.release(name, name, "1.0.0"))
        renderer.facts(choose(name, ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


def update(renderer: Renderer) -> ReleasePublished:
    """Choose release 2.0.0 of every application; return the broken one's, which has a schema and defaults."""
    for name in OTHERS:
        renderer.facts(renderer.release(name, name, "2.0.0"), choose(name, ("/c/*", "2.0.0")))
    release = renderer.release(BROKEN, BROKEN, "2.0.0", schema=SCHEMA, defaults='{"level": "loud"}')
    renderer.facts(release, choose(BROKEN, ("/c/*", "2.0.0")))
    return release


def versions(renderer: Renderer) -> dict[str, str | None]:
    return {name: renderer.version_on(f"{name}/{name}", "store-1") for name in (*OTHERS, BROKEN)}


def check_set_aside(renderer: Renderer, *words: str) -> None:
    """The others were rendered; the broken one keeps what it had, and every answer says so."""
    assert versions(renderer) == {**dict.fromkeys(OTHERS, "2.0.0"), BROKEN: "1.0.0"}
    assert renderer.refusals() == {(KEY, SET_ASIDE): [f"store-{number}" for number in range(3)]}
    ordinal = renderer.model.fleet.selection.ordinal_ever("store-1")
    assert ordinal is not None
    answer = Why(renderer.model, None, ordinal, BROKEN, renderer.now).answer()
    told = next(gate["reason"] for gate in answer["gates"] if gate["gate"] == "rendered")
    assert SET_ASIDE in told
    assert SET_ASIDE in answer["summary"]
    assert all(word in told for word in words), told
    waiting = blocked(renderer.model, None, renderer.now, None, BROKEN)
    assert [(each["gate"], each["by"], each["count"]) for each in waiting] == [("refused", SET_ASIDE, 3)]


async def check_recovered(renderer: Renderer) -> None:
    """It is tried again by itself at an interval, without any new fact."""
    renderer.now += RETRY + timedelta(seconds=1)
    await renderer.settle()
    assert versions(renderer) == dict.fromkeys((*OTHERS, BROKEN), "2.0.0")
    assert not renderer.refusals()


Break = Callable[[dict[str, bytes], str], None]


def lost(blobs: dict[str, bytes], digest: str) -> None:
    del blobs[digest]


def damaged(blobs: dict[str, bytes], digest: str) -> None:
    blobs[digest] = b"\x00 no such thing"


@pytest.mark.parametrize("body", ["template", "schema", "defaults"])
@pytest.mark.parametrize("breaks", [lost, damaged])
async def test_a_body_that_is_lost_or_damaged_sets_its_application_aside(body: str, breaks: Break) -> None:
    renderer = await fleet()
    release = update(renderer)
    whole = dict(renderer.blobs)
    breaks(renderer.blobs, getattr(release, body))
    await renderer.settle()
    check_set_aside(renderer)

    renderer.blobs.update(whole)
    await check_recovered(renderer)


async def test_what_is_lost_while_a_gate_is_closed_never_becomes_a_decision() -> None:
    renderer = await fleet()
    renderer.facts(FREEZE)
    release = update(renderer)
    await renderer.settle()
    assert versions(renderer) == dict.fromkeys((*OTHERS, BROKEN), "1.0.0")

    whole = dict(renderer.blobs)
    del renderer.blobs[release.template]
    renderer.now = datetime(2026, 1, 2, tzinfo=UTC)
    await renderer.settle()
    check_set_aside(renderer, "2.0.0")
    renderer.blobs.update(whole)
    await check_recovered(renderer)


async def test_it_is_not_tried_again_before_its_interval_but_at_once_when_facts_change() -> None:
    renderer = await fleet()
    release = update(renderer)
    whole = dict(renderer.blobs)
    del renderer.blobs[release.template]
    await renderer.settle()
    await renderer.settle()  # the first look after it was set aside begins the interval
    renderer.blobs.update(whole)
    await renderer.settle()
    check_set_aside(renderer)
    assert renderer.last.until is not None
    assert renderer.last.until <= renderer.now + RETRY

    renderer.facts(choose(BROKEN, ("size = small", "2.0.0")))
    await renderer.settle()
    assert versions(renderer) == dict.fromkeys((*OTHERS, BROKEN), "2.0.0")


async def test_another_release_of_the_same_application_goes_on() -> None:
    renderer = await fleet()
    release = update(renderer)
    del renderer.blobs[release.template]
    renderer.facts(renderer.release(BROKEN, BROKEN, "3.0.0", manifest=f"{MANIFEST}  more: x\n"))
    renderer.facts(choose(BROKEN, ("/c/*", "2.0.0"), ("/c/store-1", "3.0.0")))
    await renderer.settle()

    assert versions(renderer) == {**dict.fromkeys(OTHERS, "2.0.0"), BROKEN: "3.0.0"}
    assert renderer.refusals() == {(KEY, SET_ASIDE): ["store-0", "store-2"]}


async def test_what_is_set_aside_stays_so_over_a_restart() -> None:
    renderer = await fleet()
    release = update(renderer)
    whole = dict(renderer.blobs)
    del renderer.blobs[release.template]
    await renderer.settle()
    renderer.restart()
    await renderer.settle()
    check_set_aside(renderer)
    renderer.blobs.update(whole)
    await check_recovered(renderer)


async def test_a_calendar_that_cannot_be_judged_closes_its_own_gate_alone() -> None:
    renderer = await fleet()
    unreadable = CalendarWindow(recurring=RecurringWindow("FREQ=NEVER-HEARD-OF", "01:00", 60))
    renderer.facts(CalendarDeclared("odd", [unreadable], applications=[BROKEN]))
    update(renderer)
    await renderer.settle()
    assert versions(renderer) == {**dict.fromkeys(OTHERS, "2.0.0"), BROKEN: "1.0.0"}
    ordinal = renderer.model.fleet.selection.ordinal_ever("store-1")
    assert ordinal is not None
    answer = Why(renderer.model, None, ordinal, BROKEN, renderer.now).answer()
    assert answer["closed"] == "window"
    assert "cannot be judged" in answer["summary"]

    renderer.facts(replace(CalendarDeclared("odd", [], applications=["one"])))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-1") == "2.0.0"


async def test_a_question_that_cannot_be_worded_keeps_its_change_back_and_no_other() -> None:
    renderer = await fleet()
    signoff = SignOffDeclared("eyes", [SignOffStage(["admin"])], expires_hours=1e12)  # beyond the calendar
    renderer.facts(signoff, replace(namespace(BROKEN), signoff="eyes"))
    await renderer.settle()
    update(renderer)
    await renderer.settle()
    check_set_aside(renderer)

    renderer.facts(replace(signoff, expires_hours=24))
    renderer.now += RETRY
    await renderer.settle()
    assert not renderer.refusals()
    assert blocked(renderer.model, None, renderer.now, None, BROKEN)[0]["gate"] == "approval"


async def test_of_a_plan_that_is_no_decision_the_one_to_blame_is_set_aside() -> None:
    renderer = await fleet()
    update(renderer)
    planned = await plan(renderer.model, renderer.now)
    planned.used = {"never-asked-for": {KEY: planned.applications[KEY]}}
    with pytest.raises(KeyError) as caught:
        uses(renderer.model, planned, "d")

    assert set_aside_in(renderer.model, planned, caught.value)
    await renderer.settle()
    check_set_aside(renderer, "never-asked-for")
    await check_recovered(renderer)


async def test_a_decision_too_large_loses_one_application_after_the_other() -> None:
    renderer = await fleet()
    update(renderer)
    for number in range(1, 5):
        planned = await plan(renderer.model, renderer.now)
        assert set_aside_in(renderer.model, planned, EventTooLarge("branch-main", b"{}"))
        assert len(renderer.refusals()) == number
    planned = await plan(renderer.model, renderer.now)
    assert not set_aside_in(renderer.model, planned, EventTooLarge("branch-main", b"{}"))  # none is left to blame


async def test_a_log_that_does_not_answer_is_not_set_aside_and_nothing_is_forgotten() -> None:
    renderer = await fleet()
    update(renderer)
    reading = renderer.model.fleet.blob

    def gone(_digest: str) -> bytes | None:
        raise LogUnavailable("the database does not answer")

    renderer.model.fleet.blob = gone
    with pytest.raises(LogUnavailable):
        await plan(renderer.model, renderer.now)
    assert not renderer.refusals()

    renderer.model.fleet.blob = reading
    await renderer.settle()
    assert versions(renderer) == dict.fromkeys((*OTHERS, BROKEN), "2.0.0")
