"""The bytes of an import, parsed into rows of cells: CSV as spreadsheets write it, or JSON lines.

An error names the exact fault, with its line; ambiguous input is never guessed. Rows are counted as a spreadsheet does:
the header of a CSV file is row 1.
"""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from libs.contracts.meaning import counted
from libs.contracts.names import LABELS_MAX, NAME_CHARACTERS_MAX, escape, label_problem, nearest
from libs.contracts.problems import Problem
from libs.web.bodies import parse_json
from libs.web.faults import ERRORS_MAX
from libs.web.rows import LINE_CHARACTERS_MAX, RowLines
from services.inventory.events import StoreDeclared

RESOURCES = ("cpu", "memory")
TEXTS = tuple(each.name for each in fields(StoreDeclared) if each.default == "")
"""The text fields of a store; each is a column, and a field of its document with the same name."""
OWN_COLUMNS = ("name", "timezone", "hours", *RESOURCES, *TEXTS)
"""The columns that are not labels."""

COLUMNS_MAX = LABELS_MAX + len(OWN_COLUMNS)

Note = Callable[[int, str, str], None]
"""Records an error: row, column, sentence."""

Cells = Mapping[str, Any]

_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
_BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + _INVISIBLE
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_OTHER_SEPARATORS = {"|": "`|`", ":": "colons", "^": "`^`", "~": "`~`"}
_EXCEL_SEPARATOR = "sep="
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""How files of .xlsx, .ods and .xls begin."""
_LOOKED_AT_BYTES = 4096
_NEAR = 0.8


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one cell."""

    row: int
    column: str
    detail: str


