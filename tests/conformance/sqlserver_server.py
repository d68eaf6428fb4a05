"""A real SQL Server for the conformance suite: the one that RESEDGE_TEST_SQLSERVER_URL names, or a container of ours.

Where there is neither, the suite is not run on SQL Server, and the run's summary says so. The URL is that of an
administrator (a `sysadmin` login) of a server that tests may write to: they make a database, and drop it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL, create_engine, make_url

from libs.eventlog import DriverMissing
from libs.eventlog.dialects import SQLServer
from libs.eventlog.dialects.sqlserver import DRIVER, SNAPSHOT_ON

VARIABLE = "RESEDGE_TEST_SQLSERVER_URL"
IMAGE = "mcr.microsoft.com/mssql/server:2022-latest"


@cache
def why_absent() -> str | None:
    """Return why there is no SQL Server to run on; None where there is one."""
    if os.environ.get(VARIABLE):
        return None
    if not _docker_answers():
        return f"neither is {VARIABLE} set, nor does a Docker engine answer"
    try:
        SQLServer(make_url("mssql+pyodbc://localhost/master")).writer()
    except DriverMissing as missing:
        return f"a Docker engine answers, but {missing}"
    return None


def _docker_answers() -> bool:
    place = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    unix = place.scheme == "unix"
    try:
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as engine:
            engine.settimeout(3)
            engine.connect(place.path if unix else (place.hostname, place.port or 2375))
            engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in engine.recv(64)
    except OSError:
        return False


class Server:
    """A running server with a database of ours; each test's log has a schema and a login of its own in it."""

    def __init__(self, admin: URL) -> None:
        self._database = f"resedge_test_{os.getpid()}_{secrets.token_hex(4)}"
        self._logins: list[str] = []
        self._master = admin
        self._run(admin, f"CREATE DATABASE {self._database}")
        self._admin = admin.set(database=self._database)
        self._run(self._admin, SNAPSHOT_ON)

    def _run(self, url: URL, *statements: str) -> list[Any]:
        """Run statements outside transactions and return the rows of the last."""
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                results = [connection.exec_driver_sql(statement) for statement in statements]
                return list(results[-1]) if results[-1].returns_rows else []
        finally:
            engine.dispose()

    def new_database(self) -> str:
        """Return the URL of an empty schema of its own, under a login of its own."""
        database = self._database
        name, password = f"log_{os.getpid()}_{secrets.token_hex(4)}", f"Aa1-{secrets.token_hex(16)}"
        self._logins.append(name)
        self._run(
            self._admin,
            f"CREATE LOGIN {name} WITH PASSWORD = '{password}', CHECK_POLICY = OFF, DEFAULT_DATABASE = {database}",
            f"CREATE USER {name} FOR LOGIN {name} WITH DEFAULT_SCHEMA = {name}",
            f"CREATE SCHEMA {name} AUTHORIZATION {name}",
            f"GRANT CREATE TABLE TO {name}",
        )
        return self._admin.set(username=name, password=password).render_as_string(hide_password=False)

    def cut_connections(self, url: str) -> None:
        """End every session of a URL's login, as an administrator or a failing network would."""
        login = make_url(url).username
        asked = f"SELECT session_id FROM sys.dm_exec_sessions WHERE login_name = '{login}'"  # noqa: S608 a name of ours
        for (session,) in self._run(self._master, asked):
            with contextlib.suppress(Exception):  # it may have ended by itself
                self._run(self._master, f"KILL {session}")

    def drop(self) -> None:
        """Drop what was made."""
        self._run(
            self._master,
            f"ALTER DATABASE {self._database} SET SINGLE_USER WITH ROLLBACK IMMEDIATE",
            f"DROP DATABASE {self._database}",
            *(f"DROP LOGIN {name}" for name in self._logins),
        )


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Use the server that is there, or run one as long as the tests do."""
    if given := os.environ.get(VARIABLE):
        yield from _used(make_url(given))
        return
    mssql: Any = importlib.import_module("testcontainers.community.mssql")
    with mssql.SqlServerContainer(IMAGE, username="sa", dbname="master", dialect="mssql+pyodbc") as container:
        yield from _used(make_url(container.get_connection_url()))


def _used(url: URL) -> Iterator[Server]:
    SQLServer(url).writer()  # says what to install, where the driver is missing
    url = url.set(database=url.database or "master")
    running = Server(url.update_query_dict({"driver": DRIVER, "TrustServerCertificate": "yes"} | dict(url.query)))
    try:
        yield running
    finally:
        running.drop()
