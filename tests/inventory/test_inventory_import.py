import codecs
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import ClusterSpec, HoursException, OpeningHours, StoreDeclared
from libs.contracts.problems import Problem
from libs.web.faults import ERRORS_MAX
from services.inventory.importing import NoRoom, Rows
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
        ('{"name": "a", "name": "b"}', "listed twice"),
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
    [
        ("nam,timezone", "did you mean nam?"),
        ("name,timezone,a,a", "listed twice"),
        ("name,timezone,-x", "not a label key"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_at_once(header: str, detail: str) -> None:
    with pytest.raises(Problem) as problem:
        read(f"{header}\n")
    assert detail in problem.value.detail
    assert problem.value.status == 422


def test_reading_ends_with_as_many_errors_as_are_listed() -> None:
    with pytest.raises(Problem, match="reading stopped") as problem:
        read("name,timezone\n" + "-,UTC\n" * (ERRORS_MAX + 5))
    assert problem.value.extra["errors_count"] == len(problem.value.extra["errors"]) == ERRORS_MAX


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


TIER = StoreDeclared(
    "fc-1",
    "America/Chicago",
    {"size": "large", "ownership": "corporate"},
    [OpeningHours(["mon"], "06:00", "22:00")],
    [ClusterSpec("fc-1", {"role": "till"}, {"cpu": "4", "memory": "8Gi"}), ClusterSpec("fc-1-kitchen", {"a": "b"})],
    [HoursException("2026-12-25")],
)


def over(body: str, before: StoreDeclared | None = TIER, media_type: str = "text/csv", **how: bool) -> StoreDeclared:
    rows = read(body, media_type, **how)
    assert rows.errors == []
    return rows.good[0].over(before)


def test_what_has_no_column_stays() -> None:
    assert over("name,timezone,tier\nfc-1,America/Chicago,gold\n") == replace(
        TIER, labels={**TIER.labels, "tier": "gold"}
    )
    assert over("name,size\nfc-1,small\n") == replace(TIER, labels={**TIER.labels, "size": "small"})


def test_an_empty_cell_leaves_what_was_there() -> None:
    after = over("name,timezone,tier,cpu,memory,hours,size\nfc-1,,gold,8,,,\n")
    assert after == replace(
        TIER,
        labels={**TIER.labels, "tier": "gold"},
        clusters=[ClusterSpec("fc-1", {"role": "till"}, {"cpu": "8", "memory": "8Gi"}), TIER.clusters[1]],
    )


def test_an_empty_cell_removes_only_where_that_is_said() -> None:
    after = over("name,timezone,cpu,memory,hours,size\nfc-1,,8,,,\n", empty_removes=True)
    assert after == replace(
        TIER,
        labels={"ownership": "corporate"},
        hours=[],
        exceptions=[],
        clusters=[ClusterSpec("fc-1", {"role": "till"}, {"cpu": "8"}), TIER.clusters[1]],
    )


@pytest.mark.parametrize("empty", ["null", '""', "[]", '" \\u00a0"'])
def test_a_json_line_says_nothing_in_each_of_these_ways(empty: str) -> None:
    line = f'{{"name": "fc-1", "timezone": {empty}, "size": {empty}, "hours": {empty}, "memory": {empty}}}'
    assert over(line, media_type="application/x-ndjson") == TIER
    after = over(line, media_type="application/x-ndjson", empty_removes=True)
    assert (after.timezone, after.hours, after.exceptions) == (TIER.timezone, [], [])
    assert (after.labels, after.clusters[0].capacity) == ({"ownership": "corporate"}, {"cpu": "4"})


def test_a_capacity_needs_a_cluster_of_the_stores_name() -> None:
    before = replace(TIER, clusters=[ClusterSpec("other")])
    row = read("name,cpu\nfc-1,4\n").good[0]
    with pytest.raises(NoRoom, match="no cluster of its own name") as refusal:
        row.over(before)
    assert refusal.value.column == "cpu"
    assert over("name,cpu\nfc-1,\n", before, empty_removes=True) == before


def test_a_new_store_needs_a_zone() -> None:
    with pytest.raises(NoRoom, match="latitude and longitude, or state and zip") as refusal:
        read("name,size\nnew,large\n").good[0].over(None)
    assert refusal.value.column == "timezone"


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u200b", "\ufeff", "\u3000", " \u00a0\u2060 "])
@pytest.mark.parametrize("media_type", ["text/csv", "application/x-ndjson"])
def test_cells_and_column_names_are_trimmed(blank: str, media_type: str) -> None:
    cells = {"name": "s-1", "timezone": "UTC", "size": "large", "grill": "a|b"}
    padded = {
        f"{blank}{key}{blank}": f"{blank}{cell.replace('|', blank + '|' + blank)}{blank}" for key, cell in cells.items()
    }
    body = f"{','.join(padded)}\n{','.join(padded.values())}\n" if media_type == "text/csv" else json.dumps(padded)
    after = over(body, None, media_type)
    assert (after.name, after.timezone, after.labels) == ("s-1", "UTC", {"size": "large", "grill": ["a", "b"]})


def test_text_is_composed() -> None:
    decomposed, composed = "Montre\u0301al", "Montr\u00e9al"
    assert over(f"name,timezone,city\ns-1,UTC,{decomposed}\n", None).labels == {"city": composed}
    line = json.dumps({"name": "s-1", "timezone": "UTC", "city": [decomposed, composed]})
    assert over(line, None, "application/x-ndjson").labels == {"city": composed}


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ('"1,024"', "thousands separator; write 1024"),
        ("\uff11\uff12", "full-width ones; write 12"),
        ("1'024", "thousands separator; write 1024"),
        ('"1,5"', "decimal comma; write 1.5"),
        ("8 Gi", "a blank in it; write 8Gi"),
        ("1\u202f024Mi", "thousands separator; write 1024Mi"),
    ],
)
def test_an_unusual_number_is_called_by_its_name(cell: str, words: str) -> None:
    rows = read(f"name,timezone,memory\ns-1,UTC,{cell}\n")
    assert (rows.errors[0].column, rows.errors[0].detail.endswith(words)) == ("memory", True)


