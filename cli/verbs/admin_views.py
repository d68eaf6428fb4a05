"""`resedge admin init-views`: roles and schemas for the services' views on PostgreSQL."""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CliError, ExitCode, UsageProblem
from cli.session import session_of

_PASSWORD = re.compile(r"RESEDGE_([A-Z]+)_VIEWS_PASSWORD(_FILE)?")
_URL = "RESEDGE_VIEWS_ADMIN_URL"


def init_views(
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Option(
            "--url", help=f"The database, as an administrator; better in {_URL} or {_URL}_FILE.", metavar="URL"
        ),
    ] = "",
    password_file: Annotated[
        list[str] | None,
        typer.Option(
            "--password-file",
            help="The file with a service's password; else RESEDGE_<SERVICE>_VIEWS_PASSWORD(_FILE).",
            metavar="SERVICE=FILE",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Give each service that has a password a role and a schema of its own for its views on PostgreSQL.

    No role can read what another one's holds. What already exists stays, with the password given now.
    """
    from sqlalchemy import exc  # noqa: PLC0415 - loaded only when it is needed: start-up time

    from libs.bus.faults import passing  # noqa: PLC0415 - start-up time
    from libs.runtime.views_setup import set_up_views  # noqa: PLC0415 - start-up time

    place = url or _given(_URL, os.environ)
    passwords = passwords_of(os.environ, password_file or [])
    if not place or not passwords:
        fix = f"give --url (or {_URL}) and --password-file inventory=FILE (or RESEDGE_INVENTORY_VIEWS_PASSWORD), …"
        raise UsageProblem("the database or the passwords are missing", fix=fix)
    try:
        roles = asyncio.run(set_up_views(place, passwords))
    except (exc.DBAPIError, OSError) as error:
        code = ExitCode.UNREACHABLE if passing(error) else ExitCode.FAILED
        why = str(error.orig if isinstance(error, exc.DBAPIError) else error)
        raise CliError("the views' database refuses", why=why, exit_code=code) from error
    except ValueError as error:
        raise UsageProblem(str(error)) from error
    session_of(ctx).say(f"each has a schema of its own: {', '.join(roles)}")


def passwords_of(environment: Mapping[str, str], files: list[str]) -> dict[str, str]:
    """Return the passwords by service: from files that are named, else from the environment.

    Raises:
        UsageProblem: a file is not given as `SERVICE=FILE`.
    """
    found: dict[str, str] = {}
    for name in sorted(environment):
        if match := _PASSWORD.fullmatch(name):
            variable = f"RESEDGE_{match[1]}_VIEWS_PASSWORD"
            found[match[1].lower()] = _given(variable, environment)
    for each in files:
        service, equals, file = each.partition("=")
        if not equals:
            raise UsageProblem(f"{each!r} does not name a service", fix="write --password-file inventory=FILE")
        found[service] = _secret(file)
    return found


def _given(variable: str, environment: Mapping[str, str]) -> str:
    file = environment.get(f"{variable}_FILE")
    return environment.get(variable) or (_secret(file) if file else "")


def _secret(file: str) -> str:
    return Path(file).read_text("utf-8").rstrip("\r\n")
