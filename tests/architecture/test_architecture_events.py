"""An event type says beside its definition all that others need to know of it, and costs two files to add."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyroaring import BitMap

from libs.access.effects import Before, parts
from libs.contracts import event_types, meaning_of
from libs.fleet import Fleet
from libs.fleet.facts import is_folded
from tests.support.declared import filled, samples

ROOT = Path(__file__).parents[2]
TYPES = sorted(event_types().items())
by_type = pytest.mark.parametrize("kind", [kind for _, kind in TYPES], ids=[kind.__name__ for _, kind in TYPES])


def example(kind: type[Any]) -> Any:
    """An event with every field said, its bitmaps being such."""
    event = next((each for each in samples() if type(each) is kind), None)
    return filled(kind) if event is None else event


@by_type
def test_an_event_is_told_with_its_subject_and_by_a_verb(kind: type[Any]) -> None:
    meaning = meaning_of(example(kind))

    verb, *rest = meaning.said(example(kind)).split()

    assert verb.isalpha()
    assert verb.islower()
    assert rest
    assert all(kind and name for kind, name in meaning.mentioned(example(kind)))


@by_type
def test_what_an_event_reaches_can_be_computed(kind: type[Any]) -> None:
    before = Fleet()
    for each in samples():
        before.assume(each)
    after = before.fork()
    after.assume(example(kind))

    (reached,) = parts([example(kind)], Before(before, after, BitMap()))

    assert reached.what


@by_type
def test_an_event_is_folded_or_explicitly_not(kind: type[Any]) -> None:
    assert is_folded(kind) is meaning_of(example(kind)).folded


PATCH = {
    "libs/contracts/inventory.py": (
        '@published("inventory", removed("store {name}"), STORE)',
        (
            '@published("inventory", "renovates store {name} until {until}", STORE, folded=False)\n'
            "@dataclass(frozen=True, slots=True)\n"
            "class StoreRenovated:\n"
            '    """A store is rebuilt until a local date. Stream `store-<name>`."""\n\n'
            "    name: str\n    until: str\n\n\n"
        ),
    ),
    "libs/contracts/__init__.py": (
        "from libs.contracts.policy",
        "from libs.contracts.inventory import StoreRenovated as StoreRenovated\n",
    ),
}
"""The two files of a new event type: text in it, and what is put before that text."""

PROBE = """
from datetime import UTC, datetime
from pyroaring import BitMap
from libs.access.effects import Before, parts
from libs.access.loosening import may_loosen
from libs.contracts import Recorded, StoreDeclared, StoreRenovated, meaning_of, type_name
from libs.fleet import Fleet
from libs.fleet.facts import is_folded
from scripts.schemas import event_schemas
from services.audit.domain import tell_event

event = StoreRenovated("tx-1", "2030-01-01")
name = type_name(event)
assert name in event_schemas()
fleet = Fleet()
fleet.assume(StoreDeclared("tx-1", "UTC"))
fleet.assume(event)
assert not meaning_of(event).folded and not is_folded(StoreRenovated)
assert parts([event], Before(fleet, fleet, BitMap()))[0].what == "store tx-1"
assert may_loosen([event])
told = tell_event(Recorded(1, "e", "store-tx-1", 1, name, datetime(2030, 1, 1, tzinfo=UTC), "ada", event, bytes(32)))
assert told.sentence == "renovates store tx-1 until 2030-01-01", told
print("told")
"""


def test_a_new_event_type_costs_two_files(tmp_path: Path) -> None:
    for package in ("libs", "services", "scripts"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, added) in PATCH.items():
        file = tmp_path / name
        text = file.read_text()
        assert text.count(before) >= 1, name
        file.write_text(text.replace(before, added + before, 1))

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("told\n", "")
    assert len(PATCH) <= 2
