"""Instants around which something begins or ends: where clocks of random histories like to be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.policy_model.model_time import DAY, MICROSECOND, MINUTE, freeze_edges, on, shown

if TYPE_CHECKING:
    from libs.contracts import CalendarDeclared
    from tests.policy_model.model_edge import Edge

Moment = tuple[int, timedelta]
"""The how-manieth boundary from now on, and how long before or after it."""
ZONES = ["America/Chicago", "Europe/Berlin", "Australia/Lord_Howe"]
OPENS, CLOSES = ("06:00", "07:00", "20:00"), ("02:00", "22:00", "23:00")
OFFSETS = [timedelta(0), timedelta(0), MICROSECOND, -MICROSECOND]


def boundaries(edge: Edge) -> list[datetime]:
    """Return instants at which something may begin or end."""
    world, people = edge.judge.world, edge.judge.people
    found = [] if edge.last.until is None else [edge.last.until]
    found += [each for freeze in world.freezes.values() for zone in ZONES for each in freeze_edges(freeze, zone)]
    for law in world.laws.values():
        found += [each for each in (law.begins, law.ends) if each is not None]
    found += [each.ends for each in people.overrides.values() if each.ends is not None and not each.revoked]
    found += [each.request.expires_at for each in people.runs.values() if each.state == "running"]
    zones = {each.zone for each in world.clusters.values()}
    for calendar in world.calendars.values():
        earlier = {timedelta(0), MINUTE * calendar.cutoff_minutes}
        found += [at - cut for zone in zones for at in edges(calendar, zone, edge.now) for cut in earlier]
    return found


def edges(calendar: CalendarDeclared, zone: str, now: datetime) -> list[datetime]:
    """Return the instants of today and tomorrow that a calendar's windows, or the usual opening hours, speak of."""
    today = shown(zone, now).date()
    found = []
    for day in (today, today + DAY):
        for window in calendar.windows:
            if window.weekly is not None:
                found += [on(zone, day, window.weekly.opens), on(zone, day, window.weekly.closes)]
            elif window.recurring is not None:
                opens = on(zone, day, window.recurring.opens)
                found += [opens, opens + MINUTE * window.recurring.duration_minutes]
            elif window.closed is not None:
                found += [on(zone, day, clock) + MINUTE * window.closed.after_close_minutes for clock in CLOSES]
                found += [on(zone, day, clock) - MINUTE * window.closed.before_open_minutes for clock in OPENS]
    return found


def move(edge: Edge, moment: Moment) -> None:
    """Move the clock to a moment, if there is one to come."""
    nth, offset = moment
    found = sorted({each for each in boundaries(edge) if each + offset > edge.now})
    if found:
        edge.now = found[min(nth, len(found) - 1)] + offset
