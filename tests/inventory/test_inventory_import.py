from typing import Any

import pytest

from libs.contracts import ClusterSpec, HoursException, StoreDeclared
from libs.web.problems import Problem
from services.inventory.importing import ERRORS_MAX, Rows
from services.inventory.reading import RowError, rows_of


def read(body: str | bytes, media_type: str = "text/csv", *, empty_removes: bool = False) -> Rows:
    rows = Rows(empty_removes=empty_removes)
    given = body.encode() if isinstance(body, str) else body
    for row, cells in rows_of(given, media_type, rows.error):
        rows.take(row, cells)
    return rows


def stores(rows: Rows) -> list[StoreDeclared]:
    return [row.over(None) for row in rows.good]


def test_columns_are_labels_but_for_the_known_ones() -> None:
    rows = read(
        "name,timezone,hours,cpu,memory,size,grill\n"
        "a,UTC,daily 06:00-22:00,4,8Gi,large,Acme3000|Acme3001\n"
        "b,America/Chicago,,,,,\n"
    )
    assert rows.errors == []
    first, second = stores(rows)
    assert first.labels == {"size": "large", "grill": ["Acme3000", "Acme3001"]}
    assert first.clusters == [ClusterSpec("a", {}, {"cpu": "4", "memory": "8Gi"})]
    assert len(first.hours[0].days) == 7
    assert (second.labels, second.hours, second.clusters) == ({}, [], [ClusterSpec("b")])


def test_a_row_that_says_no_hours_leaves_the_exceptions() -> None:
    said = stores(read("name,timezone,hours\na,UTC,daily 06:00-22:00; 2026-12-25 closed\n"))[0]
    assert said.exceptions == [HoursException("2026-12-25")]

    silent = read("name,timezone,size\na,UTC,large\n").good[0].over(said)
    assert (silent.hours, silent.exceptions) == (said.hours, said.exceptions)
    assert read("name,timezone,hours\na,UTC,daily 06:00-22:00\n").good[0].over(said).exceptions == []


def test_json_lines_say_the_same() -> None:
    line = '{"name": "a", "timezone": "UTC", "size": "large", "grill": ["x", "y"], "cpu": "4"}\n\n'
    assert stores(read(line, "application/x-ndjson"))[0].labels == {"size": "large", "grill": ["x", "y"]}


def test_every_bad_row_is_told_with_row_and_column() -> None:
    rows = read(
        "name,timezone,hours,cpu,size\n"
        "Bad,UTC,,,\n"
        "a,Mars/Base,,,\n"
        "b,UTC,whenever,,\n"
        "c,UTC,,lots,\n"
        "d,UTC,,\n"
        "e,UTC,,,large\n"
        "e,UTC,,,large\n"
    )
    assert [(error.row, error.column) for error in rows.errors] == [
        (2, "name"),
        (3, "timezone"),
        (4, "hours"),
        (5, "cpu"),
        (6, ""),
        (8, "name"),
    ]
    assert [row.name for row in rows.good] == ["e"]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("{", "line 1"),
        ("[1]", "not a JSON object"),
        ('{"name": "a", "name": "b"}', "there twice"),
        ('{"name": "a", "timezone": "UTC", "size": 3}', "must be text"),
        ('{"name": "a", "timezone": "UTC", "hours": [{"days": 1}]}', "valid list"),
        ('{"name": 1, "timezone": null}', "not a name"),
        ('{"name": "a", "timezone": {"a": []}}', "time zone"),
    ],
)
def test_a_bad_line_is_told(line: str, detail: str) -> None:
    rows = read(line, "application/x-ndjson")
    assert detail in rows.errors[0].detail


@pytest.mark.parametrize(
    ("header", "detail"),
    [("nam,timezone", "is it nam?"), ("name,timezone,a,a", "there twice"), ("name,timezone,-x", "not a label key")],
)
def test_a_header_that_cannot_be_read_is_refused_at_once(header: str, detail: str) -> None:
    with pytest.raises(Problem) as problem:
        read(f"{header}\n")
    assert detail in problem.value.detail
    assert problem.value.status == 422


def test_only_so_many_errors_are_listed_but_all_are_counted() -> None:
    rows = read("name,timezone\n" + "-,UTC\n" * (ERRORS_MAX + 5))
    assert (len(rows.errors), rows.errors_count) == (ERRORS_MAX, ERRORS_MAX + 5)


def test_another_format_is_refused() -> None:
    with pytest.raises(Problem, match="415"):
        read("", "application/xml")


def test_a_row_over_a_store_keeps_its_other_clusters() -> None:
    before = StoreDeclared("a", "UTC", {"old": "1"}, [], [ClusterSpec("a", {"x": "1"}), ClusterSpec("a-kitchen")])
    after = read("name,timezone,cpu,size\na,UTC,2,large\n").good[0].over(before)
    assert after.clusters == [ClusterSpec("a", {"x": "1"}, {"cpu": "2"}), ClusterSpec("a-kitchen")]
    assert after.labels == {"old": "1", "size": "large"}


def test_broken_quoting_ends_the_reading() -> None:
    rows = read('name,timezone\n"a,UTC\n')
    assert rows.errors[0] == RowError(2, "", rows.errors[0].detail)


def test_text_that_is_not_utf8_is_told() -> None:
    rows = Rows()
    found: list[Any] = list(rows_of(b"name,timezone\n\xff,UTC\n", "text/csv", rows.error))
    assert (found, rows.errors_count) == ([], 1)
