"""Calendar questions as pure functions of (calendar, time zone, hours, instant)."""

from libs.calendars.edges import edge, interval, local_of, zone_of
from libs.calendars.engine import is_open, never_opens, next_change, openings
from libs.calendars.hours import Hours
from libs.calendars.windows import compiled

__all__ = [
    "Hours",
    "compiled",
    "edge",
    "interval",
    "is_open",
    "local_of",
    "never_opens",
    "next_change",
    "openings",
    "zone_of",
]
