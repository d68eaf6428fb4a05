"""Which failures of SQL Server are permanent, and which are temporary.

The error number in pyodbc's message decides; if this module does not know the number (another engine behind the same
protocol, an error of the driver), the SQLSTATE does. In doubt a failure is temporary: the appender retries for some
seconds, under the same head lock, and never appends twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FIRST_NUMBER = re.compile(r"\((-?\d+)\) \(SQL\w+\)(?=; \[|$)")
"""pyodbc writes `[SQLSTATE] text (number) (SQLFunction)`, then `; [SQLSTATE] text (number)` for what else there is.

The text may quote a duplicate key and thus anything; the number of the first record follows its text, so that the last
match is it.
"""

_REFUSED = frozenset(
    {
        *(2627, 2601, 547, 515),  # unique constraint, unique index, foreign key or check, NULL
        *(8152, 2628, 220, 8115),  # too long, out of range
        *(206, 241, 242, 245, 257, 8114),  # conversion
        *(102, 105, 156, 207, 208, 213, 2812),  # syntax, or an object that is not there
        *(229, 230, 262, 300),  # permission
    }
)
PASSING = frozenset(
    {
        *(1205, 1222, 1204),  # deadlock victim, lock timeout, no lock left
        *(596, 6005, 10053, 10054, 10060, 17142, 18401),  # the session or the server is going, the network is gone
        *(701, 802, 8628, 8645, 8651),  # no memory now
        *(1101, 1105, 9001, 9002),  # no space, no transaction log
        *(3960, 3961, 3966),  # a row version is gone
        *(922, 927, 945, 976, 983, 988, 3906, 4060, 5120),  # the database is not there now, or elsewhere is primary
        *(10928, 10929, 40143, 40197, 40501, 40540, 40613, 49918, 49919, 49920),  # Azure SQL: busy or moving
    }
)
_REFUSED_STATES = ("07", "21", "22", "23", "42", "HY003", "HY004", "HY090", "HY104", "HY105", "HYC00")


def refuses(error: BaseException) -> bool:
    """Tell a permanent failure from a temporary one."""
    for number in numbers(error):
        if number in PASSING:
            return False
        if number in _REFUSED:
            return True
    return _state(error).startswith(_REFUSED_STATES)


def numbers(error: BaseException) -> Iterator[int]:
    """Yield the error number of pyodbc's message; nothing for an error of another kind."""
    message = str(error.args[1]) if len(error.args) > 1 else ""
    yield from (int(number) for number in _FIRST_NUMBER.findall(message)[-1:])


def _state(error: BaseException) -> str:
    return str(error.args[0]) if error.args else ""