def test_a_label_that_looks_like_a_number_and_is_none_is_told() -> None:
    rows = read('name,timezone,lanes,area\ns-1,UTC,4,"1,024"\n')
    assert rows.errors == []
    assert rows.unusual == {("area", "1,024"): "it has a thousands separator; write 1024"}


TABLE = [
    ["name", "timezone", "size", "state"],
    ["s-2", "America/Chicago", "large", "tx"],
    ["s-3", "UTC", "small", "ca"],
]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom", "utf-32"])
@pytest.mark.parametrize("excel", [False, True])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_is_read(separator: str, encoding: str, excel: bool, ending: str) -> None:
    lines = [separator.join(row) for row in TABLE]
    if excel:
        lines = [f"sep={separator}", lines[0], separator * 3, *lines[1:], separator * 3, separator * 4, ""]
    text = ending.join([*lines, ""])
    match encoding:
        case "utf-16-le-bom":
            body = codecs.BOM_UTF16_LE + text.encode("utf-16-le")
        case "utf-16-be-bom":
            body = codecs.BOM_UTF16_BE + text.encode("utf-16-be")
        case _:
            body = text.encode(encoding)
    rows = read(body)
    assert rows.errors == []
    assert [(each.name, each.timezone, each.labels) for each in rows.good] == [
        (name, zone, {"size": size, "state": state}) for name, zone, size, state in TABLE[1:]
    ]


@pytest.mark.parametrize(
    ("body", "row", "detail"),
    [
        (
            "name,timezone,city\na,UTC,Austin\nb,UTC,Montréal\n".encode("latin-1"),
            3,
            "0xE9 is not UTF-8: the file is Latin-1",
        ),
        ("name,timezone\na,UTC\n".encode("utf-16-le"), 1, "UTF-16 without a byte order mark"),
        (codecs.BOM_UTF16_LE + b"n\0a\0m\0e\0\n\0\0\xd8a\0", 2, "is marked as UTF-16"),
        (b"name," + b"x" * 200_000 + b"\na,b\n", 1, "field larger than field limit"),
        (b"PK\x03\x04\x14\0", 1, "the file is a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", 1, "the file is a workbook"),
        (b"name,timezone\na;UTC\n", 2, "this row has semicolons between its cells, the header commas"),
        (b"name,timezone\na,UTC,x\n", 2, "put a cell that holds a separator in quotes"),
        (b"name,timezone,size\na,UTC\n", 2, "the row has 2 cells, the header 3"),
    ],
)
def test_a_file_that_cannot_be_read_is_called_by_its_name_with_the_line(body: bytes, row: int, detail: str) -> None:
    rows = read(body)
    assert (rows.errors[0].row, rows.errors_count) == (row, 1)
    assert detail in rows.errors[0].detail


def test_rows_before_the_bytes_that_are_not_text_are_read() -> None:
    rows = read(b"name,timezone\n" + b"".join(b"s-%d,UTC\n" % number for number in range(5000)) + b"x,\xe9\n")
    assert (len(rows.good), rows.errors[0].row) == (5000, 5002)


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("name|timezone|size", "the columns are separated by `|`"),
        ("Name,timezone", "the column is spelled name"),
        ("name,Time Zone", "the column is spelled timezone"),
        ("name,time_zone", "the column is spelled timezone"),
        ("name,timezne", "the column is spelled timezone"),
        ("name,timezone,Memory", "the column is spelled memory"),
        ("name,,timezone", "a column has no name"),
        ("nam;timezone", "semicolons separate the columns"),
        ("name," + ",".join(f"k{number}" for number in range(20_000)), "at most 261 are read"),
    ],
)
def test_a_slip_in_the_header_never_makes_a_label(header: str, detail: str) -> None:
    with pytest.raises(Problem) as problem:
        read(f"{header}\n")
    assert (problem.value.status, detail in str(problem.value.extra["errors"])) == (422, True)


