"""Creates roles and schemas for the services' views on one PostgreSQL database.

A service's role owns one schema, with its own name, and has no rights anywhere else; the server gets passwords only as
SCRAM verifiers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from sqlalchemy import URL, exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

SCRAM_ITERATIONS = 4_096
"""PostgreSQL's own number of iterations; passwords of services are long and random."""
_SALT_BYTES = 16
_SERVICE = re.compile(r"[a-z]([a-z0-9_]{0,38}[a-z0-9])?")
_SETUP_LOCK = 7_305_133_706
"""Any constant: the advisory lock under which roles are made."""


async def set_up_views(admin_url: str, services: Mapping[str, str]) -> list[str]:
    """Make for each service (name → password) the role `resedge_<name>` with a schema of its own; return the roles.

    What already exists stays, with the given password. `admin_url` names the database of the views and a superuser, or
    a role that owns the database and may create roles.

    Raises:
        ValueError: a service's name or password cannot be used, or the URL is not PostgreSQL's.
    """
    for service, password in services.items():
        if not _SERVICE.fullmatch(service):
            raise ValueError(f"{service!r} is not a service's name")
        if not password or not password.isascii() or not password.isprintable():
            raise ValueError(f"the password of {service} must be printable ASCII")
    engine = create_async_engine(_asynchronous(admin_url))
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SETUP_LOCK})")
            await _close_to_all(connection)
            return [await _open_to(connection, service, password) for service, password in services.items()]
    finally:
        await engine.dispose()


def _asynchronous(admin_url: str) -> URL:
    try:
        url = make_url(admin_url)
    except (exc.ArgumentError, ValueError):
        raise ValueError("the database's URL cannot be understood") from None  # it may hold a password
    if url.get_backend_name() != "postgresql":
        raise ValueError("views need PostgreSQL: postgresql://ADMIN:PASSWORD@HOST/DATABASE")
    return url.set(drivername="postgresql+asyncpg")


async def _close_to_all(connection: AsyncConnection) -> None:
    """Revoke what PostgreSQL grants to PUBLIC: connecting, temporary tables and the schema `public`."""
    database = (await connection.execute(text("SELECT quote_ident(current_database())"))).scalar_one()
    await connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    await connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")


async def _open_to(connection: AsyncConnection, service: str, password: str) -> str:
    role = f"resedge_{service}"
    known = await connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    if known.one_or_none() is None:
        await connection.exec_driver_sql(f"CREATE ROLE {role} NOINHERIT")
    database = (await connection.execute(text("SELECT quote_ident(current_database())"))).scalar_one()
    superuser = await connection.execute(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
    if not superuser.scalar_one():
        await connection.exec_driver_sql(f"GRANT {role} TO CURRENT_USER")
    for statement in (
        f"ALTER ROLE {role} LOGIN PASSWORD '{_verifier(password)}'",
        f"ALTER ROLE {role} IN DATABASE {database} SET search_path = {role}",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}",
        f"REVOKE ALL ON SCHEMA {role} FROM PUBLIC",
    ):
        await connection.exec_driver_sql(statement)
    return role


def _verifier(password: str) -> str:
    """Return the SCRAM-SHA-256 verifier of a password (RFC 5803), so that no log of PostgreSQL shows the password."""
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(each).decode() for each in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ITERATIONS, *encoded)
