"""Policy as every process folds it from events: what is allowed, when, and after whose approval.

Expressions are saved in the fleet's selection under ("calendar" | "freeze" | "law" | "binding", name). These are facts,
not answers: ask libs/gates whether something is open at an instant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from libs.contracts import (
    ApprovalCompleted,
    ApprovalGranted,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalSuperseded,
    ApprovalWithdrawn,
    By,
    CalendarDeclared,
    FreezeDeclared,
    LooseningWithheld,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    PlacementPolicyDeclared,
    RoleBindingDeclared,
    RoleDeclared,
    SignOffDeclared,
    TokenIssued,
    encode,
    gates_of,
)
from libs.fleet.bitmaps import unpacked

RUNNING = "running"

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Approval:
    """A run of a process: `state` is running, approved, refused, withdrawn or superseded.

    It has expired if it is running and the present is past `request.expires_at`. `at` is when it was requested,
    `done_at` when it ended; `people` are those whose votes completed it. `refused` is the no that ended it, if one did.
    `lapsed`: after it ended its subject was not wanted any more, so that wanting it again is another request.
    """

    request: ApprovalRequested
    at: datetime
    grants: tuple[ApprovalGranted, ...] = ()
    state: str = RUNNING
    people: tuple[str, ...] = ()
    done_at: datetime | None = None
    reason: str = ""
    refused: ApprovalRefused | None = None
    lapsed: bool = False

    @property
    def content(self) -> str:
        """The digest of a change's content, its clusters left aside."""
        return content_digest(self.request.items)

    @property
    def clusters(self) -> BitMap:
        """The ordinals of the subject."""
        return unpacked(self.request.clusters) if self.request.clusters else BitMap()

    def running(self, now: datetime) -> bool:
        """Whether votes still count."""
        return self.state == RUNNING and now < self.request.expires_at

    def state_at(self, now: datetime) -> str:
        """Return the state; `expired` if a running one has passed its end."""
        return "expired" if self.state == RUNNING and not self.running(now) else self.state


def content_of(document: FreezeDeclared | CalendarDeclared) -> str:
    """Return the digest of what a freeze or a calendar says, its labels left aside."""
    return hashlib.sha256(encode(replace(document, labels={}, allow_empty=False))).hexdigest()


def content_digest(items: Mapping[str, str]) -> str:
    """Return the digest of a change's content: its parts by name, each by its own digest."""
    return hashlib.sha256(msgspec.json.encode(sorted(items.items()))).hexdigest()


@dataclass(frozen=True, slots=True)
class Override:
    """An override: requested, then in force from `begins` until `ends` (exclusive), unless revoked."""

    request: OverrideRequested
    clusters: BitMap
    at: datetime
    begins: datetime | None = None
    ends: datetime | None = None
    people: tuple[str, ...] = ()
    revoked_at: datetime | None = None
    uses: int = 0

    def opens(self, kind: str, document: FreezeDeclared | CalendarDeclared, identity: int) -> bool:
        """Whether it is for a freeze or a calendar: the same one, which says what it said when it was asked for."""
        return any(
            (each.kind, each.name) == (kind, document.name)
            and (not each.content or (each.identity, each.content) == (identity, content_of(document)))
            for each in gates_of(self.request)
        )

    def active(self, now: datetime) -> bool:
        """Whether it is in force."""
        if self.begins is None or self.ends is None or self.revoked_at is not None:
            return False
        return self.begins <= now < self.ends


@dataclass(frozen=True, slots=True)
class Withheld:
    """The facts that gates used on some clusters before a change that does not count for gates yet.

    `calendars` are (as declared then, its clusters among these); `freezes` and `laws` by name; `zones` and `hours` are
    codes, one for each of `clusters` in ascending order. `kept_freezes` and `kept_laws` are those, by name, that the
    change itself loosens: as they were declared then they are in effect still.
    """

    event: LooseningWithheld
    at: datetime
    clusters: BitMap
    calendars: Mapping[str, tuple[CalendarDeclared, BitMap]]
    freezes: Mapping[str, BitMap]
    laws: Mapping[str, BitMap]
    zones: NDArray[np.int32]
    hours: NDArray[np.int32]
    kept_freezes: Mapping[str, FreezeDeclared] = field(default_factory=dict)
    kept_laws: Mapping[str, PlacementPolicyDeclared] = field(default_factory=dict)
    born: Mapping[str, int] = field(default_factory=dict)

    def froze(self, key: str) -> BitMap:
        """Return the clusters that were members of a freeze in effect (`Policy.every_freeze`) before the change."""
        return self._members(self.freezes, self.kept_freezes, key)

    def forbade(self, key: str) -> BitMap:
        """Return the clusters that were members of a law in effect (`Policy.every_law`) before the change."""
        return self._members(self.laws, self.kept_laws, key)

    def _members(self, members: Mapping[str, BitMap], kept: Mapping[str, object], key: str) -> BitMap:
        """Return the members: what the change itself keeps applies by its own expression, so it adds none to that."""
        name = name_of(key)
        if name not in kept:
            return BitMap.union(*(members.get(known, BitMap()) for known in (key, name)))
        return BitMap() if change_of(key) in (None, self.event.id) else members.get(key, BitMap())


