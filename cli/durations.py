"""Durations as people write them: `500ms`, `90s`, `90m`, `4h`, `2d`, `1h30m`.

A text that is nearly a duration is refused with the one that was probably meant, never guessed.
"""

import re

from cli.errors import UsageProblem

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WORDS = {
    **dict.fromkeys(("millisecond", "milliseconds", "msec"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
}
_NUMBER = r"\d{1,12}(?:\.\d{1,6})?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h|d))+")
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_LOOSE = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)")


def duration_seconds(text: str) -> float:
    """Return the seconds of a duration like `90s`, `1m30s`, `4h` or `500ms`; a bare number is seconds.

    Raises:
        UsageProblem: it is not a duration.
    """
    if re.fullmatch(_NUMBER, text):
        return float(text)
    return _seconds(text)


def duration_of(text: str, option: str) -> float:
    """Return the seconds of a duration that is longer than nothing and says its unit, as `option` takes it.

    Raises:
        UsageProblem: it is not one.
    """
    seconds = _seconds(text, option)
    if seconds <= 0:
        raise UsageProblem(f"{option} takes a duration above 0, not {text!r}")
    return seconds


def _seconds(text: str, option: str = "") -> float:
    if not _DURATION.fullmatch(text):
        told = f"{option} takes a duration, not {text!r}" if option else f"{text!r} is not a duration"
        raise UsageProblem(told, fix="write 500ms, 60s, 90m, 4h, 2d or 1h30m", nearest=_meant(text))
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _meant(text: str) -> list[str]:
    """Return the duration that was probably meant: units written out, in capitals or after a space; or none at all."""
    bare = text.strip()
    if re.fullmatch(_NUMBER, bare):
        return [f"{bare}h", f"{bare}m"]
    parts = _LOOSE.findall(bare)
    units = [_unit(word) for _, word in parts]
    if not parts or None in units or _LOOSE.sub("", bare).strip(" ,"):
        return []
    return ["".join(f"{number}{unit}" for (number, _), unit in zip(parts, units, strict=True))]


def _unit(word: str) -> str | None:
    lower = word.lower()
    return lower if lower in _UNITS else _WORDS.get(lower)
