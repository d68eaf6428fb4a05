"""Wall-clock times as instants: each local time is exactly one instant, through every change of a zone's clocks.

A local time that does not exist moves forward to the first instant that does; one that occurs twice is its first
instant. Zones are those of the tzdata distribution, so that every machine gives the same answer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

SECOND = timedelta(seconds=1)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return an IANA time zone.

    Raises:
        LookupError: tzdata has none of that name.
    """
    try:
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError) as error:
        raise LookupError(f"there is no time zone {name!r}") from error


@lru_cache(maxsize=262_144)
def edge(zone: str, local: datetime) -> datetime:
    """Return the instant (UTC) of a naive local time."""
    tz = zone_of(zone)
    first = local.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if first.astimezone(tz).replace(tzinfo=None, fold=0) == local:
        return first
    # In a gap, the offset before it gives an instant after it, and the offset after it one before it.
    low = local.replace(tzinfo=tz, fold=1).astimezone(UTC)
    before = low.astimezone(tz).utcoffset()
    high = first
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if middle <= low:
            break
        if middle.astimezone(tz).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def interval(begins: str, ends: str, zone: str) -> tuple[datetime, datetime]:
    """Return two local times of a zone as instants (UTC); the second is exclusive."""
    return edge(zone, datetime.fromisoformat(begins)), edge(zone, datetime.fromisoformat(ends))


def local_of(zone: str, at: datetime) -> datetime:
    """Return the local time of a zone at an instant."""
    return at.astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)


def on_the_clock(at: datetime, zone: str) -> str:
    """Return an instant as a store's wall clock shows it, with the zone named."""
    shown = at.astimezone(zone_of(zone) if zone else UTC)
    seconds = "" if shown.second == 0 and shown.microsecond == 0 else f"{shown:%S.%f}".rstrip("0").rstrip(".")
    return f"{shown:%a %Y-%m-%d %H:%M}{':' if seconds else ''}{seconds} {zone or 'UTC'}"
