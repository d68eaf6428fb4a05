"""The differences between databases beyond plain SQL; one module per dialect.

The one rule: everything else is written once, in statements that SQLite, PostgreSQL and SQL Server all accept: no
RETURNING or OUTPUT, no lock hints, no MERGE, at most `PARAMETERS_MAX` bound values, bytes bound as bytes.
"""

from __future__ import annotations

from sqlalchemy.engine import make_url

from libs.eventlog.dialects.port import PARAMETERS_MAX, Cursor, Dialect, DriverMissing
from libs.eventlog.dialects.postgresql import PostgreSQL
from libs.eventlog.dialects.sqlite import SQLite
from libs.eventlog.dialects.sqlserver import SQLServer

__all__ = ["PARAMETERS_MAX", "Cursor", "Dialect", "DriverMissing", "PostgreSQL", "SQLServer", "SQLite", "dialect_for"]


def dialect_for(url: str) -> Dialect:
    """Return the dialect that serves `url`.

    Raises:
        ValueError: no dialect serves it.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return SQLite(parsed)
        case "postgresql":
            return PostgreSQL(parsed)
        case "mssql":
            return SQLServer(parsed)
        case other:
            raise ValueError(f"no event log on {other!r}: use sqlite:///FILE, postgresql://… or mssql+pyodbc://…")
