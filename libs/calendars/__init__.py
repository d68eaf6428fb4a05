"""Calendar questions as pure functions of (calendar, time zone, hours, instant)."""

from libs.calendars.edges import edge, interval, local_of, on_the_clock, zone_of
from libs.calendars.engine import is_open, never_opens, next_change, openings
from libs.calendars.hours import Timetable
from libs.calendars.windows import compiled_calendar

__all__ = [
    "Timetable",
    "compiled_calendar",
    "edge",
    "interval",
    "is_open",
    "local_of",
    "never_opens",
    "next_change",
    "on_the_clock",
    "openings",
    "zone_of",
]
