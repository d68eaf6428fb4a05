"""Whether a decided proposal is within the rights of whoever asks, and what of it does not count for gates yet.

The one rule: rights are those before the change, judged on the facts that the proposal was decided on; a binding that
ends before it is appended voids the decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyroaring import BitMap

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    LooseningWithheld,
    ReleaseChoicesSet,
    ReleasePublished,
    StoreDeclared,
    StoreRemoved,
    encode,
    stream_id,
)
from libs.fleet import Fleet
from libs.fleet.bitmaps import packed
from libs.fleet.facts import parsed
from libs.web.bounds import within
from libs.web.effects import Before, Part, parts, tried
from libs.web.loosening import loosened, may_loosen
from libs.web.problems import Problem
from libs.web.rights import AFFECT, Scope, held_by_token, scope, user_verb

if TYPE_CHECKING:
    from libs.web.commands import Proposal
    from libs.web.intents import Intent

AFFECTING = (AFFECT, "Policy")
CAUSES_MAX = 200
WORDS_MAX = 20
ID_CHARACTERS = 16
OF_RIGHTS = ("role", "rolebinding", "group", "namespace")
"""What a scope rests on, besides the stores themselves."""
OF_CATALOG = ("application", "configuration", "choices")
OF_GATES = ("calendar", "freeze", "placementpolicy")


@dataclass(frozen=True, slots=True)
class Asked:
    """A right that is asked for, and when."""

    intent: Intent
    now: datetime

    @property
    def words(self) -> str:
        """The right as roles name it."""
        return f"{user_verb(self.intent.verb)} {self.intent.kind}"

    def where(self, facts: Fleet, namespace: str | None) -> Scope:
        """Return where it is held."""
        return scope(facts, self.intent.sender, self.intent.verb, self.intent.kind, self.now, namespace)


async def judged(proposal: Proposal, facts: Fleet, intent: Intent, now: datetime) -> Proposal:
    """Return the proposal as it may be appended.

    Raises:
        Problem: 403, it reaches beyond what is the sender's.
    """
    events = [event for _, event in proposal.events]
    if not events:
        return proposal
    free = held_by_token(intent.sender, intent.verb, intent.kind)
    counts = held_by_token(intent.author, *AFFECTING) or not may_loosen(events)
    if free and counts:
        return proposal
    guards = [*proposal.guards, *OF_RIGHTS]
    if not all(isinstance(event, StoreDeclared | StoreRemoved) for event in events):
        guards.append("store")
    if any(isinstance(event, _OF_CATALOG) for event in events):
        guards += OF_CATALOG
    if not counts:
        guards += OF_GATES
    proposal = replace(proposal, guards=tuple(dict.fromkeys(guards)))
    if free and facts.policy.empty:
        return proposal
    change = await tried(facts, events)
    if not free:
        _check(Asked(intent, now), parts(events, change), change)
    return proposal if counts or facts.policy.empty else _withheld(proposal, change, intent, now)


_OF_CATALOG = (
    ApplicationDeclared,
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    ReleaseChoicesSet,
    ReleasePublished,
)


def _check(asked: Asked, found: Sequence[Part], change: Before) -> None:
    """Hold what a change reaches against the right.

    Raises:
        Problem: 403.
    """
    spaces = {space for part in found for space in (part.namespaces or {None})}
    scopes = {space: asked.where(change.before, space) for space in spaces}
    for part in found:
        for space in part.namespaces or {None}:
            held = scopes[space]
            if not held.everywhere:
                _check_part(asked, part, held, change)
    for held in scopes.values():
        if not held.covers(change.moved):
            raise _beyond(asked, change, change.moved - held.clusters)


def _check_part(asked: Asked, part: Part, held: Scope, change: Before) -> None:
    if part.clusters is None:
        raise _refused(asked, f"{part.what} has no clusters of its own", "that is not limited to clusters", {})
    if not held.covers(part.clusters):
        raise _beyond(asked, change, part.clusters - held.clusters)
    bounds = [parsed(each) for each in held.expressions]
    for said in part.said:
        if not within(said, bounds, held.clusters, change.before.selection):
            widest = " or ".join(sorted(held.expressions)) or "none"
            raise _refused(
                asked,
                f"the expression of {part.what} could come to select clusters beyond {widest}",
                f"for more, or narrow the expression with `and`, for example: ({widest}) and (…)",
                {},
            )


def _beyond(asked: Asked, change: Before, others: BitMap) -> Problem:
    names = change.after.selection if others.max() < change.after.selection.size else change.before.selection
    example = names.name(others.min())
    some = "1 cluster" if len(others) == 1 else f"{len(others)} clusters"
    return _refused(
        asked,
        f"it would reach {some} on which {asked.intent.sender.name} may not {asked.words}, {example} for example",
        f"that covers {example}",
        {"count": len(others), "example": example},
    )


def _refused(asked: Asked, detail: str, wanted: str, extra: dict[str, Any]) -> Problem:
    return Problem(
        403,
        "out-of-scope",
        "This reaches beyond what is yours.",
        detail,
        fix=f"ask for a role binding with {asked.words} {wanted}",
        extra={"verb": user_verb(asked.intent.verb), "kind": asked.intent.kind, **extra},
    )


def _withheld(proposal: Proposal, change: Before, intent: Intent, now: datetime) -> Proposal:
    """Return the proposal with what it opens withheld from gates, where its author may not affect policy."""
    opened = loosened(change, now)
    if not opened:
        return proposal
    may = scope(change.before, intent.author, *AFFECTING, now)
    words, clusters = [], BitMap()
    for what, some in opened.items():
        left = BitMap() if may.everywhere else some - may.clusters
        if left:
            words.append(f"{what} on {len(left)} clusters")
            clusters |= left
    if not clusters:
        return proposal
    said = LooseningWithheld(
        id=_id(proposal, intent),
        clusters=packed(clusters),
        causes=[stream for stream, _ in proposal.events[:CAUSES_MAX]],
        what="; ".join(words[:WORDS_MAX]),
        by=intent.by,
    )
    first = (stream_id("withheld", said.id), said)
    warning = (
        f"{said.what}: counts for gates only after somebody with {AFFECT} confirms it: "
        f"resedge confirm withheld {said.id}"
    )
    return replace(
        proposal,
        events=[first, *proposal.events],
        expected={**proposal.expected, first[0]: 0},
        shown=None if proposal.shown is None else [first, *proposal.shown],
        body={**proposal.body, "warnings": [*proposal.body.get("warnings", ()), warning]},
    )


def _id(proposal: Proposal, intent: Intent) -> str:
    """Return the same id for the same change on top of the same versions: deciding twice withholds once."""
    digest = hashlib.sha256(repr((intent.actor, sorted(proposal.expected.items()))).encode())
    for stream, event in proposal.events:
        digest.update(stream.encode())
        digest.update(encode(event))
    return digest.hexdigest()[:ID_CHARACTERS]
