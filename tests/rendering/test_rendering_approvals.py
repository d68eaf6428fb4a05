"""Changes that wait for somebody's approval: what it covers, what voids it, and who goes when it is given."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pyroaring import BitMap

from libs.contracts import (
    ApprovalCompleted,
    ApprovalRefused,
    ApprovalRequested,
    By,
    ConfigurationDeclared,
    SignOffDeclared,
    SignOffStage,
)
from tests.rendering.rendering_gated import KEY, at, fleet_of, nightly, why
from tests.support.renderer import Renderer, application, choose, namespace, store

SIGNOFF = SignOffDeclared("two-eyes", [SignOffStage(["release-manager"], 1)], 24)


async def signed_off() -> Renderer:
    renderer = await fleet_of(3)
    renderer.facts(SIGNOFF, replace(namespace("pos"), signoff="two-eyes"))
    await renderer.settle()
    return renderer


def requests_of(renderer: Renderer) -> list[ApprovalRequested]:
    return [each.event for each in renderer.history if isinstance(each.event, ApprovalRequested)]


async def test_a_change_of_content_waits_for_its_approval() -> None:
    renderer = await signed_off()
    renderer.record(choose("pos-api", ("/c/*", "2.0.0")), actor="rita")
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert why(renderer, "store-000")["closed"] == "approval"
    (asked,) = requests_of(renderer)
    assert (asked.kind, asked.subject, asked.requesters) == (
        "change",
        "pos-api",
        ["ana", "rita"],
    ) or asked.requesters == ["rita"]

    renderer.facts(ApprovalCompleted(asked.id, asked.digest, ["omar"]))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert renderer.model.decision.first.approved_by == ["omar"]
    assert len(requests_of(renderer)) == 1


async def test_one_byte_more_voids_what_was_given() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    (asked,) = requests_of(renderer)
    renderer.facts(ApprovalCompleted(asked.id, asked.digest, ["omar"]))
    renderer.facts(ConfigurationDeclared("loud", "/c/store-000", ["pos-api"], values={"level": "loud"}))
    await renderer.settle()

    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert len(requests_of(renderer)) == 2


async def test_relabelling_adds_nobody_to_what_was_approved() -> None:
    renderer = await signed_off()
    renderer.facts(
        choose(
            "pos-api",
            ("size = small", "2.0.0"),
        ),
        store("store-002", size="large"),
    )
    await renderer.settle()
    (first, *_) = requests_of(renderer)
    renderer.facts(*(ApprovalCompleted(each.id, each.digest, ["omar"]) for each in requests_of(renderer)))
    renderer.facts(store("store-009", size="small"))
    await renderer.settle()

    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert renderer.version_on(KEY, "store-009") is None
    assert requests_of(renderer)[-1].digest != first.digest


async def test_a_refused_change_is_not_asked_about_again_until_it_is_another() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    (asked,) = requests_of(renderer)
    renderer.facts(ApprovalRefused(asked.id, asked.digest, "not tested", By("omar")))
    await renderer.settle()
    assert len(requests_of(renderer)) == 1
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_an_approval_that_ran_out_of_time_is_asked_for_again() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    await at(renderer, renderer.now + timedelta(hours=25))
    assert len(requests_of(renderer)) == 2


async def test_a_held_plan_of_a_signed_off_application_goes_when_it_is_approved() -> None:
    renderer = await signed_off()
    renderer.facts(application("pos-api", "pos", "/c/store-000"))
    await renderer.settle()
    assert renderer.last.hold is not None
    (asked,) = requests_of(renderer)
    assert (asked.kind, asked.subject) == ("hold", renderer.last.hold.plan)

    renderer.facts(ApprovalCompleted(asked.id, asked.digest, ["omar"]))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-001") is None
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_an_approved_change_cannot_be_steered_by_a_label_afterwards() -> None:
    renderer = await signed_off()
    renderer.facts(store("store-002", size="canary"))
    renderer.facts(choose("pos-api", ("/c/*", "1.0.0"), ("size = canary", "2.0.0")))
    await renderer.settle()
    renderer.facts(*(ApprovalCompleted(each.id, each.digest, ["omar"]) for each in requests_of(renderer)))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-002") == "2.0.0"
    before = len(requests_of(renderer))

    renderer.facts(store("store-002", size="small"), store("store-001", size="canary"))
    await renderer.settle()
    assert (renderer.version_on(KEY, "store-001"), renderer.version_on(KEY, "store-002")) == ("1.0.0", "2.0.0")
    assert len(requests_of(renderer)) == before + 1

    last = requests_of(renderer)[-1]
    renderer.facts(ApprovalCompleted(last.id, last.digest, ["omar"]))
    await renderer.settle()
    assert (renderer.version_on(KEY, "store-001"), renderer.version_on(KEY, "store-002")) == ("2.0.0", "1.0.0")


async def approved(renderer: Renderer, *people: str) -> None:
    """Complete every run that is open, and render."""
    runs = renderer.model.fleet.policy.approvals.values()
    for run in [each.request for each in runs if each.running(renderer.now)]:
        renderer.facts(ApprovalCompleted(run.id, run.digest, [*people] or ["omar"]))
    await renderer.settle()


def trailers_of(renderer: Renderer) -> list[str]:
    return renderer.model.decision.first.approved_by


async def test_a_relabel_that_changes_approved_bytes_waits_for_a_run_of_its_own() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    await approved(renderer)
    before = renderer.model.parent

    renderer.facts(store("store-001", size="large"))
    await renderer.settle()
    assert renderer.model.parent == before
    assert why(renderer, "store-001")["closed"] == "approval"
    assert why(renderer, "store-000")["closed"] is None
    assert len(requests_of(renderer)) == 2

    await approved(renderer, "olga")
    assert renderer.model.parent != before
    assert trailers_of(renderer) == ["olga"]


async def test_a_zone_that_changes_approved_bytes_waits_too() -> None:
    renderer = await signed_off()
    renderer.facts(replace(store("store-001", size="small"), timezone="America/Denver"))
    await renderer.settle()
    assert why(renderer, "store-001")["closed"] == "approval"
    assert len(requests_of(renderer)) == 1


async def test_what_changes_no_byte_waits_for_nobody_and_neither_voids_nor_restarts_a_run() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    renderer.facts(
        choose("pos-api", ("size = huge", "2.0.0"), ("/c/*", "2.0.0")),
        ConfigurationDeclared("quiet", "/c/store-000", ["pos-api"], values={"unread": 1}),
        store("store-002", size="small", colour="red"),
    )
    await renderer.settle()
    (asked,) = requests_of(renderer)
    assert renderer.model.fleet.policy.approvals[asked.id].state == "running"

    await approved(renderer)
    assert renderer.version_on(KEY, "store-002") == "2.0.0"
    renderer.facts(store("store-002", size="small", colour="blue"), choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    assert len(requests_of(renderer)) == 1


async def test_approvers_are_named_only_where_what_they_approved_is_admitted() -> None:
    renderer = await signed_off()
    renderer.facts(nightly("night", "02:00", "03:00"), choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    await approved(renderer)
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    renderer.facts(namespace("free"), application("other", "free"), renderer.release("other", "free", "1.0.0"))
    renderer.facts(choose("other", ("/c/*", "1.0.0")), store("store-new", size="small"))
    await renderer.settle()
    assert renderer.version_on("free/other", "store-new") == "1.0.0"
    assert trailers_of(renderer) == []


async def test_what_was_refused_is_not_asked_again_by_an_edit_without_effect_but_when_it_is_wanted_anew() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    (asked,) = requests_of(renderer)
    renderer.facts(ApprovalRefused(asked.id, asked.digest, "not tested", By("omar")))
    renderer.facts(choose("pos-api", ("size = huge", "2.0.0"), ("/c/*", "2.0.0")))
    await renderer.settle()
    assert len(requests_of(renderer)) == 1

    renderer.facts(choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    known = renderer.model.fleet.policy.approvals[asked.id]
    assert (known.state, known.lapsed) == ("refused", True)
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    assert len(requests_of(renderer)) == 2
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_what_was_approved_stays_approved_while_something_else_is_asked_and_refused() -> None:
    renderer = await signed_off()
    renderer.facts(nightly("night", "02:00", "03:00"), choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    await approved(renderer)
    renderer.facts(store("store-001", size="large"))
    await renderer.settle()
    last = requests_of(renderer)[-1]
    assert renderer.model.fleet.policy.approvals[last.id].clusters == BitMap([1])
    renderer.facts(ApprovalRefused(last.id, last.digest, "why", By("omar")))
    await at(renderer, renderer.now.replace(hour=8, minute=30) + timedelta(days=1))
    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert renderer.version_on(KEY, "store-001") == "1.0.0"


async def test_a_rollback_to_what_was_approved_before_something_else_was_asks_again() -> None:
    renderer = await signed_off()
    for version in ("2.0.0", "1.0.0", "2.0.0"):
        asked = len(requests_of(renderer))
        renderer.facts(choose("pos-api", ("/c/*", version)))
        await renderer.settle()
        assert len(requests_of(renderer)) == asked + 1
        await approved(renderer)
        assert renderer.version_on(KEY, "store-000") == version
