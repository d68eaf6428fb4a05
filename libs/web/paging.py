"""Keyset paging: a page follows the last name of the page before it, even if the list has changed.

A cursor is opaque to clients and holds only where to continue.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from libs.contracts.problems import Problem, invalid

LIMIT_MAX = 1000
LIMIT_DEFAULT = 100
CURSOR_CHARACTERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class ListPage:
    """Which part of a list is asked for: up to `limit` items whose key follows `after`."""

    limit: int
    after: str


def page_of(request: Request) -> ListPage:
    """Return the page that a request asks for by `limit` and `cursor`.

    Raises:
        Problem: 422, one of them cannot be read.
    """
    text = request.query_params.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LIMIT_MAX)) and 1 <= int(text) <= LIMIT_MAX):
        raise invalid(f"limit must be a number from 1 to {LIMIT_MAX}", pointer="?limit")
    return ListPage(int(text), _decoded(request.query_params.get("cursor", "")))


def cursor_after(key: str) -> str:
    """Return the cursor of the page that follows `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise _bad_cursor()
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _bad_cursor() from None


def _bad_cursor() -> Problem:
    return invalid("cursor is not from an earlier page", pointer="?cursor", fix="start without a cursor")


def page_answer(
    request: Request, response: Response, items: Sequence[Mapping[str, Any]], following: str | None
) -> dict[str, Any]:
    """Return the body of a list, and set `Link`; `following` is the last key of the page when more follow."""
    cursor = None if following is None else cursor_after(following)
    if cursor is not None:
        query = {key: value for key, value in request.query_params.items() if key != "cursor"} | {"cursor": cursor}
        response.headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return {"items": list(items), "next": cursor}
