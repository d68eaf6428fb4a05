"""The sentence of every event type: it is in views and exports already, so it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from libs.contracts import event_types, meaning_of
from tests.support.declared import filled

SENTENCES: Mapping[str, str] = {
    "AccessDenied": "denied x 7 requests to x",
    "AdmissionDecided": "decided an admission of 1 cluster, 7 removals among them (part 7 of 7)",
    "AdmissionWritten": "wrote commit x on branch x",
    "ApplicationDeclared": "declared application pos-api in namespace pos",
    "ApplicationRemoved": "removed application x: x",
    "ApprovalCompleted": "completed approval x by x",
    "ApprovalGranted": "granted approval x as x",
    "ApprovalRefused": "refused approval x",
    "ApprovalRequested": "asked sign-off x about x x: x",
    "ApprovalSuperseded": "superseded approval x",
    "ApprovalWithdrawn": "withdrew the request of approval x",
    "CalendarDeclared": "declared calendar x",
    "CalendarRemoved": "removed calendar x: x",
    "ConfigurationDeclared": "declared configuration x",
    "ConfigurationRemoved": "removed configuration x: x",
    "ConfirmationAccepted": "accepted the confirmation of plan x",
    "ConfirmationLapsed": "voided the confirmation of plan x",
    "ConsumerHalted": "halted consumer x before position 7",
    "EpochStarted": "began epoch x of the log after x",
    "EventNoted": "took event x of x, which changed nothing",
    "EventRefused": "refused event x of x (x)",
    "ForeignCommitFound": "found branch x at x, not at x",
    "FreezeDeclared": "declared freeze x of x",
    "FreezeRemoved": "removed freeze x: x",
    "GraceEnded": "ended the grace of 1 deleted cluster",
    "GroupDeclared": "declared group /geo/tx",
    "GroupRemoved": "removed group x: x",
    "LayoutChosen": "chose layout code 7 for branch x",
    "LetterRetried": "retried dead letter x",
    "LetterSettled": "settled dead letter x (x)",
    "LetterSkipped": "skipped dead letter x",
    "LooseningConfirmed": "confirmed withheld change x",
    "LooseningWithheld": "withheld what x would open on 1 cluster",
    "NamespaceDeclared": "declared namespace pos",
    "NamespaceRemoved": "removed namespace x: x",
    "OverrideRequested": "broke the glass on x x on 1 cluster for 7.5 minutes",
    "OverrideRevoked": "revoked override x",
    "OverrideStarted": "began override x until 2030-01-01T00:00:00Z",
    "OverrideUsed": "used override x on 1 cluster",
    "PlacementPolicyDeclared": "declared placement policy x (x)",
    "PlacementPolicyRemoved": "removed placement policy x: x",
    "ReleaseChoicesSet": "chose release x of x",
    "ReleasePublished": "published release x of x",
    "RemovalsConfirmed": "confirmed the held removals of plan x",
    "RemovalsHeld": "held back 7 removals as plan x",
    "RoleBindingDeclared": "bound role admin as x",
    "RoleBindingRemoved": "removed role binding x: x",
    "RoleDeclared": "declared role x",
    "RoleRemoved": "removed role x: x",
    "SignOffDeclared": "declared sign-off release",
    "SignOffRemoved": "removed sign off x: x",
    "SourceDeclared": "declared source x of x",
    "SourceRemoved": "removed source x: x",
    "StoreDeclared": "declared store tx-1",
    "StoreRemoved": "removed store x: x",
    "TokenIssued": "issued token x for x",
    "TokenRevoked": "revoked token x",
    "WritingRestored": "restored writing on branch x onto x",
}


def test_every_event_type_is_told_as_before() -> None:
    told = {kind.__name__: meaning_of(filled(kind)).said(filled(kind)) for kind in event_types().values()}

    assert told == SENTENCES


def test_a_removal_without_a_reason_is_told_as_before_there_were_reasons() -> None:
    removals: list[Any] = [
        filled(kind) for name, kind in event_types().items() if name.split(".")[-2].endswith("Removed")
    ]
    told = [meaning_of(each).said(replace(each, reason="")) for each in removals]

    assert len(told) > 10
    assert told == [SENTENCES[type(each).__name__].removesuffix(": x") for each in removals]