def test_a_slip_in_a_key_of_a_json_line_never_makes_a_label() -> None:
    rows = read('{"name": "a", "Timezone": "UTC"}\n{"name": "b", " name ": "c"}\n', "application/x-ndjson")
    assert [(each.row, each.detail) for each in rows.errors] == [
        (1, "the column is spelled timezone"),
        (2, "the key is listed twice"),
    ]


@st.composite
def stores_and_tables(draw: st.DrawFn) -> tuple[list[StoreDeclared], list[str], list[dict[str, str]]]:
    """A fleet, the columns of an import, and its rows over some of these stores."""
    text = st.text("abcx ", min_size=1, max_size=4).map(str.strip).filter(bool)
    keys = ["size", "tier", "grill", "state"]
    quantities = st.sampled_from(["1", "500m", "8Gi"])
    fleet = []
    for number in range(draw(st.integers(1, 4))):
        name = f"s-{number}"
        labels = st.dictionaries(
            st.sampled_from(keys), text | st.lists(text, min_size=2, max_size=3, unique=True), max_size=4
        )
        capacities = st.dictionaries(st.sampled_from(["cpu", "memory", "gpu"]), quantities, max_size=3)
        clusters = [
            ClusterSpec(each, draw(labels), draw(capacities))
            for each in [name, *draw(st.sampled_from([[], [f"{name}-kitchen"], [f"{name}-b", f"{name}-c"]]))]
        ]
        hours = draw(st.sampled_from([[], [OpeningHours(["mon", "tue"], "06:00", "22:00")]]))
        exceptions = draw(
            st.sampled_from([[], [HoursException("2026-12-25"), HoursException("2026-12-31", "08:00", "12:00")]])
        )
        zone = draw(st.sampled_from(["UTC", "America/Chicago"]))
        fleet.append(StoreDeclared(name, zone, draw(labels), hours, clusters, exceptions))
    columns = draw(st.lists(st.sampled_from([*keys, "timezone", "hours", "cpu", "memory"]), unique=True))
    cells = {
        "timezone": st.sampled_from(["", "America/Denver"]),
        "hours": st.sampled_from(["", "daily 01:00-02:00"]),
        "cpu": st.just("") | quantities,
        "memory": st.just("") | quantities,
    }
    rows = [
        {"name": each.name, **{column: draw(cells.get(column, st.just("") | text)) for column in columns}}
        for each in fleet
        if draw(st.booleans())
    ]
    return fleet, ["name", *columns], rows


@given(stores_and_tables(), st.booleans(), st.booleans())
def test_for_every_fleet_what_has_no_column_never_changes(
    made: tuple[list[StoreDeclared], list[str], list[dict[str, str]]], empty_removes: bool, as_json: bool
) -> None:
    fleet, columns, table = made
    if as_json:
        body, media_type = "\n".join(map(json.dumps, table)), "application/x-ndjson"
    else:
        body = "\n".join([",".join(columns), *(",".join(row[column] for column in columns) for row in table)])
        media_type = "text/csv"
    rows = read(body, media_type, empty_removes=empty_removes)
    assert rows.errors == []
    before = {each.name: each for each in fleet}
    said = {row["name"]: row for row in table}
    for row in rows.good:
        was, now, cells = before[row.name], row.over(before[row.name]), said[row.name]

        def speaks(column: str, cells: dict[str, str] = cells) -> bool:
            return column in cells and bool(cells[column] or empty_removes)

        for key in was.labels.keys() | now.labels.keys() | {"size", "tier", "grill", "state"}:
            if not speaks(key):
                assert was.labels.get(key) == now.labels.get(key)
            else:
                assert now.labels.get(key, "") == cells[key]
        assert now.timezone == (cells.get("timezone") or was.timezone)
        if not speaks("hours"):
            assert (now.hours, now.exceptions) == (was.hours, was.exceptions)
        assert [(each.name, each.labels) for each in now.clusters] == [
            (each.name, each.labels) for each in was.clusters
        ]
        assert now.clusters[1:] == was.clusters[1:]
        for resource in ("cpu", "memory", "gpu"):
            had, has = (each.clusters[0].capacity.get(resource) for each in (was, now))
            assert has == (cells[resource] or None if speaks(resource) else had)
        assert row.over(now) == now


def test_coordinates_of_a_json_line_may_be_numbers() -> None:
    line = '{"name": "a", "latitude": 30.2713, "longitude": -97.7426}'
    after = over(line, None, "application/x-ndjson")
    assert (after.timezone, after.labels) == ("America/Chicago", {"latitude": "30.2713", "longitude": "-97.7426"})
    assert read('{"name": "a", "latitude": true}', "application/x-ndjson").errors_count == 1
