"""A store's opening hours as one hashable value with a canonical text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from libs.contracts.inventory import HoursException, OpeningHours

DISTINCT_KEPT_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Timetable:
    """`regular` are (days, opens, closes), `exceptions` (date, opens, closes), both empty on a closed date."""

    regular: tuple[tuple[tuple[str, ...], str, str], ...] = ()
    exceptions: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of(cls, hours: Sequence[OpeningHours], exceptions: Sequence[HoursException]) -> Timetable:
        """Return the hours that a store was declared with."""
        return cls(
            tuple((tuple(each.days), each.open, each.close) for each in hours),
            tuple((each.date, each.open, each.close) for each in exceptions),
        )

    def text(self) -> str:
        """Return the canonical text of hours: equal for equal hours; empty for none."""
        return _text(self) if self.regular or self.exceptions else ""

    @classmethod
    def from_text(cls, text: str) -> Timetable:
        """Read what `text` wrote."""
        if not text:
            return cls()
        regular, exceptions = json.loads(text)
        return cls(
            tuple((tuple(days), opens, closes) for days, opens, closes in regular),
            tuple((date, opens, closes) for date, opens, closes in exceptions),
        )


@lru_cache(maxsize=DISTINCT_KEPT_MAX)
def _text(hours: Timetable) -> str:
    # A fleet opens at the same few times: the same text is written once.
    return json.dumps([hours.regular, hours.exceptions])
