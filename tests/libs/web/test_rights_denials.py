"""Refusals as facts: merged by actor, route and minute, bounded, and kept when the process stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from libs.access.denials import DENIED_ACTORS_MAX, ROUTES_MAX, Denials, DenialsKept
from libs.contracts import AccessDenied, By
from libs.eventlog import EventLog
from services.policy.app import build as policy
from tests.flow.conftest import running
from tests.policy.policy_words import document

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
TESS = By("tess", "token-1")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_refusals_of_one_minute_are_one_fact() -> None:
    clock = Clock()
    denials = Denials(clock)
    for _ in range(1000):
        denials.note("tess", "PUT /v1/stores/{name}", "tess may not apply Store", TESS)
    denials.note("tess", "GET /v1/stores", "", TESS)
    clock.now += timedelta(seconds=59)
    denials.note("tess", "PUT /v1/stores/{name}", "", TESS)
    assert denials.take() == []
    clock.now += timedelta(seconds=1)
    first, second = denials.take()
    assert (first.route, first.count) == ("GET /v1/stores", 1)
    assert (second.count, second.first_at, second.last_at) == (1001, NOON, NOON + timedelta(seconds=59))
    assert (second.detail, second.by) == ("tess may not apply Store", TESS)
    assert len(denials) == 0


def test_a_flood_of_refusals_is_bounded_and_loses_no_count() -> None:
    denials = Denials(Clock())
    for number in range(ROUTES_MAX + DENIED_ACTORS_MAX + 500):
        denials.note(f"actor-{number}", "GET /v1/stores", "", TESS)
    denials.note("actor-0", "GET /v1/groups", "", TESS)
    assert len(denials) <= ROUTES_MAX + DENIED_ACTORS_MAX + 1
    taken = denials.take(whole=True)
    assert sum(each.count for each in taken) == ROUTES_MAX + DENIED_ACTORS_MAX + 501
    assert [each.actor for each in taken if each.route == "others" and each.count > 1] == ["others"]


async def test_a_refusal_that_the_log_does_not_take_keeps_no_other_one_back(tmp_path: Path) -> None:
    clock = Clock()
    denials = Denials(clock)
    for actor in ("ann", "é" * 300, "tess", "zoe "):  # a stream has at most 512 bytes, and does not end in a blank
        denials.note(actor, "GET /v1/stores", "", TESS)
    opened = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=clock)
    try:
        await DenialsKept(opened, denials, "resedge/policy").append(whole=True)
        assert [each.event.actor for each in opened.read_recorded(0)] == ["ann", "tess"]
    finally:
        opened.close()


async def test_refusals_are_in_the_log_when_the_process_stops_and_missing_tokens_are_not(tmp_path: Path) -> None:
    async with running(tmp_path / "data", (policy,)) as server:
        token = server.embedded.tokens.issue("viewer", frozenset({"viewer"}))
        async with server.client_for(token) as viewer, server.client_for("wrong") as nobody:
            freeze = document("Freeze", "f")
            for _ in range(3):
                assert (await viewer.put("/v1/freezes/f", json=freeze)).status_code == 403
                assert (await nobody.put("/v1/freezes/f", json=freeze)).status_code == 401
        await server.embedded.stop()
        found = [each.event for each in server.embedded.log.read_recorded(0)]
    (denied,) = [each for each in found if isinstance(each, AccessDenied)]
    assert (denied.actor, denied.route, denied.count) == ("viewer", "PUT /v1/freezes/{name:path}", 3)
    assert denied.detail == "viewer may not apply Freeze"
    assert denied.by.token.startswith("file-")
