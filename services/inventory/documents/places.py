"""The time zone of a place that an import gives by coordinates, or by a state and ZIP code of the United States.

A zone is used only if it is certain; a ZIP code whose two sources (its coordinates on the map of zones, and the table's
own zone) differ is refused with both names. The map (timezonefinder) and the table (zipcodes) are loaded by the first
row that needs them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from libs.contracts.numbers import spelled_plainly
from libs.contracts.refusals import Invalid
from services.inventory.documents.zones import zones

if TYPE_CHECKING:
    from timezonefinder import TimezoneFinder

COORDINATES = ("latitude", "longitude")
ADDRESS = ("state", "zip")
LATITUDE_MAX, LONGITUDE_MAX = 90.0, 180.0
ZIPS_KEPT_MAX = 50_000

_WRITE_ZONE = "write the time zone in the column timezone"
_ZIP = re.compile(r"([0-9]{3,5})(?:[- ]?[0-9]{4})?")
_STATE = re.compile(r"[A-Za-z]{2}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: `given` is the cells by column, either coordinates or state and ZIP code."""

    given: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """What was given, as a report shows it."""
        return ", ".join(f"{column} {cell}" for column, cell in self.given)

    def zone(self) -> str:
        """Return its time zone.

        Raises:
            Invalid: it is not valid, or its zone is not certain; the pointer names the column.
        """
        cells = dict(self.given)
        if COORDINATES[0] in cells:
            latitude = _degrees(cells[COORDINATES[0]], COORDINATES[0], LATITUDE_MAX)
            longitude = _degrees(cells[COORDINATES[1]], COORDINATES[1], LONGITUDE_MAX)
            return zone_at(latitude, longitude)
        return zone_of_zip(*(cells[column] for column in ADDRESS))


def place_of(cells: Mapping[str, Any]) -> Place | None:
    """Return the place that a row gives; coordinates before a ZIP code, nothing where neither is complete."""
    for columns in (COORDINATES, ADDRESS):
        given = tuple((column, str(cells.get(column) or "").strip()) for column in columns)
        if all(cell for _, cell in given):
            return Place(given)
    return None


def zone_at(latitude: float, longitude: float) -> str:
    """Return the time zone of a point on land.

    Raises:
        Invalid: the point is at sea, most likely because its numbers are swapped or lack a sign.
    """
    zone = _finder().timezone_at_land(lat=latitude, lng=longitude)
    if zone is None or zone not in zones():
        raise Invalid(
            f"no time zone is known at latitude {latitude:g}, longitude {longitude:g}",
            pointer=f"/{COORDINATES[0]}",
            fix="check whether the two are swapped or a minus sign is missing (west and south are negative), "
            f"or {_WRITE_ZONE}",
        )
    return zone


@lru_cache(maxsize=ZIPS_KEPT_MAX)
def zone_of_zip(state: str, code: str) -> str:
    """Return the time zone of a ZIP code; the state proves that the code is not a slip, or lost a leading zero.

    Raises:
        Invalid: there is no such code, it is in another state, or its zone is not certain.
    """
    import zipcodes  # noqa: PLC0415 - map and table take 80 MB, which only a row without a zone is worth

    if not _STATE.fullmatch(state):
        raise Invalid(f"{state[:40]!r} is not the code of a state such as TX", pointer="/state", fix=_WRITE_ZONE)
    read = _ZIP.fullmatch(code)
    if read is None:
        raise Invalid(f"{code[:40]!r} is not a ZIP code such as 78701", pointer="/zip", fix=_WRITE_ZONE)
    digits = read[1].zfill(5)
    found: list[dict[str, Any]] = zipcodes.matching(digits)  # type: ignore[no-untyped-call]  # the library has no annotations
    if not found:
        raise Invalid(f"ZIP code {digits} is not known", pointer="/zip", fix=_WRITE_ZONE)
    here = [each for each in found if str(each["state"]).upper() == state.upper()]
    if not here:
        detail = f"ZIP code {digits} is in {found[0]['state']}, not in {state.upper()}"
        raise Invalid(detail, pointer="/zip", fix=f"correct one of them, or {_WRITE_ZONE}")
    return _certain(digits, here[0])


def _certain(digits: str, entry: Mapping[str, Any]) -> str:
    """Return the zone that the table and the map of zones agree on.

    Raises:
        Invalid: they differ, or neither knows one.
    """
    said = entry.get("timezone") or ""
    known = {said} & zones()
    if entry.get("lat") and entry.get("long"):
        mapped = _finder().timezone_at_land(lat=float(entry["lat"]), lng=float(entry["long"]))
        known |= {mapped} & zones()
    match sorted(known):
        case [zone]:
            return zone
        case []:
            raise Invalid(f"the time zone of ZIP code {digits} is not known", pointer="/zip", fix=_WRITE_ZONE)
        case several:
            detail = f"ZIP code {digits} is at the border of time zones: {' or '.join(several)}"
            raise Invalid(detail, pointer="/zip", fix=_WRITE_ZONE)


def _degrees(cell: str, column: str, degrees_max: float) -> float:
    degrees = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    if not abs(degrees) <= degrees_max:
        unusual = spelled_plainly(cell)
        fix = f"{unusual[0]}; write {unusual[1]}" if unusual else "write decimal degrees such as 30.2713"
        raise Invalid(f"{cell[:40]!r} is not a {column}", pointer=f"/{column}", fix=fix)
    return degrees


@cache
def _finder() -> TimezoneFinder:
    from timezonefinder import TimezoneFinder  # noqa: PLC0415 - the map is loaded by who needs it

    return TimezoneFinder(in_memory=True)


def load_places() -> None:
    """Load the map and the table, which takes a quarter of a second."""
    zone_of_zip("TX", "78701")