@dataclass(frozen=True, slots=True)
class Forbidding:
    """A law in force that forbids an application: on the clusters that it names now (`bound`), and on others.

    `withheld` are those others: the clusters that a withheld change takes out of the law, by the change's id.
    """

    law: PlacementPolicyDeclared
    bound: BitMap
    withheld: Mapping[str, BitMap]

    @property
    def clusters(self) -> BitMap:
        """All clusters on which it forbids the application."""
        return BitMap.union(self.bound, *self.withheld.values()) if self.withheld else self.bound

    def withheld_on(self, ordinal: int) -> list[str]:
        """Return the withheld changes that alone keep the law in force on a cluster."""
        if ordinal in self.bound:
            return []
        return [name for name, clusters in self.withheld.items() if ordinal in clusters]


def kept_key(name: str, change: str) -> str:
    """Return under what a freeze or a law is known that a withheld change keeps: no name has a blank."""
    return f"{name} {change}"


def change_of(key: str) -> str | None:
    """Return the withheld change that keeps a freeze or a law; nothing where it is known as it is declared."""
    return key.partition(" ")[2] or None


def name_of(key: str) -> str:
    """Return the name of a freeze or a law, declared or kept."""
    return key.partition(" ")[0]


def in_force(law: PlacementPolicyDeclared, at: datetime) -> bool:
    """Whether a law is in force at an instant: from its beginning, until its end, exclusive."""
    return (law.begins is None or law.begins <= at) and (law.ends is None or at < law.ends)


