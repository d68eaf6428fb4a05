"""Time zones in documents and imports: IANA names of a place; for other names, the zone that is probably meant.

An accepted zone has the clocks of some place or a fixed offset; names that mean "not set" or "this machine's zone"
(`Factory`, `localtime`, `posixrules`) are refused although tzdata may have them.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from libs.contracts.names import nearest
from libs.contracts.refusals import Invalid

NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})
NEVER_CHANGING = {"EST": "America/New_York", "MST": "America/Denver"}
"""IANA names of zones without daylight saving time, and the zone that is most likely meant."""

_NAME_CHARACTERS_MAX = 80
_EXAMPLE = "write an IANA name such as America/Chicago"
_US = {
    "E": ("America/New_York",),
    "C": ("America/Chicago",),
    "M": ("America/Denver", "America/Phoenix where the clocks never change"),
    "P": ("America/Los_Angeles",),
    "AK": ("America/Anchorage",),
    "H": ("Pacific/Honolulu",),
    "HA": ("Pacific/Honolulu", "America/Adak"),
}
_ABBREVIATIONS: dict[str, tuple[str, ...]] = {
    **{f"{letters}{middle}T": zones for letters, zones in _US.items() for middle in ("", "S", "D")},
    "CST": ("America/Chicago", "Asia/Shanghai", "America/Havana"),
    "AST": ("America/Puerto_Rico", "America/Halifax", "Asia/Riyadh"),
    "ADT": ("America/Halifax",),
    "AT": ("America/Puerto_Rico", "America/Halifax"),
    "NST": ("America/St_Johns",),
    "NDT": ("America/St_Johns",),
    "CHST": ("Pacific/Guam",),
    "SST": ("Pacific/Pago_Pago",),
    "BST": ("Europe/London", "Asia/Dhaka"),
    "IST": ("Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"),
    "CEST": ("Europe/Berlin",),
    "EEST": ("Europe/Helsinki",),
    "WEST": ("Europe/Lisbon",),
    "JST": ("Asia/Tokyo",),
    "KST": ("Asia/Seoul",),
    "AEST": ("Australia/Sydney", "Australia/Brisbane where the clocks never change"),
    "AEDT": ("Australia/Sydney",),
    "NZST": ("Pacific/Auckland",),
    "NZDT": ("Pacific/Auckland",),
}
# Names that Windows, Rails and people use for zones that CLDR's table knows by another name.
_WINDOWS = {
    "alaska standard time": "alaskan standard time",
    "alaska": "alaskan standard time",
    "arizona": "us mountain standard time",
    "hawaii": "hawaiian standard time",
    "hawaii standard time": "hawaiian standard time",
    "hawaii-aleutian standard time": "hawaiian standard time",
    "indiana": "us eastern standard time",
}
_GONE = {"us/pacific-new": "America/Los_Angeles"}
_BY_OFFSET = {
    -10: "Pacific/Honolulu",
    -9: "America/Anchorage",
    -8: "America/Los_Angeles",
    -7: "America/Denver",
    -6: "America/Chicago",
    -5: "America/New_York",
    -4: "America/Puerto_Rico",
}
_OFFSET = re.compile(r"(?:utc|gmt|z)?\s*([+\-\u2212])\s*([0-9]{1,2})(?::?([0-9]{2}))?", re.IGNORECASE)
_SHOWN_OFFSET = re.compile(r"^\((?:utc|gmt)[^)]*\)\s*", re.IGNORECASE)
_REMARK = re.compile(r"\s*\([^)]*\)\s*$")


@cache
def zones() -> frozenset[str]:
    """Return the accepted time zones, from the tzdata distribution, so that all machines know the same ones."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split()) - NO_ZONES


