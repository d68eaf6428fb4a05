"""Makes the roles and schemas of the services' views in one PostgreSQL database: a step of docker-compose.yml.

`python -m scripts.init_views` reads `RESEDGE_VIEWS_ADMIN_URL` and `RESEDGE_<SERVICE>_VIEWS_PASSWORD`. The one rule:
each service has a role and a schema of its own and sees no other's; running it again changes passwords, nothing else.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from sqlalchemy import Connection, create_engine, text

PASSWORD = re.compile(r"RESEDGE_([A-Z]+)_VIEWS_PASSWORD")


def passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the password of each service's role, by service."""
    found = {match[1].lower(): value for name, value in environment.items() if (match := PASSWORD.fullmatch(name))}
    for service, password in found.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]{16,}", password):
            raise ValueError(f"RESEDGE_{service.upper()}_VIEWS_PASSWORD must be 16 or more letters, digits, - and _")
    return found


def statements(database: str, service: str, password: str, *, exists: bool) -> list[str]:
    """Return what makes one service's role and schema; its schema is found by its name (`search_path` is `"$user"`)."""
    role = f"resedge_{service}"
    how = "ALTER" if exists else "CREATE"
    return [
        f"{how} ROLE {role} LOGIN PASSWORD '{password}' NOSUPERUSER NOCREATEDB NOCREATEROLE",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}",
        f"REVOKE ALL ON SCHEMA {role} FROM PUBLIC",
    ]


def make(connection: Connection, wanted: Mapping[str, str]) -> None:
    """Make all roles and schemas in one transaction."""
    database = connection.execute(text("SELECT current_database()")).scalar_one()
    connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    known = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    for service, password in sorted(wanted.items()):
        for statement in statements(database, service, password, exists=f"resedge_{service}" in known):
            connection.exec_driver_sql(statement)


def main() -> int:
    """Make what the environment says."""
    wanted = passwords(os.environ)
    if not wanted or "RESEDGE_VIEWS_ADMIN_URL" not in os.environ:
        print("RESEDGE_VIEWS_ADMIN_URL and RESEDGE_<SERVICE>_VIEWS_PASSWORD are needed", file=sys.stderr)
        return 2
    engine = create_engine(os.environ["RESEDGE_VIEWS_ADMIN_URL"])
    with engine.begin() as connection:
        make(connection, wanted)
    engine.dispose()
    print(f"roles and schemas of {', '.join(sorted(wanted))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
