"""An import is read within bounds: columns, lines, rows, and errors, whatever the file says."""

from __future__ import annotations

from typing import Any

import pytest

from libs.contracts.names import LABELS_MAX
from libs.contracts.problems import Problem
from libs.web.faults import ERRORS_MAX
from libs.web.rows import LINE_CHARACTERS_MAX, LINES_A_ROW_MAX
from services.inventory.bulk import read_rows
from services.inventory.importing import Rows
from services.inventory.reading import COLUMNS_MAX, bad_rows

CSV, LINES = "text/csv", "application/x-ndjson"


class Sent:
    """A request with a body, as far as an import looks at it."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self.headers = {"content-type": media_type}
        self.query_params: dict[str, str] = {}
        self._body = body

    async def stream(self) -> Any:
        yield self._body


async def _read(body: bytes, media_type: str) -> Rows:
    rows, _ = await read_rows(Sent(body, media_type))  # type: ignore[arg-type]  # as much of a request as it reads
    if rows.errors:  # few enough to be told with what is wrong on the stores that are there
        raise bad_rows(rows.errors, rows.errors_count)
    return rows


async def refused(body: bytes, media_type: str = CSV) -> Problem:
    with pytest.raises(Problem) as problem:
        await _read(body, media_type)
    assert problem.value.status == 422
    assert len(problem.value.extra["errors"]) <= ERRORS_MAX
    return problem.value


async def taken(body: bytes, media_type: str = CSV) -> Rows:
    rows, _ = await read_rows(Sent(body, media_type))  # type: ignore[arg-type]  # the same
    return rows


@pytest.mark.parametrize("columns", [COLUMNS_MAX + 1, 20_000, 500_000])
async def test_more_columns_than_a_store_has_labels_are_refused_at_the_header(columns: int) -> None:
    header = ",".join(["name", "timezone", *(f"l{number}" for number in range(columns - 2))])
    problem = await refused(f"{header[: LINE_CHARACTERS_MAX - 10]}\na,UTC\n".encode())
    assert problem.extra["errors_count"] == 1
    assert "columns" in problem.detail


async def test_as_many_columns_as_a_store_has_labels_are_read() -> None:
    names = [f"l{number}" for number in range(LABELS_MAX)]
    body = ",".join(["name", "timezone", *names]) + "\n" + ",".join(["a", "UTC", *names]) + "\n"
    assert len((await taken(body.encode())).good[0].labels) == LABELS_MAX


async def test_reading_stops_where_as_much_is_wrong_as_is_told() -> None:
    for body, media_type in (
        (b"name,timezone\n" + b"-,Nowhere\n" * 100_000, CSV),
        (b'{"name": "-", "timezone": 1}\n' * 100_000, LINES),
        (b"{\n" * 100_000, LINES),
        (b"name,timezone\n" + b"a\n" * 100_000, CSV),
    ):
        problem = await refused(body, media_type)
        assert len(problem.extra["errors"]) == ERRORS_MAX
        assert problem.extra["errors_count"] <= ERRORS_MAX + 10
        assert problem.extra["read_until_row"] <= ERRORS_MAX + 10
        assert f"up to row {problem.extra['read_until_row']}" in problem.detail


async def test_fewer_errors_are_all_told() -> None:
    problem = await refused(b"name,timezone\n" + b"-,UTC\n" * 7)
    assert problem.extra["errors_count"] == len(problem.extra["errors"]) == 7
    assert "read_until_row" not in problem.extra


@pytest.mark.parametrize(
    "row",
    [
        b"a,UTC," + b"," * (4 * LINE_CHARACTERS_MAX),
        b'"' + b"x" * (4 * LINE_CHARACTERS_MAX),
        b'"\n",' * (LINES_A_ROW_MAX + 5),
        b"a,UTC," + b'"\n' * 3 + b"\n" * (LINES_A_ROW_MAX + 5),
    ],
)
async def test_a_row_without_an_end_is_given_up(row: bytes) -> None:
    problem = await refused(b"name,timezone,size\nb,UTC,large\n" + row + b"\nc,UTC,large\n")
    assert problem.extra["errors_count"] <= 2


async def test_a_line_without_an_end_and_one_with_too_many_members_are_refused() -> None:
    long = b'{"name": "a", "timezone": "' + b"x" * (2 * LINE_CHARACTERS_MAX) + b'"}'
    wide = b'{"name": "a", "timezone": "UTC"' + b"".join(b', "l%d": "x"' % n for n in range(COLUMNS_MAX)) + b"}"
    for line, word in ((long, "longer"), (wide, "columns")):
        problem = await refused(line, LINES)
        assert word in problem.detail
        assert problem.extra["errors_count"] == 1