def check_zone(name: str, pointer: str = "/spec/timezone") -> str:
    """Return `name`, if it is an IANA time zone.

    Raises:
        Invalid: it is none; the one that is meant is named, or several where the name means several.
    """
    if name in zones():
        return name
    shown = f"{name[:_NAME_CHARACTERS_MAX]!r}"
    if not name.strip():
        raise Invalid("the time zone is empty", pointer=pointer, fix=_EXAMPLE)
    if name in NO_ZONES:
        raise Invalid(f"{shown} is not the time zone of a place", pointer=pointer, fix=_EXAMPLE)
    if len(name) > _NAME_CHARACTERS_MAX:
        raise Invalid(f"{shown} is not an IANA time zone", pointer=pointer, fix=_EXAMPLE)
    meant = _meant(name.strip())
    if meant:
        fix = f"did you mean {_or(meant)}?" if len(meant) == 1 else f"it is ambiguous: did you mean {_or(meant)}?"
        raise Invalid(f"{shown} is not an IANA time zone", pointer=pointer, fix=fix, nearest=meant[0])
    if offset := _OFFSET.fullmatch(name.strip()):
        raise _an_offset(shown, offset, pointer)
    near = nearest(name, zones())
    fix = f"did you mean {near}?" if near else _EXAMPLE
    raise Invalid(f"{shown} is not an IANA time zone", pointer=pointer, fix=fix, nearest=near)


def _or(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _meant(name: str) -> tuple[str, ...]:
    """Return the zones that a name of another kind means, the likeliest first; none where it is not known."""
    if name.upper() in _ABBREVIATIONS:
        return _ABBREVIATIONS[name.upper()]
    called = _windows_name(name)
    for zone in (
        _slips().get(_plain(name)),
        _GONE.get(name.casefold()),
        _windows().get(name.casefold()),
        _windows().get(called),
        _windows().get(f"{called} standard time"),
    ):
        if zone is not None:
            return (zone,)
    return _cities().get(_plain(name), ())


def _an_offset(shown: str, offset: re.Match[str], pointer: str) -> Invalid:
    """Return the refusal of offsets such as `UTC-6`, which do not define daylight saving time."""
    sign = 1 if offset[1] == "+" else -1
    hours = sign * int(offset[2])
    place = _BY_OFFSET.get(hours) if offset[3] in (None, "00") else None
    fix = f"write the zone of the place, such as {place or 'America/Chicago'}"
    # POSIX counts to the west, so the sign of these names is the other way round.
    fixed = f"Etc/GMT{-hours:+d}"
    if offset[3] in (None, "00") and fixed in zones():
        fix = f"{fix}; for a clock that is never changed write {fixed}"
    return Invalid(f"{shown} is an offset, not an IANA time zone", pointer=pointer, fix=fix, nearest=place)


def _plain(name: str) -> str:
    return name.casefold().replace("\\", "/").replace(" ", "_").replace("-", "_")


@cache
def _slips() -> dict[str, str]:
    """Return the zones by their names without case, blanks and dashes."""
    # Names that only differ in that (`GMT-0`, `GMT+0`) are all the same zone.
    return {_plain(each): each for each in sorted(zones(), reverse=True)}


@cache
def _cities() -> dict[str, tuple[str, ...]]:
    """Return the zones by the place that they are named after."""
    found: dict[str, tuple[str, ...]] = {}
    for each in sorted(zones()):
        area, _, rest = each.partition("/")
        if rest and area not in {"Etc", "US", "SystemV", "Brazil", "Canada", "Chile", "Mexico"}:
            place = _plain(each.rpartition("/")[2])
            found[place] = (*found.get(place, ()), each)
    return found


def _windows_name(name: str) -> str:
    """Return how CLDR's table spells a name of Windows.

    `(UTC-08:00) Pacific Time (US & Canada)` is `Pacific Standard Time` there.
    """
    text = _REMARK.sub("", _SHOWN_OFFSET.sub("", name)).casefold()
    text = re.sub(r"(?: (?:standard|daylight|summer))? time$", " standard time", text)
    return _WINDOWS.get(text, text)


@cache
def _windows() -> dict[str, str]:
    """Return the IANA names of Windows' zones, from CLDR's table."""
    from tzlocal.windows_tz import win_tz  # noqa: PLC0415 - only a refusal needs it

    return {windows.casefold(): zone for windows, zone in win_tz.items() if zone in zones()}
