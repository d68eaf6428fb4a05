"""Every published event at 60,000 clusters and 100 applications: what the system writes fits the log by construction.

The one rule: a type with a field that can grow has its case here, or (where people fill it) in
`tests/flow/test_flow_sizes_of_documents.py`; a new one without a case fails.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from pyroaring import BitMap

from libs import contracts as c
from libs.access.judging import CAUSES_MAX, WORDS_MAX
from libs.contracts import Event, encode, event_types
from libs.eventlog import EVENT_BYTES_MAX
from libs.fleet import packed, unpacked, within_bounds
from libs.fleet.runs import whole_run
from services.policy.documents.signoffs import QUORUM_MAX, STAGES_MAX
from services.policy.domain.checks import APPLICATIONS_MAX
from services.relay.inbox import _shown
from services.rendering.deciding.composing import compose, holding_events, uses
from services.rendering.deciding.plan import Plan
from services.rendering.domain.fuse import Hold, plan_id
from services.rendering.model import Model
from services.rendering.snapshot import dump_model, load_model
from tests.flow.test_flow_sizes_of_documents import CASES as DECLARED
from tests.support.renderer import Renderer

CLUSTERS = 60_000
APPLICATIONS = 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "n" * 63
TEXT = "\u0001" * 1_000
PERSON = "p" * 254
BY = c.By(PERSON, "t" * 64, PERSON, "2001:db8::1")


def scattered(seed: int) -> BitMap:
    """Half of the clusters, without any order: the most that a bitmap of them can take."""
    return BitMap(random.Random(seed).sample(range(CLUSTERS), CLUSTERS // 2))


EVERYWHERE = packed(scattered(0))
KEYS = [f"{'s' * 63}/{'a' * 59}{number:04}" for number in range(APPLICATIONS)]
SETS = {key: scattered(number) for number, key in enumerate(KEYS)}
HOLD = Hold(plan_id(SETS, BitMap()), SETS, scattered(7), 3_000_000, 6_000_000, 0, TEXT * 10)


def decided() -> Sequence[Event]:
    model = Renderer().model
    for number in range(2_000):
        model.reasons.actors[f"{PERSON}{number}"] = None
    planned = Plan(NOW, None, SETS, {f"{number:063}": each for number, each in enumerate(SETS.values())}, scattered(3))
    planned.layouts = {code: scattered(code) for code in range(1, 4)}
    planned.given = {f"{key}@{'1' * 63}": each for key, each in SETS.items()}
    planned.used = {f"{number:012}": {} for number in range(20_000)}
    planned.confirmed = [f"{number:016}" for number in range(20_000)]
    planned.approved_by = dict.fromkeys(f"{number}{PERSON}" for number in range(5_000))
    return compose(model, planned, 1)


def run(configurations: int = 5_000) -> c.ApprovalRequested:
    """A change of an application of which 5,000 configurations speak, each on a scattered part of the fleet."""
    few = [packed(scattered(number)) for number in range(20)]
    names = [f"configuration {number:060}" for number in range(configurations)]
    return c.ApprovalRequested(
        NAME,
        "change",
        NAME,
        "d" * 64,
        NAME,
        [c.SignOffStage([NAME] * 50, QUORUM_MAX)] * STAGES_MAX,
        NOW,
        EVERYWHERE,
        requesters=[f"{PERSON}{number}" for number in range(configurations)],
        publishers=[f"{PERSON}{number}" for number in range(configurations)],
        items=dict.fromkeys(names, "d" * 64),
        summary=TEXT[:500],
        parts={name: few[number % len(few)] for number, name in enumerate(names)},
    )


def used() -> Sequence[Event]:
    renderer = Renderer()
    asked = c.OverrideRequested("o1", "d", EVERYWHERE, "/c/*", 60.0, TEXT, BY, freeze="all", ticket=TEXT)
    renderer.facts(asked)
    planned = Plan(NOW, None)
    some = scattered(1)
    planned.used = {"o1": {f"{NAME}/{number:063}": some for number in range(5_000)}}
    return [event for _, event in uses(renderer.model, planned, "d" * 16)]


def refused() -> Sequence[Event]:
    found = []
    for body in (b"\x01" * 10_000_000, b'"\\' * 200_000, "\U0001f600".encode() * 100_000, b"\xff" * 300_000):
        text, digest, _ = _shown(body)
        headers = {"ce-x": "\x01" * 8_000}
        found.append(c.EventRefused(NAME, TEXT, TEXT, TEXT, "code", TEXT, text, digest, headers, PERSON))
    return found


PEOPLE = [f"{number:04}{'p' * 80}" for number in range(STAGES_MAX * QUORUM_MAX)]
WRITTEN: Mapping[type, Callable[[], Sequence[Event]]] = {
    c.AdmissionDecided: decided,
    c.RemovalsHeld: lambda: holding_events("main", HOLD),
    c.ApprovalRequested: lambda: [within_bounds(run(count))[0] for count in (0, 300, 5_000)],
    c.OverrideUsed: used,
    c.LooseningWithheld: lambda: [
        c.LooseningWithheld(
            NAME, EVERYWHERE, [f"configuration-{NAME}"] * CAUSES_MAX, (TEXT[:100] + "; ") * WORDS_MAX, BY
        )
    ],
    c.GraceEnded: lambda: [c.GraceEnded("main", EVERYWHERE, TEXT)],
    c.ApprovalGranted: lambda: [
        c.ApprovalGranted(NAME, "d" * 64, 0, NAME, BY, TEXT, TEXT, groups=[NAME] * 100, token_roles=[NAME] * 100)
    ],
    c.ApprovalCompleted: lambda: [c.ApprovalCompleted(NAME, "d" * 64, PEOPLE)],
    c.OverrideStarted: lambda: [c.OverrideStarted(NAME, NOW, NOW, PEOPLE)],
    c.OverrideRequested: lambda: [
        c.OverrideRequested(
            NAME, "d" * 64, EVERYWHERE, "x" * 16_384, 1.0, TEXT, BY, NAME, NAME, [NAME] * APPLICATIONS_MAX, TEXT
        )
    ],
    c.TokenIssued: lambda: [c.TokenIssued(NAME, PERSON, "0" * 64, NOW, BY, reason=TEXT)],
    c.EventRefused: refused,
}
"""Type → the largest of its events that the system makes."""


def grows(hint: Any) -> bool:
    """Whether a field of this type can hold more than one thing."""
    if get_origin(hint) in {Union, UnionType}:
        return any(map(grows, get_args(hint)))
    return hint not in {str, int, float, bool, datetime, NoneType, c.By}


def test_every_type_that_can_grow_has_its_case() -> None:
    growing = set()
    for event_type in event_types().values():
        hints = get_type_hints(event_type)
        if any(grows(hints[each.name]) for each in fields(event_type)):
            growing.add(event_type)
    assert growing == set(WRITTEN) | set(DECLARED)


@pytest.mark.parametrize("event_type", WRITTEN, ids=lambda each: each.__name__)
def test_what_the_system_writes_fits_the_log(event_type: type[Event]) -> None:
    events = WRITTEN[event_type]()
    assert events
    for event in events:
        assert isinstance(event, event_type)
        assert len(encode(event)) <= EVENT_BYTES_MAX


def test_a_run_is_whole_again_and_without_its_blobs_nobody_votes_on_it() -> None:
    asked = run()
    told, blobs = within_bounds(asked)

    assert not told.items
    assert all(len(body) <= 4 * 1024 * 1024 for body in blobs.values())
    assert whole_run(told, blobs.get) == asked
    kept = dict(blobs)
    kept.pop(told.content[-1])
    assert whole_run(told, kept.get).expires_at < NOW
    assert within_bounds(run(1)) == (run(1), {})


def hold_of(renderer: Renderer) -> list[Event]:
    parts = holding_events("main", HOLD)
    assert len(parts) > 1
    for part in parts:
        renderer.record(part, "hold-main")
    return list(parts)


def removed(model: Model) -> dict[str, BitMap]:
    return {key: clusters for key, clusters in model.fuse.confirmed.get(HOLD.plan, {}).items() if clusters}


def test_a_hold_over_a_hundred_applications_is_known_once_its_last_part_is_there() -> None:
    renderer = Renderer()
    parts = holding_events("main", HOLD)
    for number, part in enumerate(parts, 1):
        renderer.record(part, "hold-main")
        assert renderer.model.fuse.held_plan == (HOLD.plan if number == len(parts) else "")
    together = {key: unpacked(each) for part in parts for key, each in part.applications.items()}
    assert together == SETS
    assert unpacked(parts[0].clusters) == HOLD.clusters


@pytest.mark.parametrize("before", [0, 1, -1])
def test_a_snapshot_between_the_parts_of_a_hold_knows_as_much_as_the_log(before: int) -> None:
    renderer = Renderer()
    parts = holding_events("main", HOLD)
    at = before % len(parts)
    for part in parts[:at]:
        renderer.record(part, "hold-main")
    restarted = Model(renderer.blobs.get)
    load_model(restarted, dump_model(renderer.model))
    events = [*parts[at:], c.RemovalsConfirmed("main", HOLD.plan, "meant so")]
    for event in events:
        renderer.record(event, "hold-main")
    for recorded in renderer.history[at:]:
        restarted.fold(recorded)
    fresh = Model(renderer.blobs.get)
    for recorded in renderer.history:
        fresh.fold(recorded)

    for model in (renderer.model, restarted, fresh):
        assert removed(model) == SETS
        assert HOLD.plan in model.fuse.confirmed


def test_an_approved_hold_of_many_parts_goes_as_a_whole() -> None:
    renderer = Renderer()
    hold_of(renderer)
    asked = replace(run(0), id="a1", kind="hold", subject=HOLD.plan, expires_at=NOW + timedelta(days=1))
    renderer.facts(asked)
    assert not removed(renderer.model)

    renderer.facts(c.ApprovalCompleted("a1", asked.digest, ["omar"]))
    assert removed(renderer.model) == SETS


def test_half_a_hold_is_never_confirmed() -> None:
    renderer = Renderer()
    for part in holding_events("main", HOLD)[:-1]:
        renderer.record(part, "hold-main")
    renderer.record(c.RemovalsConfirmed("main", HOLD.plan, "too soon"), "hold-main")

    assert not removed(renderer.model)
