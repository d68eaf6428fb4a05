"""What stands for the images of third parties: PostgreSQL, Kafka and nginx of this machine, made ready to run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pg8000.dbapi

from scripts.compose_local_file import LocalService
from scripts.compose_local_places import ROOT, Places
from scripts.edge import TEMPLATE, filled_template

SETUP_SECONDS = 300


class PartMissing(RuntimeError):  # noqa: N818 - it states the fact
    """A program of this machine is missing or cannot work; the message says what to do."""


@dataclass(frozen=True, slots=True)
class LocalPart:
    """One local program: how it runs, how it ends, and how to tell that it answers (the text says what is wrong)."""

    command: Sequence[str]
    check: Callable[[], str | None]
    environment: Mapping[str, str] = field(default_factory=dict)
    signal: signal.Signals = signal.SIGTERM
    good_codes: Sequence[int] = (0,)
    grace_seconds: float = 30.0


def program(name: str, *places: str) -> str:
    """Return the path of a program.

    Raises:
        PartMissing: it is not installed.
    """
    for place in (None, *places):
        if found := shutil.which(name, path=place):
            return found
    raise PartMissing(f"{name} was not found: run scripts/setup --test")


def part(service: LocalService, services: Mapping[str, LocalService], places: Places) -> LocalPart | None:
    """Make ready what stands for a third party's image; None: nothing of its own runs for it.

    Raises:
        PartMissing: a program is missing.
    """
    match service.name:
        case "kafka":
            return _kafka(places)
        case "postgres":
            return _postgres(service, places)
        case "edge":
            return _edge(service, places)
        case "sqlserver-login":
            admin = services["postgres"].environment["POSTGRES_PASSWORD"]
            make_log_database(service.environment, admin, places.port("postgres", 5432))
    return None


def _kafka(places: Places) -> LocalPart:
    program("java")
    subprocess.run([ROOT / "scripts/kafka", "install"], check=True, timeout=SETUP_SECONDS)
    data = str(places.directory / "kafka")
    port, controller = places.port("kafka", 9092), places.port("kafka", 9093)
    command = [str(ROOT / "scripts/kafka"), "run", data, str(port), str(controller)]
    # The JVM reports the signal that ended it in good order.
    return LocalPart(command, lambda: asyncio.run(_kafka_answers(port)), good_codes=(0, 128 + signal.SIGTERM))


async def _kafka_answers(port: int) -> str | None:
    from aiokafka.admin import (  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415 - start-up time
        AIOKafkaAdminClient,
    )
    from aiokafka.errors import KafkaError  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415 - the same

    with socket.socket() as probe:  # the client would log that it cannot connect
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return f"nothing listens on port {port} yet"
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=5_000)
    try:
        await admin.start()
        return None if (await admin.describe_cluster())["brokers"] else "it lists no broker yet"
    except (KafkaError, OSError) as error:
        return f"it does not answer: {error}"
    finally:
        await admin.close()


def server_user() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL runs as, since it refuses root; None: the present user.

    Raises:
        PartMissing: there is nobody.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise PartMissing("PostgreSQL's own user is missing: run scripts/setup --test") from None


def _postgres(service: LocalService, places: Places) -> LocalPart:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[4]))
    bin_ = [str(path) for path in reversed(versions)]
    data, port, user = places.directory / "postgres", places.port("postgres", 5432), server_user()
    as_user = [] if user is None else ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    password = service.environment["POSTGRES_PASSWORD"]
    if not (data / "PG_VERSION").exists():
        _make_cluster(data, password, [*as_user, program("initdb", *bin_)], user)
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": data,
        "max_connections": 200,
        "shared_buffers": "64MB",
    }
    command = [*as_user, program("postgres", *bin_), "-D", str(data)]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    views = service.environment["POSTGRES_DB"]
    return LocalPart(command, lambda: _postgres_answers(port, password, views), signal=signal.SIGINT)


def _make_cluster(data: Path, password: str, initdb: Sequence[str], user: pwd.struct_passwd | None) -> None:
    with tempfile.NamedTemporaryFile(prefix="resedge-", mode="w") as secret:
        secret.write(password)
        secret.flush()
        data.mkdir(mode=0o700, exist_ok=True)
        for path in (data, secret.name):
            if user is not None:
                shutil.chown(path, user.pw_uid, user.pw_gid)
        options = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", f"--pwfile={secret.name}"]
        command = [*initdb, "-D", str(data), *options]
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SETUP_SECONDS, cwd="/")
    if made.returncode != 0:
        raise PartMissing(
            f"initdb cannot make {data}: {made.stderr.strip()}\nAll directories above must let others in."
        )


def _connected(port: int, password: str, database: str = "postgres") -> pg8000.dbapi.Connection:
    connection = pg8000.dbapi.connect(
        user="postgres", password=password, host="127.0.0.1", port=port, database=database, ssl_context=False, timeout=5
    )
    connection.autocommit = True
    return connection


def _postgres_answers(port: int, password: str, views: str) -> str | None:
    try:
        connection = _connected(port, password)
    except (pg8000.dbapi.Error, OSError) as error:
        return f"it does not answer: {error}"
    try:
        _make_database(connection, views)
    finally:
        connection.close()
    return None


def _make_database(connection: pg8000.dbapi.Connection, name: str, owner: str = "postgres") -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if cursor.fetchone() is None:
        cursor.execute(f"CREATE DATABASE {name} OWNER {owner}")


def make_log_database(environment: Mapping[str, str], admin: str, port: int) -> None:
    """Make the log's database and its two roles in the local PostgreSQL, as the image's script does in SQL Server."""
    roles = {"resedge_owner": environment["RESEDGE_LOG_OWNER_PASSWORD"], "resedge": environment["RESEDGE_LOG_PASSWORD"]}
    with contextlib.closing(_connected(port, admin)) as connection:
        cursor = connection.cursor()
        for role, password in roles.items():
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE ROLE {role} LOGIN")
            cursor.execute("SELECT quote_literal(%s::text)", (password,))
            cursor.execute(f"ALTER ROLE {role} PASSWORD {cursor.fetchone()[0]}")
        _make_database(connection, "log", "resedge_owner")
    with contextlib.closing(_connected(port, admin, "log")) as connection:
        for statement in (
            "REVOKE ALL ON DATABASE log FROM PUBLIC",
            "GRANT CONNECT ON DATABASE log TO resedge",
            "ALTER SCHEMA public OWNER TO resedge_owner",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO resedge",
            "ALTER DEFAULT PRIVILEGES FOR ROLE resedge_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO resedge",
        ):
            connection.cursor().execute(statement)


def _edge(service: LocalService, places: Places) -> LocalPart:
    nginx = program("nginx", "/usr/sbin", "/usr/local/sbin")
    values = places.environment(service)
    directory = Path(values["EDGE_RUN_DIR"])
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nginx.conf"
    configuration.write_text(filled_template(TEMPLATE.read_text("utf-8"), values), "utf-8")
    # As root, nginx would give its work to another user, who cannot enter here.
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [nginx, "-e", "stderr", "-c", str(configuration), "-g", options]
    return LocalPart(command, lambda: _http_answers(f"{places.address}/readyz"), signal=signal.SIGQUIT)


def _http_answers(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"
