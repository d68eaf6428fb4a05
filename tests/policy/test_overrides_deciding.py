"""Asking for an override, its clusters, its digest, its clock, and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import (
    ApprovalCompleted,
    ApprovalRequested,
    ApprovalWithdrawn,
    By,
    ClusterSpec,
    FreezeDeclared,
    FreezeRemoved,
    GroupDeclared,
    OverriddenGate,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    SignOffRemoved,
    StoreDeclared,
)
from libs.contracts.refusals import Invalid, Rejected, SelectsNothing, UnknownReference
from libs.fleet import unpacked
from services.policy.domain.approvals import decide as vote
from services.policy.domain.overrides import (
    BreakGlassSpent,
    NoSignOff,
    NotBound,
    OverrideOver,
    RequestOverride,
    RevokeOverride,
    decide,
    phase,
    request_digest,
    started,
)
from tests.policy.signoff_words import (
    BLACK_FRIDAY,
    HOUR,
    MICROSECOND,
    NIGHT,
    NOW,
    PROCESS,
    folded,
    grant,
    refuse,
    voter,
    wanted,
    withdraw,
)

if TYPE_CHECKING:
    from libs.contracts import Event
    from libs.fleet import Fleet

ID, RUN = "0123456789ab", "ba9876543210"
REVOKED_BY = voter("ana").by


def fleet(*events: Event) -> Fleet:
    return folded(PROCESS, BLACK_FRIDAY, NIGHT, *events)


def names(facts: Fleet, requested: OverrideRequested) -> list[str]:
    return [facts.selection.name(ordinal) for ordinal in unpacked(requested.clusters)]


def asked(**more: Any) -> OverrideRequested:
    event = decide(wanted(**more), fleet())[0]
    assert isinstance(event, OverrideRequested)
    return event


def revoke(reason: str = "solved", **more: Any) -> RevokeOverride:
    return RevokeOverride(ID, reason, REVOKED_BY, **{"at": NOW, **more})


def test_asking_begins_a_run_of_the_process_that_the_freeze_names() -> None:
    requested, run = decide(wanted(ticket="OPS-1", applications=("pos-api",)), fleet())

    assert isinstance(requested, OverrideRequested)
    assert isinstance(run, ApprovalRequested)
    assert (requested.freeze, requested.calendar, requested.approval) == ("black-friday", None, RUN)
    assert (run.id, run.kind, run.subject, run.digest) == (RUN, "override", ID, requested.digest)
    assert (run.stages, run.count, run.signoff) == (PROCESS.stages, PROCESS.count, "freeze-override")
    assert run.expires_at == NOW + 24 * HOUR
    assert (run.requesters, run.clusters) == (["rita"], requested.clusters)
    assert run.summary == "override the freeze black-friday for 240 minutes on tx-1 of pos-api"
    assert (run.reason, run.ticket) == ("a card reader fails", "OPS-1")


def test_what_counts_is_copied_from_the_process() -> None:
    counted = replace(PROCESS, count=["requester"], expires_hours=1)

    _, run = decide(wanted(), fleet(counted))

    assert isinstance(run, ApprovalRequested)
    assert (run.count, run.expires_at) == (["requester"], NOW + HOUR)


def test_it_names_the_clusters_that_the_freeze_binds_and_no_others() -> None:
    facts = fleet()

    assert names(facts, asked(expression="/c/*")) == ["tx-1", "tx-2"]
    assert names(facts, asked(expression="/c/tx-2")) == ["tx-2"]


def test_a_calendar_of_applications_binds_every_cluster() -> None:
    night: dict[str, Any] = {"kind": "calendar", "name": "night", "expression": "/c/*"}

    requested = asked(**night)

    assert (requested.calendar, requested.freeze) == ("night", None)
    assert names(fleet(), requested) == ["tx-1", "tx-2", "ut-1"]


def test_a_cluster_that_is_relabelled_later_is_not_added() -> None:
    facts = fleet()
    folded(*decide(wanted(expression="state = tx"), facts), facts=facts)

    folded(StoreDeclared("ut-1", "UTC", labels={"state": "tx"}, clusters=[ClusterSpec("ut-1")]), facts=facts)

    override = facts.policy.overrides[ID]
    assert [facts.selection.name(ordinal) for ordinal in override.clusters] == ["tx-1", "tx-2"]


@pytest.mark.parametrize(
    ("changes", "refusal", "pointer"),
    [
        ({"expression": "/c/ut-1"}, SelectsNothing, "/expression"),
        ({"expression": "none"}, SelectsNothing, "/expression"),
        ({"expression": "state ="}, Invalid, "/expression"),
        ({"expression": "/g/nowhere"}, UnknownReference, "/expression"),
        ({"name": "black-fridey"}, UnknownReference, "/freeze"),
        ({"kind": "calendar", "name": "nigth"}, UnknownReference, "/calendar"),
        ({"applications": ("pos-apy",)}, UnknownReference, "/applications/0"),
        ({"applications": ("kiosk", "kiosk")}, Invalid, "/applications/1"),
        ({"kind": "calendar", "name": "night", "applications": ("kiosk",)}, NotBound, "/applications"),
        ({"minutes": 0.9}, Invalid, "/minutes"),
        ({"minutes": 7 * 24 * 60 + 1}, Invalid, "/minutes"),
        ({"minutes": 241, "break_glass": True}, Invalid, "/minutes"),
        ({"reason": " "}, Invalid, "/reason"),
        ({"ticket": "a\nb"}, Invalid, "/ticket"),
    ],
)
def test_what_cannot_be_asked_for(changes: dict[str, Any], refusal: type[Rejected], pointer: str) -> None:
    with pytest.raises(refusal) as refused:
        decide(wanted(**changes), fleet())

    assert refused.value.pointer == pointer


def test_the_longest_override_is_a_week_and_the_longest_break_glass_four_hours() -> None:
    assert asked(minutes=7 * 24 * 60).minutes == 7 * 24 * 60
    assert asked(minutes=240, break_glass=True).minutes == 240


@pytest.mark.parametrize("events", [[replace(BLACK_FRIDAY, signoff=None)], [SignOffRemoved("freeze-override")]])
def test_what_names_no_process_is_overridden_by_breaking_the_glass_only(events: list[Event]) -> None:
    with pytest.raises(NoSignOff) as refused:
        decide(wanted(), fleet(*events))

    assert "break-glass" in (refused.value.fix or "")
    assert decide(wanted(break_glass=True), fleet(*events))


def test_broken_glass_starts_at_once_and_asks_nobody() -> None:
    requested, begun = decide(wanted(break_glass=True), fleet())

    assert isinstance(requested, OverrideRequested)
    assert (requested.break_glass, requested.approval) == (True, "")
    assert begun == OverrideStarted(ID, NOW, NOW + 4 * HOUR, ["rita"])


def test_asking_the_same_again_adds_nothing() -> None:
    facts = fleet()
    folded(*decide(wanted(), facts), facts=facts)

    assert decide(wanted(), facts) == []


@pytest.mark.parametrize(
    "change",
    [
        {"applications": ("pos-api",)},
        {"minutes": 241},
        {"reason": "a card reader failed"},
    ],
)
def test_the_digest_covers_all_that_is_asked(change: dict[str, Any]) -> None:
    assert request_digest(wanted(**change), [], ["tx-1"]) != request_digest(wanted(), [], ["tx-1"])
    assert request_digest(wanted(), [], ["tx-1", "tx-2"]) != request_digest(wanted(), [], ["tx-1"])


@given(st.permutations(["tx-1", "tx-2", "ut-1"]), st.permutations(["pos-api", "kiosk"]))
def test_the_digest_does_not_depend_on_any_order(clusters: list[str], applications: list[str]) -> None:
    one = request_digest(wanted(applications=tuple(applications)), [], clusters)

    assert one == request_digest(wanted(applications=("kiosk", "pos-api")), [], ["tx-1", "tx-2", "ut-1"])


def test_the_way_in_which_clusters_were_named_is_not_what_is_approved() -> None:
    assert asked(expression="state = tx").digest == asked(expression="/c/*").digest
    assert asked(expression="/c/tx-1").digest != asked(expression="/c/tx-2").digest


# --- its time -------------------------------------------------------------------------------------------------------


def requested_fleet(**more: Any) -> Fleet:
    facts = fleet()
    folded(*decide(wanted(**more), facts), facts=facts)
    return facts


def say(facts: Fleet, *commands: Any) -> list[Event]:
    """Take votes, and what the last one starts."""
    events: list[Event] = []
    for command in commands:
        run, override = facts.policy.approvals[RUN], facts.policy.overrides[ID]
        fresh: list[Event] = [*vote(command, run)]
        done = [each for each in fresh if isinstance(each, ApprovalCompleted)]
        fresh += [begun for each in done for begun in started(each, run.request, override, command.at)]
        folded(*fresh, at=command.at, facts=facts)
        events += fresh
    return events


def state(facts: Fleet, now: Any) -> str:
    return phase(facts.policy.overrides[ID], facts.policy.approvals.get(RUN), now)


def test_its_time_starts_with_the_last_grant() -> None:
    facts = requested_fleet()
    last = NOW + 3 * HOUR

    events = say(facts, grant("mia"), grant("ana", at=NOW + HOUR), grant("ben", at=last))

    assert events[-1] == OverrideStarted(ID, last, last + timedelta(minutes=240), ["ana", "ben", "mia"])
    override = facts.policy.overrides[ID]
    assert not override.active(last - MICROSECOND)
    assert override.active(last)
    assert override.active(last + 4 * HOUR - MICROSECOND)
    assert not override.active(last + 4 * HOUR)


def test_nothing_starts_before_the_last_grant() -> None:
    facts = requested_fleet()

    assert not any(isinstance(each, OverrideStarted) for each in say(facts, grant("mia"), grant("ana")))
    assert not facts.policy.overrides[ID].active(NOW + HOUR)


def test_an_approved_change_or_hold_starts_no_override() -> None:
    facts = requested_fleet()
    run = replace(facts.policy.approvals[RUN].request, kind="hold")

    assert started(ApprovalCompleted(RUN, "d", ["mia"]), run, facts.policy.overrides[ID], NOW) == []


def test_it_starts_once_and_not_after_it_was_revoked() -> None:
    facts = requested_fleet()
    done = ApprovalCompleted(RUN, "d", ["mia"])
    run = facts.policy.approvals[RUN].request

    folded(*started(done, run, facts.policy.overrides[ID], NOW), facts=facts)
    assert started(done, run, facts.policy.overrides[ID], NOW + HOUR) == []

    other = requested_fleet()
    folded(OverrideRevoked(ID, "no", REVOKED_BY), facts=other)
    assert started(done, run, other.policy.overrides[ID], NOW) == []


def test_its_state_follows_the_clock() -> None:
    facts = requested_fleet()

    assert state(facts, NOW + 24 * HOUR - MICROSECOND) == "requested"
    assert state(facts, NOW + 24 * HOUR) == "expired"
    say(facts, grant("mia"), grant("ana"), grant("ben"))
    assert state(facts, NOW + 4 * HOUR - MICROSECOND) == "active"
    assert state(facts, NOW + 4 * HOUR) == "ended"


def test_its_state_is_that_of_a_run_that_ended_otherwise() -> None:
    refused, taken_back = requested_fleet(), requested_fleet()
    say(refused, refuse("mia"))
    say(taken_back, withdraw("rita"))

    assert state(refused, NOW) == "refused"
    assert state(taken_back, NOW) == "withdrawn"


def test_it_is_revoked_while_it_is_in_force() -> None:
    facts = requested_fleet()
    say(facts, grant("mia"), grant("ana"), grant("ben"))

    events = decide(revoke(ticket="OPS-9", at=NOW + HOUR), facts)

    assert events == [OverrideRevoked(ID, "solved", REVOKED_BY, "OPS-9")]
    folded(*events, facts=facts)
    assert not facts.policy.overrides[ID].active(NOW + HOUR)
    assert state(facts, NOW + HOUR) == "revoked"
    assert decide(revoke(at=NOW + HOUR), facts) == []


def test_what_is_revoked_before_it_began_can_be_granted_no_more() -> None:
    facts = requested_fleet()

    events = decide(revoke(), facts)

    assert [type(each) for each in events] == [OverrideRevoked, ApprovalWithdrawn]
    folded(*events, facts=facts)
    with pytest.raises(Rejected) as refused:
        vote(grant("mia"), facts.policy.approvals[RUN])
    assert refused.value.code == "approval-over"


@pytest.mark.parametrize(
    ("votes", "at"),
    [
        ([grant("mia"), grant("ana"), grant("ben")], NOW + 4 * HOUR),
        ([refuse("mia")], NOW),
        ([withdraw("rita")], NOW),
        ([], NOW + 24 * HOUR),
    ],
)
def test_what_is_over_is_not_revoked(votes: list[Any], at: Any) -> None:
    facts = requested_fleet()
    say(facts, *votes)

    with pytest.raises(OverrideOver):
        decide(revoke(at=at), facts)


def test_broken_glass_is_revoked_too() -> None:
    facts = requested_fleet(break_glass=True)

    assert decide(revoke(), facts) == [OverrideRevoked(ID, "solved", REVOKED_BY)]


def test_revoking_says_why() -> None:
    with pytest.raises(Invalid):
        decide(revoke(reason=""), requested_fleet())


def test_a_group_that_grows_later_adds_nobody() -> None:
    facts = fleet(GroupDeclared("/geo/tx", clusters=["tx-1"]))
    folded(*decide(wanted(expression="/g/geo/tx"), facts), facts=facts)

    folded(GroupDeclared("/geo/tx", clusters=["tx-1", "tx-2"]), facts=facts)

    override = facts.policy.overrides[ID]
    assert [facts.selection.name(ordinal) for ordinal in override.clusters] == ["tx-1"]


# --- what it opens ---------------------------------------------------------------------------------------------------


def test_an_override_opens_the_freeze_that_was_looked_at_and_no_other_of_its_name() -> None:
    facts = fleet()
    folded(*decide(wanted(), facts), facts=facts)
    override = facts.policy.overrides[ID]

    def opens(document: FreezeDeclared) -> bool:
        return override.opens("freeze", document, facts.policy.identity_of("freeze", "black-friday"))

    assert opens(BLACK_FRIDAY)
    assert opens(replace(BLACK_FRIDAY, labels={"a": "b"}))
    for other in (
        replace(BLACK_FRIDAY, reason="court order"),
        replace(BLACK_FRIDAY, ends="2026-12-02T00:00:00"),
        replace(BLACK_FRIDAY, signoff=None),
        replace(BLACK_FRIDAY, name="other"),
    ):
        assert not opens(other)
    folded(FreezeRemoved("black-friday"), BLACK_FRIDAY, facts=facts)
    assert not opens(BLACK_FRIDAY), "one that is declared again is another one"


@pytest.mark.parametrize("change", [{"kind": "calendar"}, {"name": "b"}, {"identity": 2}, {"content": "d"}])
def test_the_digest_covers_the_identity_and_the_content_of_what_is_opened(change: dict[str, Any]) -> None:
    gate = OverriddenGate("freeze", "a", 1, "c")

    assert request_digest(wanted(), [replace(gate, **change)], []) != request_digest(wanted(), [gate], [])


def test_an_override_without_recorded_gates_opens_whatever_has_the_name() -> None:
    facts = fleet()
    event = decide(wanted(), facts)[0]
    assert isinstance(event, OverrideRequested)
    folded(replace(event, gates=[]), facts=facts)

    assert facts.policy.overrides[ID].opens("freeze", replace(BLACK_FRIDAY, reason="court order"), 99)


def test_one_request_opens_several_freezes_and_calendars_with_one_run_and_one_clock() -> None:
    facts = fleet(replace(BLACK_FRIDAY, name="storm", clusters="state = ut"))

    requested, run = decide(wanted(expression="/c/*", others=(("freeze", "storm"), ("calendar", "night"))), facts)

    assert isinstance(requested, OverrideRequested)
    assert isinstance(run, ApprovalRequested)
    assert [(each.kind, each.name) for each in requested.gates] == [
        *(("freeze", "black-friday"), ("freeze", "storm"), ("calendar", "night"))
    ]
    assert names(facts, requested) == ["tx-1", "tx-2", "ut-1"]
    assert run.summary.startswith("override the freeze black-friday and the freeze storm and the calendar night for")


def test_what_another_sign_off_guards_needs_a_request_of_its_own() -> None:
    facts = fleet(replace(PROCESS, name="legal"), replace(BLACK_FRIDAY, name="storm", signoff="legal"))

    with pytest.raises(NoSignOff, match="legal"):
        decide(wanted(others=(("freeze", "storm"),)), facts)


def broken(by: str = "rita", *, at: Any = NOW, **more: Any) -> RequestOverride:
    return wanted(**{"break_glass": True, "by": By(by, f"t-{by}"), "at": at, "minutes": 60, **more})


def test_a_person_breaks_the_glass_on_a_cluster_once_a_day() -> None:
    facts = fleet()
    folded(*decide(broken(), facts), facts=facts)
    again: dict[str, Any] = {"id": "other", "at": NOW + 23 * HOUR}

    with pytest.raises(BreakGlassSpent) as refused:
        decide(broken(**again), facts)
    assert "2026-11-28T12:00:00Z" in str(refused.value.fix)
    with pytest.raises(BreakGlassSpent):
        decide(wanted(break_glass=True, minutes=60, **{**again, "by": By("bot", "t", "rita")}), facts)
    assert decide(broken(expression="/c/tx-2", **again), facts)
    assert decide(broken("mia", **again), facts)
    assert decide(broken(id="other", at=NOW + 24 * HOUR), facts)


def test_a_sign_off_says_how_often_the_glass_is_broken() -> None:
    facts = fleet(replace(PROCESS, break_glass_hours=2))
    folded(*decide(broken(), facts), facts=facts)

    with pytest.raises(BreakGlassSpent):
        decide(broken(id="other", at=NOW + 2 * HOUR - MICROSECOND), facts)
    assert decide(broken(id="other", at=NOW + 2 * HOUR), facts)
