"""How an event is told to people: shown whole, and as who did what, when, why.

The one rule: nothing is changed here, and an event is shown with its exact data and its chain hash, so that anybody
can compute the chain again; a type that nobody wrote a sentence for is told in the words of its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyroaring import BitMap

from libs.contracts import Recorded
from libs.contracts.instants import ALL_YEARS, read_instant
from libs.contracts.refusals import Invalid
from libs.fleet import unpacked

if TYPE_CHECKING:
    from libs.contracts import AdmissionDecided, Event, StoreDeclared
    from libs.eventlog import StoredEvent, Verification

REASON_CHARACTERS_MAX = 4_000
SENTENCE_CHARACTERS_MAX = 1_000
NAME_CHARACTERS_MAX = 512
OTHERS_MAX = 1_000

Subject = tuple[str, str]
"""What an event speaks of: kind and name, such as ("store", "tx-austin-0042") or ("group", "/geo/us")."""

_KINDS = {"choices": "application", "hold": "branch", "log": "log", "use": "override"}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Told:
    """An event in plain words: what it did to its subject, why, and of what else it speaks."""

    subject: Subject
    sentence: str
    reason: str = ""
    others: tuple[Subject, ...] = ()


def tell(recorded: Recorded) -> Told:
    """Return an event in plain words; its texts are cut to what a view keeps, and hold no NUL."""
    subject = subject_of(recorded.stream)
    event = recorded.event
    sentence, others = _told(event, subject)
    return Told(
        subject,
        _text(sentence, SENTENCE_CHARACTERS_MAX),
        _text(_reason(event), REASON_CHARACTERS_MAX),
        tuple(others[:OTHERS_MAX]),
    )


def subject_of(stream: str) -> Subject:
    """Return what a stream is about: `choices-pos-api` is about the application."""
    category, _, name = stream.partition("-")
    return _KINDS.get(category, category), _text(name, NAME_CHARACTERS_MAX)


def _text(text: str, characters_max: int) -> str:
    """Return text that every database takes; cut where it is long."""
    kept = text[:characters_max].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode()


def _reason(event: Event) -> str:
    reason = getattr(event, "reason", "") or getattr(event, "cause", "")
    reasons = getattr(event, "reasons", None)
    return str(reason) if reason or not reasons else "; ".join(map(str, reasons))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 cluster`, `60,000 clusters`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _told(event: Event, subject: Subject) -> tuple[str, list[Subject]]:
    name = type(event).__name__
    special = _SENTENCES.get(name)
    if special is not None:
        return special(event)
    kind, who = subject
    *nouns, verb = _WORDS.sub(" ", name).lower().split()
    known = kind.split("-", maxsplit=1)[0] in " ".join(nouns) or not nouns
    return f"{verb} {kind if known else ' '.join(nouns)} {who}".rstrip(), []


def _store(event: StoreDeclared) -> tuple[str, list[Subject]]:
    if len(event.clusters) == 1 and event.clusters[0].name == event.name:
        return f"declared store {event.name}", []
    others = [("cluster", each.name) for each in event.clusters if each.name != event.name]
    return f"declared store {event.name} with {counted(len(event.clusters), 'cluster')}", others


def _admission(event: AdmissionDecided) -> tuple[str, list[Subject]]:
    bitmaps = [*event.applications.values(), *event.namespaces.values(), *([event.clusters] if event.clusters else [])]
    reached = len(BitMap.union(BitMap(), *map(unpacked, bitmaps)))
    removals = f", {counted(event.removals, 'removal')} among them" if event.removals else ""
    part = f" (part {event.part} of {event.parts})" if event.parts > 1 else ""
    applications = [("application", key.rpartition("/")[2]) for key in sorted(event.applications)]
    namespaces = {key.rpartition("/")[0] for key in event.applications} | set(event.namespaces)
    others = list(dict.fromkeys([*applications, *(("namespace", name) for name in sorted(namespaces - {""}))]))
    return f"decided an admission of {counted(reached, 'cluster')}{removals}{part}", others


def _chosen(event: Any) -> tuple[str, list[Subject]]:
    versions = list(dict.fromkeys(each.version for each in event.choices))
    if not versions:
        return f"chose no release of {event.application}", []
    what = f"release {versions[0]}" if len(versions) == 1 else counted(len(versions), "release")
    return f"chose {what} of {event.application}", [("release", f"{event.application}/{each}") for each in versions]


def _application(event: Any) -> tuple[str, list[Subject]]:
    return f"declared application {event.name} in namespace {event.namespace}", [("namespace", event.namespace)]


def _configuration(event: Any) -> tuple[str, list[Subject]]:
    others = [("application", each) for each in event.applications]
    others += [("namespace", event.namespace)] if event.namespace else []
    return f"declared configuration {event.name}", others


def _group(event: Any) -> tuple[str, list[Subject]]:
    named = [("store", each) for each in event.stores] + [("cluster", each) for each in event.clusters]
    return f"declared group {event.path}", named


def _published(event: Any) -> tuple[str, list[Subject]]:
    others = [("application", event.application), ("namespace", event.namespace)]
    return f"published release {event.version} of {event.application}", others


def _written(event: Any) -> tuple[str, list[Subject]]:
    if not event.files:
        return f"wrote nothing on branch {event.branch}, as no file differs", []
    return f"wrote commit {event.commit[:12]} on branch {event.branch}", []


def _refused(event: Any) -> tuple[str, list[Subject]]:
    # What is no CloudEvent may name neither its source nor itself.
    told = (
        f"event {event.id or 'without id'} of {event.source or 'no source'}"
        if event.id or event.source
        else "what came"
    )
    return f"refused {told} ({event.code})", []


def _held(event: Any) -> tuple[str, list[Subject]]:
    others = [("application", key.rpartition("/")[2]) for key in sorted(event.applications)]
    return f"held back {counted(event.count, 'removal')} as plan {event.plan}", others


def _bound(event: Any) -> list[Subject]:
    """Return the applications that a calendar, freeze or law names."""
    return [("application", each) for each in event.applications]


def _law(event: Any) -> tuple[str, list[Subject]]:
    return f"declared placement policy {event.name} ({event.basis})", _bound(event)


def _asked(event: Any) -> tuple[str, list[Subject]]:
    """Tell of a run of sign-off, with what it is over."""
    kind = {"change": "application", "hold": "branch"}.get(event.kind, event.kind)
    others = [(kind, event.subject)] if kind != "branch" else []
    told = f": {event.summary}" if event.summary else ""
    return f"asked sign-off {event.signoff} about {event.kind} {event.subject}{told}", others


def _override(event: Any) -> tuple[str, list[Subject]]:
    gate = ("freeze", event.freeze) if event.freeze else ("calendar", event.calendar)
    how = "broke the glass on" if event.break_glass else "asked for an override of"
    where = counted(len(unpacked(event.clusters)), "cluster")
    return f"{how} {gate[0]} {gate[1]} on {where} for {event.minutes:g} minutes", [gate, *_bound(event)]


def _used(event: Any) -> tuple[str, list[Subject]]:
    where = counted(len(unpacked(event.clusters)), "cluster")
    return f"used override {event.id} on {where}", [("override", event.id), *_bound(event)]


def _withheld(event: Any) -> tuple[str, list[Subject]]:
    where = counted(len(unpacked(event.clusters)), "cluster")
    return f"withheld what {event.what or 'a change'} would open on {where}", []


_POLICY_SENTENCES: Mapping[str, Callable[[Any], tuple[str, list[Subject]]]] = {
    "CalendarDeclared": lambda event: (f"declared calendar {event.name}", _bound(event)),
    "FreezeDeclared": lambda event: (f"declared freeze {event.name} of {event.owner}", _bound(event)),
    "PlacementPolicyDeclared": _law,
    "PlacementPolicyRemoved": lambda event: (f"removed placement policy {event.name}", []),
    "SignOffDeclared": lambda event: (f"declared sign-off {event.name}", []),
    "RoleBindingDeclared": lambda event: (f"bound role {event.role} as {event.name}", [("role", event.role)]),
    "RoleBindingRemoved": lambda event: (f"removed role binding {event.name}", []),
    "ApprovalRequested": _asked,
    "ApprovalGranted": lambda event: (f"granted approval {event.id} as {event.role}", []),
    "ApprovalCompleted": lambda event: (f"completed approval {event.id} by {', '.join(event.people) or 'nobody'}", []),
    "ApprovalRefused": lambda event: (f"refused approval {event.id}", []),
    "ApprovalWithdrawn": lambda event: (
        f"withdrew {'the request of' if event.whole else 'a vote from'} approval {event.id}",
        [],
    ),
    "OverrideRequested": _override,
    "OverrideStarted": lambda event: (f"began override {event.id} until {rfc3339(event.ends)}", []),
    "OverrideRevoked": lambda event: (f"revoked override {event.id}", []),
    "OverrideUsed": _used,
    "TokenIssued": lambda event: (f"issued token {event.id} for {event.user}", []),
    "TokenRevoked": lambda event: (f"revoked token {event.id}", []),
    "AccessDenied": lambda event: (f"denied {event.actor} {counted(event.count, 'request')} to {event.route}", []),
    "LooseningWithheld": _withheld,
    "LooseningConfirmed": lambda event: (f"confirmed withheld change {event.id}", []),
    "ConfirmationAccepted": lambda event: (f"accepted the confirmation of plan {event.plan}", []),
    "ConfirmationLapsed": lambda event: (f"voided the confirmation of plan {event.plan}", []),
}

_SENTENCES: Mapping[str, Callable[[Any], tuple[str, list[Subject]]]] = {
    "StoreDeclared": _store,
    "GroupDeclared": _group,
    "ApplicationDeclared": _application,
    "ConfigurationDeclared": _configuration,
    "ReleasePublished": _published,
    "ReleaseChoicesSet": _chosen,
    "AdmissionDecided": _admission,
    "AdmissionWritten": _written,
    "RemovalsHeld": _held,
    "RemovalsConfirmed": lambda event: (f"confirmed the held removals of plan {event.plan}", []),
    "ForeignCommitFound": lambda event: (
        f"found branch {event.branch} at {event.found[:12] or 'nothing'}, not at {event.expected[:12] or 'nothing'}",
        [],
    ),
    "LayoutChosen": lambda event: (f"chose layout code {event.layout} for branch {event.branch}", []),
    "GraceEnded": lambda event: (
        f"ended the grace of {counted(len(unpacked(event.clusters)), 'deleted cluster')}",
        [],
    ),
    "WritingRestored": lambda event: (f"restored writing on branch {event.branch} onto {event.onto[:12]}", []),
    "EpochStarted": lambda event: (f"began epoch {event.epoch} of the log after {event.previous}", []),
    "SourceDeclared": lambda event: (f"declared source {event.name} of {event.source}", []),
    "SourceRemoved": lambda event: (f"removed source {event.name}", []),
    "EventNoted": lambda event: (f"took event {event.id} of {event.source}, which changed nothing", []),
    "EventRefused": _refused,
    "ConsumerHalted": lambda event: (f"halted consumer {event.consumer} before position {event.position}", []),
    "LetterRetried": lambda event: (f"retried dead letter {event.letter}", []),
    "LetterSkipped": lambda event: (f"skipped dead letter {event.letter}", []),
    "LetterSettled": lambda event: (f"settled dead letter {event.letter} ({event.how})", []),
    **_POLICY_SENTENCES,
}


def instant(text: str, pointer: str | None = None) -> datetime:
    """Return an instant in UTC, written as RFC 3339 with its offset.

    Raises:
        Invalid: it is none; the message says what to write.
    """
    try:
        return read_instant(text, pointer, ALL_YEARS)
    except Invalid as unreadable:
        fix = "write date, time and offset: 2026-11-24T06:00:00Z or 2026-11-24T06:00:00-06:00 (+ is %2B in a URL)"
        raise Invalid(unreadable.detail, pointer=pointer, fix=fix) from None


def rfc3339(at: datetime) -> str:
    """Return an instant as RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z")


def shown(event: StoredEvent) -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "position": event.position,
        "epoch": event.epoch,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "time": rfc3339(event.recorded_at),
        "actor": event.actor,
        "data": json.loads(event.data),
        "hash": event.hash.hex(),
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
    }


def verdict(found: Verification) -> dict[str, Any]:
    """Return a verification as the API answers it."""
    if found.problem is None:
        verb = "hangs" if found.events == 1 else "hang"
        detail = f"{counted(found.events, 'event')} up to position {found.position} {verb} together"
    else:
        detail = f"position {found.problem.position}: {found.problem.what}"
    return {"ok": found.ok, "checks": [{"check": "chain", "ok": found.ok, "detail": detail}]}
