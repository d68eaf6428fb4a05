"""Every place that reads an instant from outside reads RFC 3339 the same way, and there is no other place."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import UsageProblem
from cli.up import virtual_clock
from libs.access.tokens import TokenStore, token_digest
from libs.contracts.instants import instant_text, parsed_instant, read_instant
from libs.contracts.refusals import Invalid
from services.audit.domain import read_time as audited
from services.policy.documents.access import parse_binding
from services.policy.documents.freezes import parse_freeze
from services.policy.documents.laws import parse_law
from services.relay.inbox_events import Received, parse_event
from tests.relay.conftest import STRUCTURED, event
from tests.support.instants import INSTANTS, NONE

ROOT = Path(__file__).parents[2]
READERS = {
    "libs/contracts/instants.py": "the one place",
    "cli/config.py": "the CLI's own file, which it wrote with isoformat",
    "cli/cells.py": "the server's answer, shown with the store's offset",
    "cli/signing_in.py": "the CLI's own file, which it wrote with isoformat",
    "libs/calendars/edges.py": "local times that a document was read into",
    "libs/calendars/engine.py": "dates that a document was read into",
    "libs/calendars/windows.py": "dates and clock times that a document was read into",
    "libs/eventlog/dialects/sqlserver.py": "what SQL Server answers",
    "libs/fleet/": "a snapshot of our own, wherever it is read there",
    "libs/gates/schedules.py": "a freeze as the log has it",
    "libs/access/loosening.py": "a freeze as the log has it",
    "libs/access/relaxing.py": "a freeze as the log has it",
    "services/policy/domain/freezes.py": "a freeze as its document was read",
    "services/rendering/model/model.py": "a snapshot of our own",
}
"""Modules, or folders of them, that call what parses times, and what they read with it."""
PARSE = {"fromisoformat", "strptime", "parsedate_to_datetime"}


def _stored(folder: Path, text: str) -> datetime | None:
    path = folder / "tokens.json"
    entry = {"name": "ana", "sha256": token_digest("x"), "roles": ["viewer"], "expires": text}
    path.write_text(json.dumps({"tokens": [entry]}))
    principal = TokenStore(path).principal("x")
    assert principal is not None
    return None if principal.expires == datetime.min.replace(tzinfo=UTC) else principal.expires


def _declared(make: Any) -> Any:
    return make[1]("ana", datetime.now(UTC))


def _freeze(text: str, field: str) -> datetime:
    spec = {"from": "1999-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "reason": "r", "owner": "o", field: text}
    freeze = _declared(parse_freeze({"kind": "Freeze", "spec": spec}, "f")).freeze
    return datetime.fromisoformat(freeze.begins if field == "from" else freeze.ends)


def _law(text: str, field: str) -> datetime:
    spec = {"forbid": {"applications": ["a"]}, "clusters": "/c/*", "basis": "b", field: text}
    law = _declared(parse_law({"kind": "PlacementPolicy", "spec": spec}, "l")).law
    found: datetime = law.begins if field == "from" else law.ends
    return found


def _binding(text: str) -> datetime:
    spec = {"role": "viewer", "subjects": [{"user": "ana"}], "expires": text}
    found: datetime = _declared(parse_binding({"kind": "RoleBinding", "spec": spec}, "b")).binding.expires
    return found


def _clock(text: str) -> datetime:
    clock = virtual_clock(text, "1")
    assert clock is not None
    return clock.start


PLACES: dict[str, Callable[[str], datetime | None]] = {
    "the reader": lambda text: read_instant(text, "/at"),
    "?from and ?until of the audit trail, --as-of": audited,
    "Freeze /spec/from": lambda text: _freeze(text, "from"),
    "Freeze /spec/until": lambda text: _freeze(text, "until"),
    "PlacementPolicy /spec/from": lambda text: _law(text, "from"),
    "PlacementPolicy /spec/until": lambda text: _law(text, "until"),
    "RoleBinding /spec/expires": _binding,
    "up --at": _clock,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("text", "same"), INSTANTS.items())
def test_every_place_reads_every_way_to_write_an_instant(place: str, text: str, same: str) -> None:
    assert PLACES[place](text) == datetime.fromisoformat(same)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", NONE)
def test_every_place_refuses_what_is_none_and_says_what_to_write(place: str, text: str) -> None:
    with pytest.raises((Invalid, UsageProblem)) as refused:
        PLACES[place](text)
    assert "T" in str(refused.value.fix)  # type: ignore[attr-defined]  # each of them is a refusal with a fix


@pytest.mark.parametrize("text", [*INSTANTS, *NONE])
def test_a_cloudevent_s_time_is_read_in_every_mode(text: str) -> None:
    said = event("StoreClosed", {"name": "a"}, time=text)
    binary = {f"ce-{key}": value for key, value in said.items() if key != "data"}
    messages = (
        Received({"content-type": STRUCTURED}, json.dumps(said).encode()),
        Received(binary | {"content-type": "application/json"}, json.dumps(said["data"]).encode()),
    )
    for message in messages:
        if text in INSTANTS:
            assert parse_event(message).attributes["time"] == text
        else:
            with pytest.raises(Invalid):
                parse_event(message)


def test_a_token_of_the_file_ends_then_or_has_ended_if_nobody_can_tell(tmp_path: Path) -> None:
    for text, same in INSTANTS.items():
        assert _stored(tmp_path, text) == datetime.fromisoformat(same)
    assert [_stored(tmp_path, text) for text in NONE] == [None] * len(NONE)


def test_a_space_is_named_as_what_is_wrong() -> None:
    for text in ("2026-12-24 18:00:00Z", "2026-12-24T18:00:00 01:00"):
        with pytest.raises(Invalid, match="space"):
            read_instant(text, "/at")


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1901, 1, 1), datetime(2198, 12, 31), timezones=OFFSETS), st.booleans())  # noqa: DTZ001 - Hypothesis takes bounds without a zone
def test_for_every_instant_what_is_written_is_read_back(at: datetime, lower: bool) -> None:
    text = at.isoformat()
    assert parsed_instant(text.lower() if lower else text) == at
    assert parsed_instant(instant_text(at)) == at


@given(st.text("0123456789-+:.tTzZ ", max_size=40) | st.text(max_size=40))
def test_for_every_text_there_is_an_instant_in_utc_or_a_refusal(text: str) -> None:
    found = parsed_instant(text)
    if found is None:
        with pytest.raises(Invalid) as refused:
            read_instant(text, "/at")
        assert refused.value.fix
    else:
        assert found.utcoffset() == timedelta(0)
        assert text.isascii()


def test_nothing_else_parses_times() -> None:
    found = set()
    for top in ("cli", "libs", "services"):
        for path in sorted((ROOT / top).rglob("*.py")):
            called = {
                node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)
            }
            if called & PARSE:
                name = str(path.relative_to(ROOT))
                found.add(next((each for each in READERS if each.endswith("/") and name.startswith(each)), name))
    assert found == READERS.keys()
