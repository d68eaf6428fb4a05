"""Who is behind a change that people approve: whoever wrote or took away part of it, and nobody who only voted."""

from __future__ import annotations

from dataclasses import replace

from libs.contracts import (
    ApplicationDeclared,
    ApprovalCompleted,
    ApprovalGranted,
    ApprovalRequested,
    By,
    ConfigurationDeclared,
    ConfigurationRemoved,
    SignOffDeclared,
    SignOffStage,
)
from tests.support.renderer import Renderer, application, choose, namespace, store

SIGNOFF = SignOffDeclared("two-eyes", [SignOffStage(["managers"], 1)], 24)
LOUD = ConfigurationDeclared("loud", "/c/*", ["pos-api"], values={"level": "loud"})


async def signed_off() -> Renderer:
    renderer = Renderer()
    renderer.facts(*(store(f"store-{number}") for number in range(4)), SIGNOFF, namespace("pos"))
    renderer.facts(*(renderer.release("pos-api", "pos", version) for version in ("1.0.0", "2.0.0")))
    renderer.facts(application("pos-api", "pos"), choose("pos-api", ("/c/*", "1.0.0")), LOUD)
    await renderer.settle()
    renderer.facts(replace(application("pos-api", "pos"), signoff="two-eyes"))
    return renderer


def asked(renderer: Renderer) -> ApprovalRequested:
    return [each.event for each in renderer.history if isinstance(each.event, ApprovalRequested)][-1]


def approve(renderer: Renderer, run: ApprovalRequested, person: str) -> None:
    renderer.record(ApprovalGranted(run.id, run.digest, 0, "managers", By(person)), f"approval-{run.id}", person)
    renderer.record(ApprovalCompleted(run.id, run.digest, [person]), f"approval-{run.id}", person)


async def test_who_took_a_configuration_away_is_behind_the_change() -> None:
    renderer = await signed_off()
    renderer.record(choose("pos-api", ("/c/*", "2.0.0")), "choices-pos-api", "rita")
    await renderer.settle()
    approve(renderer, asked(renderer), "omar")
    await renderer.settle()

    renderer.record(ConfigurationRemoved("loud"), "configuration-loud", "mia")
    renderer.record(choose("pos-api", ("/c/*", "1.0.0")), "choices-pos-api", "rita")
    await renderer.settle()
    assert asked(renderer).requesters == ["mia", "rita"]


async def test_who_voted_before_did_not_ask_for_what_is_held_next() -> None:
    renderer = await signed_off()
    renderer.record(choose("pos-api", ("/c/*", "2.0.0")), "choices-pos-api", "rita")
    await renderer.settle()
    approve(renderer, asked(renderer), "omar")
    narrowed = ApplicationDeclared("pos-api", "pos", "/c/store-0", signoff="two-eyes")
    renderer.record(narrowed, "application-pos-api", "rita")
    await renderer.settle()
    assert asked(renderer).kind == "hold"
    assert asked(renderer).requesters == ["rita"]


async def test_who_removed_something_is_behind_its_hold_though_others_went_on() -> None:
    renderer = await signed_off()
    renderer.record(application("pos-api", "pos", "/c/store-0"), "application-pos-api", "rita")
    renderer.facts(replace(application("pos-api", "pos", "/c/store-0"), signoff="two-eyes"))
    renderer.record(store("store-new"), "store-store-new", "omar")
    await renderer.settle()
    first = asked(renderer)
    assert first.kind == "hold"
    renderer.restart()
    renderer.record(replace(application("pos-api", "pos", "none"), signoff="two-eyes"), "application-pos-api", "mia")
    await renderer.settle()

    assert asked(renderer).subject != first.subject
    assert {"rita", "mia"} <= set(asked(renderer).requesters)
