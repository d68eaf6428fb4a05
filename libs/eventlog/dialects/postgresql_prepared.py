"""A cursor for the append path on PostgreSQL that prepares each short statement once.

It runs the same statements as pg8000's own cursor, which takes three round trips for each that has values (parse,
describe and bind, execute); a prepared one takes one. After an error the connection is dropped, with its prepared
statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from pg8000.core import make_params

VALUES_MAX = 36
"""Longer statements are not prepared: they have too many lengths, and their round trips matter less."""
STATEMENTS_MAX = 64


class PreparingCursor:
    """Used inside the transactions that `begin` begins, on one connection."""

    def __init__(self, connection: Any) -> None:
        """Take pg8000's own connection."""
        self._connection = connection
        self._cursor = connection.cursor()
        self._known: dict[str, Any] = {}
        self._context: Any = None

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed."""
        return int(self._cursor.rowcount if self._context is None else self._context.row_count)

    def begin(self, statement: str) -> None:
        """Begin a transaction with a statement without values, in one round trip."""
        self._context = self._connection.execute_simple(f"BEGIN; {statement}")

    def execute(self, statement: str, parameters: Sequence[Any] = (), **options: Any) -> None:
        """Run one statement."""
        self._context = None
        known = self._known.get(statement)
        if known is None and (not 0 < len(parameters) <= VALUES_MAX or len(self._known) >= STATEMENTS_MAX):
            self._cursor.execute(statement, parameters, **options)
            return
        if known is None:
            known = self._known[statement] = self._connection.prepare_statement(_numbered(statement), ())
        name, columns, readers = known
        values = make_params(self._connection.py_types, parameters)
        self._context = self._connection.execute_named(name, values, columns, readers, statement)

    def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        for row in parameters:
            self.execute(statement, row)

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self._context is None:
            return self._cursor.fetchone()
        return self._context.rows.pop(0) if self._context.rows else None

    def fetchall(self) -> Sequence[Any]:
        """Return the rows that are left."""
        rows: Sequence[Any] = self._cursor.fetchall() if self._context is None else list(self._context.rows)
        return rows

    def close(self) -> None:
        """Release the connection."""
        self._cursor.close()


def _numbered(statement: str) -> str:
    """Return the statement with PostgreSQL's `$1`, `$2`, … instead of the driver's `%s`."""
    first, *rest = statement.split("%s")
    return first + "".join(f"${number}{part}" for number, part in zip(count(1), rest, strict=False))
