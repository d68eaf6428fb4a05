"""What is written to stdout reads back as the same values, and a pipe gets all of it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.output import TableColumn, field, sort_items, text, to_yaml, write_table
from libs.templates import read_yaml

if TYPE_CHECKING:
    import pytest

TRICKY = [
    "no",
    "on",
    "1e3",
    "0x1F",
    "012",
    "2026-12-24",
    "1:30",
    "~",
    "null",
    "true",
    "-1",
    "1.5",
    "",
    " a ",
    "a: b",
    "#",
    "é",
    "a\nb",
]
texts = st.sampled_from(TRICKY) | st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(texts, values, min_size=1, max_size=4))
def test_for_every_document_yaml_reads_back_the_same_values_under_both_rules(document: dict[str, Any]) -> None:
    written = to_yaml(document)

    assert read_yaml(written.encode()) == [document]
    assert yaml.safe_load(written) == document


def test_a_value_that_stands_twice_is_written_twice() -> None:
    hours = [{"days": ["mon"], "open": "06:00"}]

    assert "&" not in to_yaml({"a": hours, "b": hours})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def table(stream: io.StringIO) -> list[str]:
    columns = [TableColumn("NAME", field("name")), TableColumn("LABELS", field("labels"))]
    write_table(
        columns, [{"name": "tx-1", "labels": {"size": "large", "grill": ["A", "B"], "note": "x" * 200}}], stream=stream
    )
    return stream.getvalue().splitlines()


def test_a_pipe_gets_no_colour_no_box_and_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)

    assert table(io.StringIO()) == ["NAME  LABELS", "tx-1  size=large,grill=A|B,note=" + "x" * 200]


def test_a_terminal_gets_lines_of_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    head, row = table(Terminal())

    assert (len(row), row[-1]) == (40, "…")
    assert head.startswith("\x1b[1m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in table(Terminal())[0]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in table(Terminal())[0]


def test_a_cell_is_one_line_whatever_it_holds() -> None:
    assert text("a\nb\x1b[31m") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m"
    shown: list[Any] = [None, [], {}, True, 0, 0.5, ["a", 1]]
    assert [text(value) for value in shown] == ["-", "-", "-", "yes", "0", "0.5", "a,1"]


def test_numbers_sort_as_numbers_and_missing_ones_last() -> None:
    items: list[dict[str, Any]] = [{"n": 10}, {"n": 9}, {}, {"n": "x"}]

    assert json.dumps(sort_items(items, "n", [])) == '[{"n": 9}, {"n": 10}, {"n": "x"}, {}]'
    assert sort_items(items, "-COUNT", [TableColumn("COUNT", field("n"))])[-1] == {"n": 9}


def test_columns_stand_below_each_other_whatever_letters_a_name_has() -> None:
    wide, marked = "山田 太郎", "नमस्ते"
    columns = (TableColumn("ACTOR", field("a")), TableColumn("WHAT", field("b")))
    out = io.StringIO()

    write_table(columns, [{"a": name, "b": "x"} for name in (wide, marked, "Ana O'Brien")], stream=out)

    _, *rows = out.getvalue().splitlines()
    assert rows == [f"{wide}    x", f"{marked}{' ' * 9}x", "Ana O'Brien  x"]
