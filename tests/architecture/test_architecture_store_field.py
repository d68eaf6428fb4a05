"""A field of a store reaches its document, imports, reports and the fleet's snapshot, and costs three files to add."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from libs.contracts import ClusterSpec, HoursException, OpeningHours, StoreDeclared
from libs.fleet import Fleet
from libs.fleet.snapshots import dump_fleet
from services.inventory.documents import parse_store, store_document
from services.inventory.domain import DeclareStore
from services.inventory.reading import OWN_COLUMNS
from services.inventory.showing import ChangeReport

ROOT = Path(__file__).parents[2]
STORE = StoreDeclared("tx-1", "UTC", clusters=[ClusterSpec("tx-1")])
OTHER: dict[str, Any] = {
    "name": "tx-2",
    "timezone": "America/Chicago",
    "labels": {"size": "xl"},
    "hours": [OpeningHours(["mon"], "06:00", "22:00")],
    "exceptions": [HoursException("2026-12-24", "08:00", "14:00")],
    "clusters": [ClusterSpec("tx-1-kitchen")],
    "capacity": {"cpu": "4"},
    "kubernetes": "1.33",
}
"""Field → another value; any other field is a plain text."""


def stores() -> list[tuple[str, StoreDeclared]]:
    """The store with each of its fields, and each field of its cluster, said differently."""
    found = [
        (f"StoreDeclared.{each.name}", replace(STORE, **{each.name: OTHER.get(each.name, "text")}))
        for each in fields(StoreDeclared)
    ]
    for each in fields(ClusterSpec):
        cluster = replace(STORE.clusters[0], **{each.name: OTHER.get(each.name, "text")})
        found.append((f"ClusterSpec.{each.name}", replace(STORE, clusters=[cluster])))
    return found


by_field = pytest.mark.parametrize("store", [store for _, store in stores()], ids=[name for name, _ in stores()])


def dumped(store: StoreDeclared) -> bytes:
    fleet = Fleet()
    fleet.assume(store)
    return dump_fleet(fleet)


@by_field
def test_a_field_is_in_the_document(store: StoreDeclared) -> None:
    _, make = parse_store(store_document(store, Fleet()), None)

    assert store_document(store, Fleet()) != store_document(STORE, Fleet())
    command = make("ada", datetime(2030, 1, 1, tzinfo=UTC))
    assert isinstance(command, DeclareStore)
    assert command.store == store


@by_field
def test_a_field_is_in_the_snapshot_of_the_fleet(store: StoreDeclared) -> None:
    assert dumped(store) != dumped(STORE)


@pytest.mark.parametrize("name", [each.name for each in fields(StoreDeclared)])
def test_a_field_is_a_column_or_is_said_by_one(name: str) -> None:
    assert name in OWN_COLUMNS or name in {"labels", "exceptions", "clusters"}


@pytest.mark.parametrize("name", [each.name for each in fields(StoreDeclared) if each.name not in {"name", "clusters"}])
def test_a_field_that_an_import_changes_is_reported(name: str) -> None:
    report = ChangeReport()
    report.store(STORE, replace(STORE, **{name: OTHER.get(name, "text")}))

    assert report.labels if name == "labels" else report.fields[name] == 1


PATCH = {
    "libs/contracts/inventory.py": (
        "    exceptions: list[HoursException] = field(default_factory=list)\n",
        '    phone: str = ""\n',
    ),
    "services/inventory/documents/__init__.py": (
        "    clusters: list[ClusterItem] | None = Field(default=None, max_length=CLUSTERS_MAX)\n",
        '    phone: str = Field(default="", max_length=40)\n',
    ),
    "libs/fleet/parts.py": ("    clusters: tuple[str, ...]\n", '    phone: str = ""\n'),
}
"""The three files of a new field: a line in it, and what is put after that line."""

PROBE = """
from datetime import UTC, datetime
from libs.contracts import StoreDeclared
from libs.fleet import Fleet
from libs.fleet.snapshots import FLEET_VERSION, dump_fleet, load_fleet
from scripts.schemas import event_schemas
from services.inventory.api import STORE
from services.inventory.documents import parse_store, store_document
from services.inventory.importing import Rows
from services.inventory.reading import rows_of
from services.inventory.showing import ChangeReport

rows = Rows()
for row, cells in rows_of(b"name,timezone,phone\\ntx-1,UTC,555-0100\\ntx-2,UTC,\\n", "text/csv", rows.error):
    rows.take(row, cells)
first, second = rows.good
before = StoreDeclared("tx-1", "UTC")
store, kept = first.over(before), second.over(StoreDeclared("tx-2", "UTC", phone="1"))
assert (store.phone, kept.phone, first.over(None).phone, store.labels) == ("555-0100", "1", "555-0100", {})
report = ChangeReport()
report.store(before, store)
assert report.body([])["fields"] == {"phone": 1}
document = store_document(store, Fleet())
assert document["spec"]["phone"] == "555-0100"
assert parse_store(document, None)[1]("ada", datetime(2030, 1, 1, tzinfo=UTC)).store == store
assert "phone" in STORE.schema["$defs"]["StoreSpec"]["properties"]
assert "phone" in event_schemas()["dev.resedge.inventory.StoreDeclared.v1"]["properties"]
fleet, twin = Fleet(), Fleet()
fleet.assume(store)
load_fleet(twin, dump_fleet(fleet))
assert twin.stores["tx-1"].phone == fleet.fork().stores["tx-1"].phone == "555-0100"
assert "phone" in FLEET_VERSION
bad = Rows()
bad.take(2, {"name": "tx-3", "phone": "5" * 41})
assert [error.column for error in bad.errors] == ["phone"]
cleared = Rows(empty_removes=True)
cleared.take(2, {"name": "tx-1", "phone": ""})
assert cleared.good[0].over(store).phone == ""
print("seen")
"""


def test_a_new_field_of_a_store_costs_three_files(tmp_path: Path) -> None:
    for package in ("libs", "services", "scripts"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (after, added) in PATCH.items():
        file = tmp_path / name
        text = file.read_text()
        assert text.count(after) == 1, name
        file.write_text(text.replace(after, after + added))

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("seen\n", "")
    assert len(PATCH) <= 4
