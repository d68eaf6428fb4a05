"""Lines of a file that is read row by row, none longer than a row can be.

The size of a row is limited before a parser collects it: an unclosed quote takes a bounded part of the file, not the
rest of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Protocol

LINE_CHARACTERS_MAX = 256 * 1024
LINES_A_ROW_MAX = 1_000
"""Cells may hold line ends."""


class Text(Protocol):
    """What lines are read from."""

    def readline(self, size: int, /) -> str:
        """Return the next line with its end, or `size` characters of it."""


class RowLines:
    """Lines for `csv.reader`; whoever reads says with `row_ended` when a row was read."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._of_row = 0

    def row_ended(self) -> None:
        """Start a new row."""
        self._of_row = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line.

        Raises:
            csv.Error: it, or the row that it belongs to, is longer than a row can be.
        """
        line = self._text.readline(LINE_CHARACTERS_MAX)
        if not line:
            raise StopIteration
        self._of_row += 1
        if len(line) == LINE_CHARACTERS_MAX or self._of_row > LINES_A_ROW_MAX:
            raise csv.Error(
                f"a row has more than {LINE_CHARACTERS_MAX:,} characters in a line or {LINES_A_ROW_MAX:,} lines"
            )
        return line
