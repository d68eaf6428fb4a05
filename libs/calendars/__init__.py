"""Calendar questions as pure functions of (calendar, time zone, hours, instant)."""

from libs.calendars.hours import Hours

__all__ = ["Hours"]
