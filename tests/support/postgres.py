"""A throwaway PostgreSQL for tests: made once a session, on a loopback port, without fsync.

It fails, and says what to install, where PostgreSQL is missing: a skipped test proves nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pg8000.dbapi
from sqlalchemy import make_url

from tests.support.ports import free_ports

_WAIT_SECONDS = 180  # bounds initdb and the start on a busy machine


class PostgreSQLMissing(RuntimeError):  # noqa: N818 - it states the fact
    """PostgreSQL's server programs are not installed: `apt-get install postgresql` (Debian) has them."""


def _program(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        raise PostgreSQLMissing(f"{name} was not found: install PostgreSQL's server (apt-get install postgresql)")
    return found


def database_user() -> str | None:
    """The user that the server runs as, since it refuses root; None: the present one."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _run(*command: str) -> None:
    user = database_user()
    subprocess.run(
        command,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        check=True,
        capture_output=True,
        timeout=_WAIT_SECONDS,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )


class Cluster:
    """A running server; databases are made on it."""

    def __init__(self, port: int, restart: Callable[[], None] = lambda: None) -> None:
        self.port = port
        self.restart = restart
        """Kill the server, as a power cut would, and start it again."""
        self._count = 0

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser, outside a transaction."""
        connection = pg8000.dbapi.connect(
            user="resedge", host="127.0.0.1", port=self.port, database="postgres", ssl_context=False
        )
        connection.autocommit = True
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()

    def ensure_running(self) -> None:
        """Start the server again if it was left dead."""
        try:
            self.execute("SELECT 1")
        except (pg8000.dbapi.Error, OSError):
            self.restart()

    def new_database(self) -> str:
        """Return the URL of an empty schema of its own, under a user of its own: far faster than a new database."""
        self._count += 1
        name = f"log_{os.getpid()}_{self._count}"
        self.execute(f"CREATE ROLE {name} LOGIN")
        self.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
        return f"postgresql+pg8000://{name}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def new_views(self) -> str:
        """Return the URL of an empty schema of its own for views, under a user of its own."""
        return self.new_database().replace("+pg8000", "+asyncpg").removesuffix("?sslmode=disable")

    def admin_url(self, database: str = "postgres") -> str:
        """Return the superuser's URL of a database, for asynchronous use."""
        return f"postgresql+asyncpg://resedge@127.0.0.1:{self.port}/{database}"

    def ask_for_passwords(self, database: str) -> None:
        """Let nobody but the superuser into a database without a password."""
        connection = pg8000.dbapi.connect(
            user="resedge", host="127.0.0.1", port=self.port, database="postgres", ssl_context=False
        )
        try:
            cursor = connection.cursor()
            cursor.execute("SHOW hba_file")
            rules = Path(cursor.fetchone()[0])
        finally:
            connection.close()
        first = f"host {database} resedge all trust\nhost {database} all all scram-sha-256\n"
        rules.write_text(first + rules.read_text())
        self.execute("SELECT pg_reload_conf()")

    def cut_connections(self, url: str) -> None:
        """End every session of a URL's user, as an administrator or a failing network would."""
        user = make_url(url).username
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'")  # noqa: S608 - a name of ours


@contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """Make a server, and drop it with everything in it afterwards; `durable` commits wait for the disk, as they do."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    directory = Path(tempfile.mkdtemp(prefix="resedge-pg-", dir="/tmp"))
    user = database_user()
    if user:
        shutil.chown(directory, user)
    data, port = str(directory / "data"), free_ports(1)[0]
    try:
        _run(initdb, "-D", data, "-U", "resedge", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        on = "on" if durable else "off"
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c shared_buffers=64MB"
            f" -c max_connections=300 -c fsync={on} -c full_page_writes={on} -c max_wal_size=4GB"
        )
        start = (control, "-D", data, "-l", str(directory / "log"), "-o", options, "-w", "start")

        def restart() -> None:
            if Path(data, "postmaster.pid").exists():
                _run(control, "-D", data, "-m", "immediate", "-w", "stop")
            _run(*start)

        _run(*start)
        try:
            yield Cluster(port, restart)
        finally:
            _run(control, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
