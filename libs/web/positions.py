"""The position of the log that a request builds on."""

from __future__ import annotations

from fastapi import Request

from libs.contracts.problems import invalid

POSITION_HEADER = "Resedge-Position"


POSITION_DIGITS_MAX = 18


def wanted_position(request: Request) -> int:
    """Return the position that the request builds on (`Resedge-Position` or `?position=`); 0 if it names none.

    Raises:
        Problem: 422, it is not a position.
    """
    text = request.query_params.get("position") or request.headers.get(POSITION_HEADER) or "0"
    if not text.isascii() or not text.isdecimal() or len(text) > POSITION_DIGITS_MAX:
        raise invalid(f"{text[:40]!r} is not a position of the log", pointer="?position")
    return int(text)
