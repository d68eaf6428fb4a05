"""When removals of placements are too many to happen by the way.

The one rule: what is too many is the same everywhere: for the fuse before a commit, and for an import that asks first.
"""

from __future__ import annotations

SHARE_PERCENT = 1
COUNT_MIN = 50


def fuse_trips(count: int, recent: int, admitted: int) -> bool:
    """Return whether `count` removals, with `recent` ones just before, are too many of `admitted` placements.

    Too many: over 1 % of them and at least 50, or half of them whatever their number.
    """
    if not count:
        return False
    total, base = count + recent, admitted + recent
    massive = total >= COUNT_MIN and total * 100 > base * SHARE_PERCENT
    return massive or 2 * total >= base
