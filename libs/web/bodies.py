"""Reads request bodies within limits: bytes, JSON depth, integer length, duplicate keys.

The one rule: nothing is parsed before its size is known to be within the limits, and nothing is accepted that a
stricter parser would read differently.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from fastapi import Request

from libs.contracts.problems import Problem, invalid, too_large
from libs.templates import YamlRejected, read_yaml

JSON_BYTES_MAX = 8 * 1024 * 1024
IMPORT_BYTES_MAX = 64 * 1024 * 1024
_INLINE_BYTES_MAX = 256 * 1024
"""A larger body is parsed beside the event loop, which answers others meanwhile."""
DEPTH_MAX = 64
INTEGER_DIGITS_MAX = 19

YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


def media_type(request: Request) -> str:
    """Return the request's media type without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def chunks(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives.

    Raises:
        Problem: 413 as soon as the announced or the received length exceeds `bytes_max`.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > bytes_max:
        raise too_large(bytes_max)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > bytes_max:
            raise too_large(bytes_max)
        yield chunk


async def read_body(request: Request, bytes_max: int = JSON_BYTES_MAX) -> bytes:
    """Return the whole body (413 beyond `bytes_max`)."""
    return b"".join([chunk async for chunk in chunks(request, bytes_max)])


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text, read strictly.

    Raises:
        Problem: 422 for what is not JSON, a repeated key, more than 64 levels, an integer of more than 19 digits, a
            number that is not finite, or text that is not Unicode.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise _malformed("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _malformed(f"the body nests deeper than {DEPTH_MAX} levels") from None
    _check_depth_and_text(value)
    return value


def _malformed(detail: str) -> Problem:
    return Problem(422, "malformed-body", "The body cannot be parsed.", detail)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _malformed(f"the key {key[:80]!r} is listed twice")
            seen.add(key)
    return found


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS_MAX + 1:
        raise _malformed(f"an integer has more than {INTEGER_DIGITS_MAX} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _malformed(f"the number {text[:40]} is too large")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise _malformed(f"{text} is not JSON")


def _check_depth_and_text(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        below: list[Any] = []
        containers = 0
        for each in level:
            if isinstance(each, dict):
                containers += 1
                below.extend(each.keys())
                below.extend(each.values())
            elif isinstance(each, list):
                containers += 1
                below.extend(each)
            elif isinstance(each, str) and not each.isascii():
                _check_text(each)
        if not containers:
            return
        level = below
    raise _malformed(f"the body nests deeper than {DEPTH_MAX} levels")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _malformed("a text holds half of a surrogate pair") from None


async def read_document(request: Request, bytes_max: int = JSON_BYTES_MAX) -> tuple[Any, bytes]:
    """Return the one value of a JSON or (if Content-Type says so) YAML body, and the body."""
    body = await read_body(request, bytes_max)
    parse = parse_json if media_type(request) not in YAML_TYPES else _parse_yaml
    if len(body) <= _INLINE_BYTES_MAX:
        return parse(body), body
    return await asyncio.to_thread(parse, body), body  # so that others are answered meanwhile


def _parse_yaml(body: bytes) -> Any:
    try:
        documents = read_yaml(body)
    except YamlRejected as error:
        raise Problem(422, error.code, "The body cannot be parsed.", error.detail, extra={"line": error.line}) from None
    if len(documents) != 1:
        raise invalid(f"the body has {len(documents)} documents, where one is expected")
    return documents[0]
