"""Items as table, wide, json, yaml, name or jsonl.

`apply` accepts the `yaml` and `json` of declared things again, value for value.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, takewhile
from typing import Any, TextIO

from cli.terminal import coloured, width

Item = Mapping[str, Any]
# What JSON reads as a number, true, false or null but YAML 1.1, which PyYAML writes by, leaves unquoted.
_JSON_SCALAR = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?|true|false|null")
_ROWS_MEASURED = 1_000


class Format(StrEnum):
    """How items are written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table: its heading, what it shows of an item, and whether only `wide` shows it."""

    heading: str
    cell: Callable[[Item], object]
    wide: bool = False


def field(path: str) -> Callable[[Item], object]:
    """Return a reader of a dotted path (`spec.timezone`); a missing step gives None."""
    steps = path.split(".")

    def read(item: Item) -> object:
        value: Any = item
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return read


def text(value: object) -> str:
    """Return a cell's text on one line: lists joined by commas, maps as `key=value`, nothing as `-`."""
    if value is None or value in ("", [], {}, ()):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case Mapping():
            return ",".join(
                f"{key}={'|'.join(map(str, v)) if isinstance(v, list) else text(v)}" for key, v in value.items()
            )
        case list() | tuple():
            return ",".join(text(part) for part in value)
        case _:
            return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def write_table(columns: Sequence[TableColumn], items: Iterable[Item], *, stream: TextIO | None = None) -> None:
    """Write aligned columns; a terminal gets its last columns cut at its width, a pipe gets everything.

    Widths are measured on the first thousand rows, so that a long list starts to appear at once.
    """
    out = stream or sys.stdout
    rows = iter([text(column.cell(item)) for column in columns] for item in items)
    head = [column.heading for column in columns]
    measured = [row for _, row in zip(range(_ROWS_MEASURED), rows, strict=False)]
    if not measured:
        return
    widths = [max(_cells(row[i]) for row in [head, *measured]) for i in range(len(columns))]
    limit = width(out)

    def line(row: Sequence[str]) -> str:
        padded = [cell + " " * (cells - _cells(cell)) for cell, cells in zip(row, widths, strict=True)]
        joined = "  ".join(padded).rstrip()
        return joined if limit is None or _cells(joined) <= limit else _cut(joined, max(limit - 1, 1)) + "…"

    print(coloured(line(head), "bold", out), file=out)
    for row in measured:
        print(line(row), file=out)
    for row in rows:
        print(line(row), file=out)


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes: a name may be of wide letters, or of letters with marks."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _cut(text: str, cells: int) -> str:
    """Return as much of a text as fits."""
    sums = accumulate(map(_cells_of, text))
    return text[: sum(1 for _ in takewhile(lambda taken: taken <= cells, sums))]


def write_items(
    items: Iterable[Item],
    how: Format,
    columns: Sequence[TableColumn],
    name: Callable[[Item], str],
    *,
    single: bool = False,
    empty: str = "",
) -> None:
    """Write items to stdout; `single` writes one item instead of a list; `empty` goes to stderr if there are none."""
    match how:
        case Format.JSON:
            everything = list(items)
            print(to_json(everything[0] if single and everything else {"items": everything}))
        case Format.JSONL:
            for item in items:
                print(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
        case Format.YAML:
            for i, item in enumerate(items):
                print(("---\n" if i else "") + to_yaml(item), end="")
        case Format.NAME:
            for item in items:
                print(name(item))
        case Format.TABLE | Format.WIDE:
            shown = [column for column in columns if how is Format.WIDE or not column.wide]
            everything = list(items) if empty else items  # type: ignore[assignment]  # `empty` is said of lists only
            write_table(shown, everything)
            if empty and not everything:
                print(empty, file=sys.stderr)


def write_value(value: Any, how: Format) -> None:
    """Write one answer that is not a list, as yaml or (any other format) json."""
    print(to_yaml(value) if how is Format.YAML else to_json(value) + "\n", end="")


def to_json(value: Any) -> str:
    """Return JSON for people: indented, keys in the given order."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def to_yaml(value: Any) -> str:
    """Return YAML that reads back as the same values under JSON's scalar rules and under YAML 1.1."""
    import yaml  # noqa: PLC0415 - loaded only when it is needed: start-up time

    class Dumper(yaml.CSafeDumper):
        """Quotes every text that some reader would read as another type, and writes no aliases."""

        def ignore_aliases(self, _data: Any) -> bool:
            return True

    def represent(dumper: yaml.CSafeDumper, data: str) -> yaml.ScalarNode:
        style = "'" if _JSON_SCALAR.fullmatch(data) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, represent)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def sort_items(items: Iterable[Item], key: str, columns: Sequence[TableColumn]) -> list[Item]:
    """Return the items in the order of a column or a dotted path, numbers as numbers; `-` before it reverses them."""
    wanted = key.removeprefix("-").lower()
    cells = {column.heading.lower(): column.cell for column in columns}
    read = cells.get(wanted) or field(key.removeprefix("-"))

    def order(item: Item) -> tuple[int, float, str]:
        value = read(item)
        if isinstance(value, int | float):
            return (0, float(value), "")
        return (2, 0.0, "") if value is None else (1, 0.0, text(value))

    return sorted(items, key=order, reverse=key.startswith("-"))