def cleaned(text: str) -> str:
    """Return a cell without the blanks around it (no-break and invisible ones too), its characters composed (NFC)."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text.strip(_BLANKS))


def bad_rows(errors: Sequence[RowError], count: int, read_until: int | None = None) -> Problem:
    """Return the 422 that lists bad rows, the first in the pointer; `read_until` is the row where reading stopped."""
    first = errors[0]
    found = counted(count, "error")
    if read_until is not None:
        found += f" up to row {read_until}, where reading stopped"
    return Problem(
        422,
        "bad-rows",
        "Some rows are invalid, so nothing was imported.",
        f"{found}; row {first.row}{f', column {first.column}' if first.column else ''}: {first.detail}",
        pointer=f"/{first.row}/{escape(first.column)}",
        fix="Fix the rows listed in errors and import the whole file again.",
        extra={
            "errors": [{"row": each.row, "column": each.column, "detail": each.detail} for each in errors],
            "errors_count": count,
            **({} if read_until is None else {"read_until_row": read_until}),
        },
    )


def rows_of(body: bytes, media_type: str, note: Note) -> Iterator[tuple[int, Cells]]:
    """Return the rows of an import by its media type.

    Raises:
        Problem: 415 for another media type.
    """
    if media_type == "text/csv":
        return csv_rows(body, note)
    if media_type in {"application/x-ndjson", "application/jsonl", "application/ndjson"}:
        return json_rows(body, note)
    raise Problem(
        415,
        "unsupported-media-type",
        "The media type of the body is not supported.",
        f"{media_type or 'no media type'} is neither CSV nor JSON lines",
        fix="send Content-Type text/csv or application/x-ndjson",
    )


def _text(body: bytes, note: Note) -> str:
    """Return the text of a file; if a part is unreadable, the text before it, and record the line."""
    if body.startswith(_WORKBOOKS):
        note(1, "", "the file is a workbook, not a text file: save it as CSV UTF-8 in the spreadsheet")
        return ""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if body.startswith(mark)), "utf-8")
    looked_at = body[:_LOOKED_AT_BYTES]
    if encoding == "utf-8" and b"\0" in looked_at:
        note(
            1,
            "",
            "the file contains NUL bytes: it is UTF-16 without a byte order mark, or not text; save it as CSV UTF-8",
        )
        return ""
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding, "ignore")
        line = before.count("\n") + 1
        if encoding != "utf-8":
            note(
                line, "", f"the file is marked as {encoding.upper()} but is not valid from this line on; save it again"
            )
        else:
            note(
                line,
                "",
                f"byte 0x{body[error.start]:02X} is not UTF-8: the file is Latin-1 or Windows-1252, most likely; "
                "save it as CSV UTF-8",
            )
        return before[: before.rfind("\n") + 1]


def csv_rows(body: bytes, note: Note) -> Iterator[tuple[int, Cells]]:
    """Yield (row, cells by column) of a CSV file with a header; empty rows are skipped, broken ones noted.

    Commas, semicolons or tabs separate the cells, whichever the header has.

    Raises:
        Problem: 422, the header cannot be used.
    """
    decoded = _text(body, note)
    if body and not decoded:
        return
    clean = str.strip if decoded.isascii() else cleaned
    text = io.StringIO(decoded, newline="")
    row = 0
    try:
        separator = _separator(text)
        lines = RowLines(text)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        header = [cleaned(column) for column in next(reader, [])]
        while header and not header[-1]:
            header.pop()
        row = 1
        _check_header(header, separator)
        width = len(header)
        lines.row_ended()
        for cells in reader:
            lines.row_ended()
            row += 1
            if len(cells) == width:
                found = [clean(cell) for cell in cells]
                if any(found):
                    yield row, dict(zip(header, found, strict=True))
            elif any(found := [clean(cell) for cell in cells]):
                if len(found) < width or any(found[width:]):
                    note(row, "", _uneven(found, width, separator))
                else:
                    yield row, dict(zip(header, found[:width], strict=True))
    except csv.Error as error:
        note(row + 1, "", f"nothing can be read from here on: {error}")


def _uneven(cells: Sequence[str], width: int, separator: str) -> str:
    detail = f"the row has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, the header {width}"
    for other, name in _SEPARATORS.items():
        if other != separator and len(cells) == 1 and cells[0].count(other) == width - 1 and width > 1:
            return f"{detail}: this row has {name} between its cells, the header {_SEPARATORS[separator]}"
    return detail if len(cells) < width else f"{detail}: put a cell that holds a separator in quotes"


def _separator(text: io.StringIO) -> str:
    """Return what separates the cells of the header, and leave `text` at the header."""
    first = text.readline()
    said = first.strip().lower()
    if said.startswith(_EXCEL_SEPARATOR):
        # Excel's own first line; it is no row of the sheet.
        found = first.rstrip("\r\n")[len(_EXCEL_SEPARATOR) :][:1]
        return found if found in _SEPARATORS else ","
    text.seek(0)
    begins = first[:_LOOKED_AT_BYTES]  # with a separator other than the file's own it would be one endless cell
    headers = {each: [cleaned(cell) for cell in next(csv.reader([begins], delimiter=each), [])] for each in _SEPARATORS}
    named = [each for each, header in headers.items() if len(header) > 1 and "name" in header]
    return named[0] if named else max(headers, key=lambda each: len(headers[each]))


def _check_header(header: Sequence[str], separator: str) -> None:
    """Refuse a header without store names, with a column twice, or with a column that cannot be a label.

    Raises:
        Problem: 422.
    """
    if len(header) > COLUMNS_MAX:
        raise bad_rows([RowError(1, "", f"the header has {len(header):,} columns; at most {COLUMNS_MAX} are read")], 1)
    if len(header) == 1 and (other := next((each for each in _OTHER_SEPARATORS if each in header[0]), None)):
        detail = f"the columns are separated by {_OTHER_SEPARATORS[other]}; separate them by commas, semicolons or tabs"
        raise bad_rows([RowError(1, header[0][:80], detail)], 1)
    errors = [
        RowError(1, column, "the column is listed twice") for column, count in Counter(header).items() if count > 1
    ]
    errors += [error for column in header if (error := _column_error(column, header)) is not None]
    if "name" not in header and not any("spelled name" in each.detail for each in errors):
        between = f" ({_SEPARATORS[separator]} separate the columns)" if len(header) > 1 else ""
        near = nearest("name", header)
        detail = f"the column name is missing{between}" + (f"; did you mean {near}?" if near else "")
        errors.append(RowError(1, "name", detail))
    if errors:
        raise bad_rows(sorted(errors, key=lambda each: each.column)[:ERRORS_MAX], len(errors))


def _column_error(column: str, header: Collection[str]) -> RowError | None:
    """Return what is wrong with one column: a slip in a name of ours would make it a label."""
    if column in OWN_COLUMNS:
        return None
    if not column:
        return RowError(1, column, "a column has no name, and columns after it have")
    plain = "".join(character for character in column.casefold() if character.isalnum())
    if plain in OWN_COLUMNS:
        return RowError(1, column, f"the column is spelled {plain}")
    if (
        "timezone" not in header
        and len(plain) <= NAME_CHARACTERS_MAX
        and get_close_matches(plain, ["timezone"], 1, _NEAR)
    ):
        return RowError(1, column, "the column is spelled timezone")
    problem = label_problem(column, "x")
    return None if problem is None else RowError(1, column, problem)


def json_rows(body: bytes, note: Note) -> Iterator[tuple[int, Cells]]:
    """Yield (line, members) of a JSON Lines file; empty lines are skipped, broken ones noted."""
    for number, line in enumerate(_text(body, note).split("\n"), start=1):
        if not line.strip():
            continue
        if len(line) > LINE_CHARACTERS_MAX:
            note(number, "", f"the line is longer than {LINE_CHARACTERS_MAX:,} characters")
            continue
        try:
            value = parse_json(line.encode("utf-8", "surrogatepass"))
        except Problem as problem:
            note(number, "", problem.detail)
            continue
        if not isinstance(value, dict):
            note(number, "", "the line is not a JSON object")
            continue
        members: dict[str, Any] = {}
        for key, member in value.items():
            column = cleaned(key)
            if column in members:
                note(number, column, "the key is listed twice")
            elif (error := _column_error(column, value)) is not None:
                note(number, column, error.detail)
            members[column] = _cleaned_member(member)
        yield number, members


def _cleaned_member(member: Any) -> Any:
    if isinstance(member, str):
        return cleaned(member)
    return [_cleaned_member(each) for each in member] if isinstance(member, list) else member
