"""Whether so many removals of placements at once need a confirmation.

The limit is the same everywhere: for the fuse before a commit, and for an import, which asks first.
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