@dataclass(slots=True)
class Policy:
    """All policy. `version` moves whenever anything that a gate uses is declared, removed, started or ended."""

    calendars: dict[str, CalendarDeclared] = field(default_factory=dict)
    freezes: dict[str, FreezeDeclared] = field(default_factory=dict)
    laws: dict[str, PlacementPolicyDeclared] = field(default_factory=dict)
    signoffs: dict[str, SignOffDeclared] = field(default_factory=dict)
    roles: dict[str, RoleDeclared] = field(default_factory=dict)
    bindings: dict[str, RoleBindingDeclared] = field(default_factory=dict)
    tokens: dict[str, TokenIssued] = field(default_factory=dict)
    revoked: dict[str, datetime] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    withheld: dict[str, Withheld] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)
    version: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing here can close a gate."""
        return not (self.calendars or self.freezes or self.laws or self.withheld)

    def by_digest(self, sha256: str) -> TokenIssued | None:
        """Return the local token of this digest; the caller must check whether it has expired."""
        found = self.digests.get(sha256)
        return None if found is None or found in self.revoked else self.tokens.get(found)

    def makers_of(self, by: By) -> frozenset[str]:
        """Return by whose hands the token came about with which somebody spoke, themselves left out.

        Who made it, who made the token that it was made with, and so on: each of them could have kept it.
        """
        found, seen, token = {by.creator}, set[str](), by.token
        while token not in seen and (issued := self.tokens.get(token)) is not None:
            seen.add(token)
            found |= {issued.by.person, issued.by.creator}
            token = issued.by.token
        return frozenset(found - {"", by.person})

    def was_revoked(self, sha256: str) -> bool:
        """Tell whether this digest is of a token that was revoked."""
        return self.digests.get(sha256, "") in self.revoked

    # --- folding -----------------------------------------------------------------------------------------------------

    def issue(self, event: TokenIssued) -> None:
        """Take a new local token."""
        self.tokens[event.id] = event
        self.digests[event.sha256] = event.id

    def request(self, event: ApprovalRequested, at: datetime) -> None:
        """Take a new run, which voids one over the same change that is running.

        What is approved stays so until something else is approved in its place; only a run that was recorded without
        its effect is void with the next one of another content.
        """
        fresh = Approval(event, at)
        if event.kind == "change":
            for known in self.changes_of(event.subject):
                of_content = not known.request.effect
                if known.state == RUNNING or (of_content and known.content != fresh.content):
                    self._end(known, "superseded", at, "the content or its clusters have changed")
        self.approvals[event.id] = fresh
        self.version += 1

    def changes_of(self, application: str) -> list[Approval]:
        """Return the runs over an application's changes that are running or approved."""
        return [
            each
            for each in self.approvals.values()
            if each.request.kind == "change"
            and each.request.subject == application
            and each.state in {RUNNING, "approved"}
        ]

    def vote(self, event: ApprovalGranted) -> None:
        """Take one vote."""
        known = self.approvals.get(event.id)
        if known is not None and known.state == RUNNING:
            self.approvals[event.id] = replace(known, grants=(*known.grants, event))

    def complete(self, event: ApprovalCompleted, at: datetime) -> None:
        """A run is completed."""
        known = self.approvals.get(event.id)
        if known is not None:
            done = replace(known, state="approved", people=tuple(event.people), done_at=at)
            self.approvals[event.id] = done
            self.version += 1

    def settle(self, event: ApprovalRefused | ApprovalWithdrawn | ApprovalSuperseded, at: datetime) -> None:
        """End a run, or take one vote back."""
        known = self.approvals.get(event.id)
        if known is None:
            return
        match event:
            case ApprovalWithdrawn(whole=False, by=by):
                left = tuple(each for each in known.grants if each.by.person != by.person)
                self.approvals[event.id] = replace(known, grants=left)
            case ApprovalRefused():
                self._end(replace(known, refused=event), "refused", at, event.reason)
            case ApprovalWithdrawn():
                self._end(known, "withdrawn", at, event.reason)
            case ApprovalSuperseded() if known.state in {"refused", "withdrawn"}:
                self.approvals[event.id] = replace(known, lapsed=True)
            case ApprovalSuperseded():
                self._end(known, "superseded", at, event.reason)

    def _end(self, approval: Approval, state: str, at: datetime, reason: str) -> None:
        self.approvals[approval.request.id] = replace(approval, state=state, done_at=at, reason=reason)
        self.version += 1

    def ask(self, event: OverrideRequested, at: datetime) -> None:
        """Take a request for an override."""
        self.overrides[event.id] = Override(event, unpacked(event.clusters), at)

    def start(self, event: OverrideStarted) -> None:
        """An override is in force."""
        known = self.overrides.get(event.id)
        if known is not None:
            people = tuple(event.people)
            self.overrides[event.id] = replace(known, begins=event.begins, ends=event.ends, people=people)
            self.version += 1

    def revoke(self, event: OverrideRevoked, at: datetime) -> None:
        """An override ends."""
        known = self.overrides.get(event.id)
        if known is not None:
            self.overrides[event.id] = replace(known, revoked_at=at)
            self.version += 1

    def used(self, override: str) -> None:
        """Count a use."""
        known = self.overrides.get(override)
        if known is not None:
            self.overrides[override] = replace(known, uses=known.uses + 1)

    def active_overrides(self, now: datetime) -> Iterable[Override]:
        """Return the overrides that are in force."""
        return [each for each in self.overrides.values() if each.active(now)]

    def identity_of(self, kind: str, key: str, before: str | None = None) -> int:
        """Return where a freeze or a calendar in effect was declared since it last did not exist.

        `before` asks for the calendar as it was before a withheld change.
        """
        change = change_of(key) or before
        born = self.born if change is None else self.withheld[change].born
        return born.get(f"{kind}/{name_of(key)}", 0)

    # --- in effect ---------------------------------------------------------------------------------------------------

    @property
    def every_freeze(self) -> Mapping[str, FreezeDeclared]:
        """The freezes in effect: as declared, by their names, and as withheld changes keep them, by `kept_key`."""
        return self._every(self.freezes, lambda each: each.kept_freezes)

    @property
    def every_law(self) -> Mapping[str, PlacementPolicyDeclared]:
        """The laws in effect: as declared, by their names, and as withheld changes keep them, by `kept_key`."""
        return self._every(self.laws, lambda each: each.kept_laws)

    def _every(self, declared: dict[str, D], kept: Callable[[Withheld], Mapping[str, D]]) -> Mapping[str, D]:
        if not self.withheld:
            return declared
        found = dict(declared)
        for change, each in self.withheld.items():
            found |= {kept_key(name, change): document for name, document in kept(each).items()}
        return found

    def laws_in_force(self, at: datetime) -> dict[str, PlacementPolicyDeclared]:
        """Return those of `every_law` that are in force at an instant."""
        return {key: law for key, law in self.every_law.items() if in_force(law, at)}

    def runs_of(self, kind: str, subject: str) -> list[Approval]:
        """Return the runs over one subject, in the order in which they were asked for."""
        asked = (each.request for each in self.approvals.values())
        return [self.approvals[each.id] for each in asked if (each.kind, each.subject) == (kind, subject)]

    def approved_by(self, change: str, signoff: str) -> bool:
        """Whether a sign-off has approved a withheld change."""
        runs = self.runs_of("withheld", change)
        return any(each.state == "approved" and each.request.signoff == signoff for each in runs)
