"""`resedge verify` finds every kind of tampering, and nothing where there was none."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.embedded import SERVICES
from cli.verify_offline import verify_data_dir
from tests.flow.conftest import running
from tests.support.journeys import application, ask, begin, declare, settled, store


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with some commits, while something is held."""
    data_dir = tmp_path_factory.mktemp("lived") / "data"

    async def live() -> None:
        async with running(data_dir, SERVICES) as server:
            await begin(server, stores=4)
            await declare(server, store("store-00", size="xl"))
            await settled(server)
            await declare(server, application("/c/store-00"))
            await settled(server)
            assert (await ask(server, "GET", "/v1/holds"))["items"]

    asyncio.run(live())
    return data_dir


def failed(data_dir: Path) -> list[str]:
    return [check["check"] for check in verify_data_dir(data_dir, all_commits=True) if not check["ok"]]


def test_nothing_is_found_where_nothing_was_done_even_while_something_is_held(lived: Path) -> None:
    assert failed(lived) == []


def flip(table: str, column: str, key: str, where: str = "1", *, at: bytes = b"") -> Callable[[Path], None]:
    """Flip one bit of a stored body, behind a text in it if one is given."""

    def change(data_dir: Path) -> None:
        with sqlite3.connect(data_dir / "log.db") as database:
            query = f"SELECT {key}, {column} FROM {table} WHERE {where} LIMIT 1"  # noqa: S608 - the test's own names
            row, body = database.execute(query).fetchone()
            changed = bytearray(body)
            changed[body.index(at) + len(at) if at else len(body) // 2] ^= 1
            statement = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"  # noqa: S608 - the test's own names
            database.execute(statement, (bytes(changed), row))

    return change


def delete_last_event(data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "log.db") as database:
        database.execute("DELETE FROM events WHERE position = (SELECT max(position) FROM events)")


def delete_last_event_and_put_the_head_back(data_dir: Path) -> None:
    delete_last_event(data_dir)
    with sqlite3.connect(data_dir / "log.db") as database:
        position, digest, at = database.execute(
            "SELECT position, hash, recorded_at FROM events ORDER BY position DESC LIMIT 1"
        ).fetchone()
        database.execute("UPDATE head SET position = ?, hash = ?, recorded_at = ?", (position, digest, at))


def rewrite_history_from(position: int) -> Callable[[Path], None]:
    def change(data_dir: Path) -> None:
        with sqlite3.connect(data_dir / "log.db") as database:
            database.execute("DELETE FROM events WHERE position >= ?", (position,))
            last, digest, at = database.execute(
                "SELECT position, hash, recorded_at FROM events ORDER BY position DESC LIMIT 1"
            ).fetchone()
            database.execute("UPDATE head SET position = ?, hash = ?, recorded_at = ?", (last, digest, at))

    return change


def commit_by_hand(data_dir: Path) -> None:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", "-C", str(data_dir / "gitops.git")]
    made = subprocess.run(
        [*command, "commit-tree", "main^{tree}", "-p", "main", "-m", "by hand"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run([*command, "update-ref", "refs/heads/main", made], check=True)


def move_the_branch_back(data_dir: Path) -> None:
    command = ["git", "-C", str(data_dir / "gitops.git"), "update-ref", "refs/heads/main", "main^"]
    subprocess.run(command, check=True)


def lose_a_pack(data_dir: Path) -> None:
    pack = max((data_dir / "gitops.git" / "objects" / "pack").glob("*.pack"), key=lambda each: each.stat().st_size)
    pack.unlink()


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(flip("blobs", "bytes", "digest"), id="a bit of a blob"),
        pytest.param(flip("events", "data", "position", "position = 2"), id="a bit of an event's data"),
        pytest.param(flip("events", "envelope", "position", "position = 2", at=b'"actor":"'), id="a bit of an actor"),
        pytest.param(delete_last_event, id="the last event deleted"),
        pytest.param(delete_last_event_and_put_the_head_back, id="the last event deleted, head and all"),
        pytest.param(rewrite_history_from(8), id="the log cut, head and all"),
        pytest.param(commit_by_hand, id="a foreign commit"),
        pytest.param(move_the_branch_back, id="the branch moved back"),
        pytest.param(lose_a_pack, id="a pack lost"),
    ],
)
def test_tampering_is_found(tamper: Callable[[Path], None], lived: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(lived, data_dir)

    tamper(data_dir)

    assert failed(data_dir) != []
