"""PostgreSQL that takes every statement of a log and refuses its COMMIT, for as long as a test says.

The server itself refuses, by a constraint trigger that is deferred to the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

from tests.support.postgres import Cluster

DISK_FULL, READ_ONLY = "53100", "25006"


_TABLE = "CREATE TABLE {0}.refused (everything boolean)"
_FUNCTION = """CREATE FUNCTION {0}.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    IF EXISTS (SELECT 1 FROM {0}.refused) THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '{1}';
    END IF;
    RETURN NULL;
END $$"""
_TRIGGER = """CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {0}.events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION {0}.refuse()"""


class Refusal:
    """The commits of one log; made once the log's tables are there."""

    def __init__(self, cluster: Cluster, log_url: str, state: str = DISK_FULL) -> None:
        self._cluster, self._schema = cluster, make_url(log_url).username
        for statement in (_TABLE, _FUNCTION, _TRIGGER):
            cluster.execute(statement.format(self._schema, state))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse every commit of an event until the block ends."""
        self._cluster.execute(f"INSERT INTO {self._schema}.refused VALUES (true)")  # noqa: S608 - our name
        try:
            yield
        finally:
            self._cluster.execute(f"DELETE FROM {self._schema}.refused")  # noqa: S608 - our name
