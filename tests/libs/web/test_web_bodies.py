import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Request

from libs.contracts.problems import Problem
from libs.web.bodies import DEPTH_MAX, parse_json, read_body, read_document


def request(*chunks: bytes, **headers: str) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: AsyncIterator[dict[str, Any]] = aiter_of(messages)

    async def receive() -> dict[str, Any]:
        return await anext(sent)

    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return Request({"type": "http", "method": "PUT", "headers": raw}, receive)


async def aiter_of(messages: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for message in messages:
        yield message


def test_json_is_read_as_it_stands() -> None:
    value: dict[str, Any] = {"a": [1, 2.5, None, True, "ü", {"b": {}}]}
    assert parse_json(json.dumps(value).encode()) == value


def test_the_deepest_that_is_allowed_is_read() -> None:
    assert parse_json(b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"a": 1, "a": 2}', "listed twice"),
        (b'{"x": {"a": 1, "a": 2}}', "listed twice"),
        (b"[" * 1_000_000, "levels"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "levels"),
        (b"[1," * DEPTH_MAX + b"[1" + b"]" * (DEPTH_MAX + 1), "levels"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "levels"),
        (b"9" * 20_000, "digits"),
        (b'{"a": -' + b"9" * 40 + b"}", "digits"),
        (b"1e999", "too large"),
        (b"NaN", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"\xff", "UTF-8"),
        (b"{", "line 1"),
        (b"", "line 1"),
    ],
)
def test_what_a_stricter_reader_would_refuse_is_refused(body: bytes, detail: str) -> None:
    with pytest.raises(Problem) as problem:
        parse_json(body)
    assert problem.value.status == 422
    assert detail in problem.value.detail


async def test_a_body_within_bounds_is_read_whole() -> None:
    assert await read_body(request(b"ab", b"c"), 3) == b"abc"


async def test_an_announced_length_over_the_bound_is_refused_before_reading() -> None:
    with pytest.raises(Problem) as problem:
        await read_body(request(content_length="4"), 3)
    assert problem.value.status == 413


async def test_a_longer_body_than_announced_is_refused_while_reading() -> None:
    with pytest.raises(Problem) as problem:
        await read_body(request(b"ab", b"cd", content_length="3"), 3)
    assert problem.value.status == 413


async def test_a_length_that_is_none_is_refused() -> None:
    with pytest.raises(Problem):
        await read_body(request(content_length="9" * 5000), 3)


async def test_yaml_is_read_if_the_content_type_says_so() -> None:
    value, body = await read_document(request(b"on: no\n", content_type="application/yaml; charset=utf-8"))
    assert value == {"on": "no"}
    assert body == b"on: no\n"


async def test_a_yaml_bomb_is_refused() -> None:
    bomb = b"a0: &a0 [x]\n" + b"".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 10)
    )
    with pytest.raises(Problem) as problem:
        await read_document(request(bomb, content_type="application/yaml"))
    assert problem.value.status == 422


async def test_two_yaml_documents_are_one_too_many() -> None:
    with pytest.raises(Problem, match="2 documents"):
        await read_document(request(b"a: b\n---\nc: d\n", content_type="text/yaml"))
