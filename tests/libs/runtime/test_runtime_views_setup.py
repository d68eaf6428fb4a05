"""Each service has a role and a schema of its own on PostgreSQL, and cannot read another's tables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus import view_engine
from libs.commands.documents import DocumentsView
from libs.contracts import StoreDeclared
from libs.runtime.views_setup import set_up_views
from services.catalog.api import NAMESPACE
from services.inventory.api import STORE
from tests.support.feeds import in_order, log_of
from tests.support.postgres import Cluster, cluster

ROOT = Path(__file__).parents[3]
PASSWORDS = {"inventory": 'it\'s a "secret" \\ of 1', "catalog": "another-secret"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        running.execute("CREATE DATABASE views")
        running.ask_for_passwords("views")
        yield running


def url_of(postgres: Cluster, service: str, password: str) -> str:
    url = make_url(postgres.admin_url("views")).set(username=f"resedge_{service}", password=password)
    return url.render_as_string(hide_password=False)


@pytest.fixture
async def engines(postgres: Cluster) -> AsyncIterator[dict[str, AsyncEngine]]:
    roles = await set_up_views(postgres.admin_url("views"), PASSWORDS)
    assert roles == ["resedge_inventory", "resedge_catalog"]
    found = {service: view_engine(url_of(postgres, service, secret)) for service, secret in PASSWORDS.items()}
    yield found
    for each in found.values():
        await each.dispose()


async def test_a_service_keeps_its_views_in_its_own_schema(engines: dict[str, AsyncEngine], postgres: Cluster) -> None:
    log = log_of(("store-a", StoreDeclared("a", "UTC")))
    inventory = await in_order(log, DocumentsView("inventory", log, engines["inventory"], [STORE]))
    catalog = await in_order(log, DocumentsView("catalog", log, engines["catalog"], [NAMESPACE]))

    assert await inventory.count("Store") == 1
    assert await catalog.count("Namespace") == 0
    async with engines["inventory"].connect() as connection:
        query = text("SELECT schemaname, tablename FROM pg_tables WHERE tablename = 'documents' ORDER BY 1")
        assert [tuple(row) for row in await connection.execute(query)] == [
            ("resedge_catalog", "documents"),
            ("resedge_inventory", "documents"),
        ]
    # Whoever runs it again changes passwords, and nothing else.
    await set_up_views(postgres.admin_url("views"), PASSWORDS)
    assert await inventory.count("Store") == 1
    log.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM resedge_catalog.documents",
        "SELECT * FROM resedge_catalog.checkpoints",
        "DELETE FROM resedge_catalog.documents",
        "CREATE TABLE resedge_catalog.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (id int)",
        "SET ROLE resedge_catalog",
        "CREATE ROLE mine",
        "SELECT rolpassword FROM pg_authid",
    ],
)
async def test_a_service_cannot_touch_what_is_another_s(engines: dict[str, AsyncEngine], statement: str) -> None:
    log = log_of()
    await in_order(log, DocumentsView("catalog", log, engines["catalog"], [NAMESPACE]))
    log.close()

    async with engines["inventory"].connect() as connection:
        with pytest.raises(exc.DBAPIError, match="permission denied"):
            await connection.exec_driver_sql(statement)


async def test_a_role_needs_its_password(engines: dict[str, AsyncEngine], postgres: Cluster) -> None:
    async with engines["inventory"].connect() as connection:
        assert (await connection.execute(text("SELECT current_user"))).scalar_one() == "resedge_inventory"
    engine = view_engine(url_of(postgres, "inventory", PASSWORDS["catalog"]))
    with pytest.raises(exc.DBAPIError, match="password authentication failed"):
        await engine.connect()
    await engine.dispose()


@pytest.mark.parametrize("services", [{"In": "x"}, {"a;b": "x"}, {"inventory": ""}, {"inventory": "ä"}, {"a-b": "x"}])
async def test_what_cannot_be_a_role_or_a_password_is_refused(services: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"name|password"):
        await set_up_views("postgresql://nobody@127.0.0.1:1/none", services)


def test_the_command_takes_passwords_from_files_and_the_environment(postgres: Cluster, tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("from-a-file\n")
    (tmp_path / "relay").write_text("from-another-file\n")
    ran = subprocess.run(
        [sys.executable, "-m", "cli", "admin", "init-views", "--password-file", f"audit={tmp_path / 'audit'}"],
        cwd=ROOT,
        env={
            **os.environ,
            "RESEDGE_VIEWS_ADMIN_URL": postgres.admin_url("views").replace("+asyncpg", "+pg8000"),
            "RESEDGE_RENDERING_VIEWS_PASSWORD": "from-the-environment",
            "RESEDGE_RELAY_VIEWS_PASSWORD_FILE": str(tmp_path / "relay"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert ran.stderr == "each has a schema of its own: resedge_relay, resedge_rendering, resedge_audit\n"
