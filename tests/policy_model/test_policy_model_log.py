"""A plan that the clock overtakes on its way into a real log: what was planned in a window is not recorded after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.bus import LogFeed
from libs.contracts import (
    AdmissionDecided,
    ApplicationDeclared,
    CalendarDeclared,
    CalendarWindow,
    NamespaceDeclared,
    ReleaseChoice,
    ReleaseChoicesSet,
    WeeklyWindow,
)
from libs.eventlog import EventLog
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings
from tests.policy_model.model_edge import published, store
from tests.policy_model.model_judge import Judge
from tests.policy_model.model_time import DAYS, MICROSECOND
from tests.support.feeds import append
from tests.support.waiting import eventually

ENDS = datetime(2026, 1, 5, 11, tzinfo=UTC)
"""05:00 in Chicago."""
PLANNED = ENDS - timedelta(milliseconds=1)
SECONDS_MAX = 60.0
NIGHT = CalendarDeclared("night", [CalendarWindow(weekly=WeeklyWindow(list(DAYS), "01:00", "05:00"))], clusters="/c/*")


class JumpingClock:
    """Shows `at`; the log finds that it is `then` when it comes to record what was planned."""

    def __init__(self) -> None:
        self.at = PLANNED - timedelta(hours=1)
        self.then: datetime | None = None

    def planning(self) -> datetime:
        return self.at

    def recording(self) -> datetime:
        self.at = self.then or self.at
        return self.at


def choice(version: str) -> tuple[str, ReleaseChoicesSet]:
    return "choices-kiosk", ReleaseChoicesSet("kiosk", [ReleaseChoice("/c/*", version)])


def begun(log: EventLog) -> None:
    """Declare one store that runs version 1 of one application, and its nightly window."""
    events, bodies = published()
    append(
        log,
        ("store-store-0", store("store-0", "America/Chicago", (), second=False)),
        ("namespace-pos", NamespaceDeclared("pos", "/c/*")),
        ("application-kiosk", ApplicationDeclared("kiosk", "pos")),
        *((f"release-kiosk-{version}", events["kiosk", version]) for version in ("1.0.0", "2.0.0")),
        choice("1.0.0"),
        ("calendar-night", NIGHT),
        blobs=bodies,
    )


def decisions(log: EventLog) -> list[datetime]:
    """Return when the log took decisions that reach the application, each of them judged."""
    judge, found = Judge(), []
    for recorded in log.read_recorded(0, 1_000):
        judge.fold(recorded)
        if isinstance(recorded.event, AdmissionDecided) and recorded.event.applications:
            found.append(recorded.at)
    return found


@pytest.mark.parametrize(
    ("recorded", "admitted"), [(ENDS - MICROSECOND, True), (ENDS, False), (ENDS + timedelta(hours=1), False)]
)
async def test_what_was_planned_in_a_window_is_recorded_in_it_or_not_at_all(
    tmp_path: Path, recorded: datetime, admitted: bool
) -> None:
    clock = JumpingClock()
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=clock.recording)
    begun(log)
    settings = RenderingSettings(repository=tmp_path / "gitops.git")
    rendering = Rendering(log, tmp_path, settings, clock.planning, lambda: 0.0, "one")
    reconciler, feed = rendering.reconciler, LogFeed(log, [rendering])
    await feed.start()
    await rendering.begin()
    await eventually(lambda: reconciler.settled_position >= log.head().position and len(decisions(log)) == 1)

    clock.at = PLANNED
    append(log, choice("2.0.0"))
    clock.then = recorded  # the loop has not run since: what it records next is what it plans now
    position = log.head().position
    await eventually(lambda: reconciler.settled_position >= position)
    assert [at for at in decisions(log) if at > PLANNED] == ([recorded] if admitted else [])

    clock.at = clock.then = ENDS + timedelta(hours=20)
    reconciler.wake()
    await eventually(lambda: len(decisions(log)) == 2)
    await eventually(lambda: reconciler.settled_position >= log.head().position)
    assert decisions(log)[-1] == (recorded if admitted else ENDS + timedelta(hours=20))
    assert reconciler.stopped == reconciler.trouble == ""
    await feed.stop()
    await rendering.end()
    log.close()
