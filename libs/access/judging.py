"""Whether a decided proposal is within the rights of its author, and which of its effects gates ignore for now.

Rights are those before the change, on the facts that the proposal was decided on; the decision is void when a binding
that it rests on ends before the append. In a change of many documents, each kind is judged by the right to that kind,
in the order of the documents; what opens a gate is judged by all of them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, groupby
from typing import Any, Protocol

from pyroaring import BitMap

from libs.access.bounds import within
from libs.access.effects import Before, ReachedPart, parts, tried
from libs.access.granting import BIND, EVENT, check_grants
from libs.access.loosening import Unsigned, loosened, may_loosen, may_unsign, unsigned
from libs.access.principals import Principal
from libs.access.relaxing import may_relax, relaxed, runs_over
from libs.access.rights import AFFECT, Scope, bindings_of, held_by_token, holds, reads_only, scope, user_verb
from libs.contracts import ApprovalRequested, By, Event, LooseningWithheld, encode, meaning_of, stream_id
from libs.contracts.meaning import STORE, counted
from libs.contracts.problems import Problem
from libs.fleet import Fleet
from libs.fleet.bitmaps import packed
from libs.fleet.parts import parsed
from libs.kinds import DECLARED_KINDS
from libs.kinds.categories import OF_CATALOG, OF_GATES, OF_RIGHTS

AFFECTING = (AFFECT, "Policy")
CAUSES_MAX = 200
WORDS_MAX = 20
_ID_CHARACTERS = 16
GIVES_RIGHTS = tuple(kind.document for kind in DECLARED_KINDS if kind.gives_rights)
"""The kinds of documents that give rights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks for what: `verb` and `kind` are the right that the route, or the document, needs.

    `author` is in whose name it is and `actor` that name; `sender` is whose rights count: the relay's, where it carries
    out what a source may say. `by` is who, as events keep it.
    """

    actor: str
    author: Principal
    sender: Principal
    verb: str
    kind: str
    by: By


class _Change(Protocol):
    """What was decided and is to be judged (libs.commands.proposals.Proposal)."""

    @property
    def events(self) -> Sequence[tuple[str, Event]]:
        """What would be appended, each with its stream."""

    @property
    def expected(self) -> Mapping[str, int]:
        """The versions of the streams that the decision saw."""

    @property
    def guards(self) -> tuple[str, ...]:
        """The categories whose facts the decision read."""

    @property
    def expires_at(self) -> datetime | None:
        """When the decision is void."""

    @property
    def runs(self) -> Sequence[tuple[str, int]]:
        """The kind whose right each event needs, if the events are of several kinds: (kind, number of events)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The conditions under which a change may be appended.

    `guards` and `expires_at` replace the decision's own. `withheld` is appended before its events; gates ignore what
    they open until somebody confirms it, and `warning` tells the author so.
    """

    guards: tuple[str, ...]
    expires_at: datetime | None
    withheld: tuple[str, LooseningWithheld] | None = None
    warning: str = ""
    asks: Sequence[tuple[str, ApprovalRequested]] = ()
    """The runs of sign-offs that have to approve what is withheld, appended with it, before the change's own events."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A right that is needed, and when."""

    intent: Asking
    now: datetime
    rights: Fleet | None = None
    """The facts that give the right, if they differ from those on which the change is judged."""

    @property
    def words(self) -> str:
        """The right as roles name it."""
        return f"{user_verb(self.intent.verb)} {self.intent.kind}"

    def where(self, facts: Fleet, namespace: str | None) -> Scope:
        """Return where it is held."""
        return scope(self.rights or facts, self.intent.sender, self.intent.verb, self.intent.kind, self.now, namespace)


async def judged(change: _Change, facts: Fleet, intent: Asking, now: datetime) -> Judgement:
    """Return the conditions under which a change that was decided on `facts` may be appended.

    Raises:
        Problem: 403, it is beyond the rights of the sender.
    """
    events = [event for _, event in change.events]
    as_decided = Judgement(change.guards, change.expires_at)
    if not events:
        return as_decided
    check_grants(events, facts, intent.sender, now)
    runs = list(_runs(change, intent))
    free = all(held_by_token(intent.sender, intent.verb, run.intent.kind) for run in runs)
    affects = held_by_token(intent.author, *AFFECTING)
    counts = affects or not may_loosen(events)
    unsigns = not affects and may_unsign(events)
    relaxes = may_relax(facts, events)
    if free and counts and not unsigns and not relaxes:
        return as_decided
    judgement = Judgement(
        _rests_on(change.guards, events, counts=counts and not relaxes), _voided(change.expires_at, facts, intent, now)
    )
    if free and facts.policy.empty and not unsigns:
        return judgement
    found = None if free else await _checked(runs, facts, now, documents=bool(change.runs))
    loosens = relaxes or (not counts and not facts.policy.empty)
    if unsigns or loosens:
        if found is None or len(runs) > 1:  # judged as a whole, however it is put together
            found = await tried(facts, events)
        if unsigns:
            _check_signed(_Asked(intent, now), unsigned(found, events), found.before)
        if loosens:
            return _withheld(judgement, change, found, intent, now)
    return judgement


def _rests_on(guards: Sequence[str], events: Sequence[Event], *, counts: bool) -> tuple[str, ...]:
    """Return the categories that a decision rests on, with those that its judgement reads."""
    read = [*guards, *OF_RIGHTS]
    reached = {meaning_of(event).reaches for event in events}
    if reached != {STORE}:
        read.append("store")
    if any(each.of_catalog for each in reached):
        read += OF_CATALOG
    if not counts:
        read += [*OF_GATES, "withheld", "signoff"]
    return tuple(dict.fromkeys(read))


@dataclass(frozen=True, slots=True)
class Run:
    """Events that need the right to one kind, `start` of a change's events before them."""

    intent: Asking
    start: int
    events: Sequence[Event]


def _runs(change: _Change, intent: Asking) -> Iterator[Run]:
    """Yield the events of a change by the kind whose right they need; neighbours of one kind together."""
    events = [event for _, event in change.events]
    start = 0
    for kind, same in groupby(change.runs or ((intent.kind, len(events)),), key=lambda run: run[0]):
        count = sum(each for _, each in same)
        if count:
            yield Run(replace(intent, kind=kind), start, events[start : start + count])
        start += count


async def _checked(runs: Sequence[Run], facts: Fleet, now: datetime, *, documents: bool) -> Before:
    """Check each run, on top of those before it, against the right to its kind; return the last change.

    Documents that give rights come last, so that nothing is judged by rights that the same change gives.

    Raises:
        Problem: 403; where there are several documents, `event` in it is the first that reaches too far.
    """
    here = facts
    change = Before(facts, facts, BitMap())
    for run in sorted(runs, key=lambda run: run.intent.kind in GIVES_RIGHTS):
        intent, events = run.intent, run.events
        change = await tried(here, events)
        if not held_by_token(intent.sender, intent.verb, intent.kind):
            asked = _Asked(intent, now, facts if intent.kind in GIVES_RIGHTS else None)
            try:
                _check_change(asked, events, change)
            except Problem as refusal:
                if not documents:
                    raise
                first, why = await _first_beyond(asked, here, events, refusal)
                raise replace(why, extra={**why.extra, EVENT: run.start + first}) from None
        here = change.after
    return change


def _check_change(asked: _Asked, events: Sequence[Event], change: Before) -> None:
    _check(asked, parts(events, change), change)
    _check_own_bindings(asked, change)


async def _first_beyond(asked: _Asked, facts: Fleet, events: Sequence[Event], why: Problem) -> tuple[int, Problem]:
    """Return the first event that, with those before it, exceeds the rights, and its refusal."""
    fine, beyond = 0, len(events)  # the first number of events is within the rights, the second is not
    while beyond - fine > 1:
        middle = (fine + beyond) // 2
        try:
            _check_change(asked, events[:middle], await tried(facts, events[:middle]))
        except Problem as refusal:
            beyond, why = middle, refusal
        else:
            fine = middle
    return beyond - 1, why


def _check(asked: _Asked, found: Sequence[ReachedPart], change: Before) -> None:
    """Check what a change affects against the right.

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


def _voided(expires_at: datetime | None, facts: Fleet, intent: Asking, now: datetime) -> datetime | None:
    """Return when a decision is void: as it is itself, or when a binding of whoever asks ends."""
    bound = chain.from_iterable(bindings_of(facts, each, now) for each in (intent.sender, intent.author))
    ends = [each.expires for each in bound if each.expires is not None]
    return min([*ends, *([] if expires_at is None else [expires_at])], default=None)


def _check_own_bindings(asked: _Asked, change: Before) -> None:
    """Refuse to add a cluster to the scope of the sender's own binding: it would extend their other rights.

    Someone who may bind any role everywhere could do so anyway; reading is not limited by clusters.

    Raises:
        Problem: 403.
    """
    before, after, sender = change.before, change.after, asked.intent.sender
    if scope(asked.rights or before, sender, *BIND, asked.now).everywhere:
        return
    known = before.selection.everything | BitMap(before.gone.remains)
    for binding in bindings_of(before, sender, asked.now):
        if binding.clusters is None or reads_only(before, binding.role):
            continue
        key = ("binding", binding.name)
        had = before.selection.saved(key) | before.gone.select(parsed(binding.clusters))
        more = (after.selection.saved(key) - had) & known
        if more and not holds(before, sender, binding.role, asked.now).covers(more):
            raise _refused(
                asked,
                f"it would widen what {sender.name} is bound to by the role binding {binding.name}, "
                f"by {before.selection.name(more.min())} for example",
                f"and {' '.join(BIND)} that is not limited to clusters, or ask somebody other than {sender.name}",
                {"count": len(more)},
            )


def _check_signed(asked: _Asked, found: Sequence[Unsigned], before: Fleet) -> None:
    """Refuse to remove or replace an application's sign-off where the author may not affect policy.

    Raises:
        Problem: 403.
    """
    author = asked.intent.author
    for each in found:
        may = scope(before, author, *AFFECTING, asked.now, each.namespace)
        if not may.everywhere and (not each.clusters or not may.covers(each.clusters)):
            raise Problem(
                403,
                "out-of-scope",
                "This is outside your rights.",
                f"{author.name} may not take the sign-off {each.process} from the application {each.application}",
                fix=f"keep its sign-off, or ask for a role binding with {' '.join(AFFECTING)} that covers its clusters",
                extra={"verb": AFFECT, "kind": AFFECTING[1], "count": len(each.clusters)},
            )


def _check_part(asked: _Asked, part: ReachedPart, held: Scope, change: Before) -> None:
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
                f"the expression of {part.what} could later select clusters outside of {widest}",
                f"for more, or narrow the expression with `and`, for example: ({widest}) and (…)",
                {},
            )


def _beyond(asked: _Asked, change: Before, others: BitMap) -> Problem:
    names = change.after.selection if others.max() < change.after.selection.size else change.before.selection
    example = names.name(others.min())
    some = counted(len(others), "cluster")
    return _refused(
        asked,
        f"it would affect {some} on which {asked.intent.sender.name} may not {asked.words}, for example {example}",
        f"that covers {example}",
        {"count": len(others), "example": example},
    )


def _refused(asked: _Asked, detail: str, wanted: str, extra: dict[str, Any]) -> Problem:
    return Problem(
        403,
        "out-of-scope",
        "This is outside your rights.",
        detail,
        fix=f"ask for a role binding with {asked.words} {wanted}",
        extra={"verb": user_verb(asked.intent.verb), "kind": asked.intent.kind, **extra},
    )


def _withheld(judgement: Judgement, change: _Change, found: Before, intent: Asking, now: datetime) -> Judgement:
    """Withhold from gates what a change opens on clusters where its author may not affect policy."""
    events = [event for _, event in change.events]
    may = scope(found.before, intent.author, *AFFECTING, now)
    opened = {} if may.everywhere else loosened(found, events, now)
    words, clusters = [], BitMap()
    for what, some in opened.items():
        left = some - may.clusters
        if left:
            words.append(f"{what} on {counted(len(left), 'cluster')}")
            clusters |= left
    kept = [(each, each.within(may, found.before)) for each in relaxed(found, events, now)]
    kept = [(each, affects) for each, affects in kept if each.signoffs or not affects]
    affected = not clusters and all(affects for _, affects in kept)
    for each, _ in kept:
        words.append(f"{each.what} on {counted(len(each.clusters), 'cluster')}")
        clusters |= each.clusters
    if not words:
        return judgement
    said = LooseningWithheld(
        id=_id(change, intent),
        clusters=packed(clusters),
        causes=[stream for stream, _ in change.events[:CAUSES_MAX]],
        what="; ".join(words[:WORDS_MAX]),
        by=intent.by,
        keeps=[each.stream for each, _ in kept],
        signoffs=sorted({name for each, _ in kept for name in each.signoffs}),
        affected=affected,
    )
    runs = runs_over(found.before, said, intent.by, "", max(now, found.before.now.at))
    return replace(
        judgement,
        withheld=(stream_id("withheld", said.id), said),
        warning=_told(said, runs),
        asks=[(stream_id("approval", each.id), each) for each in runs],
    )


def _told(said: LooseningWithheld, runs: Sequence[ApprovalRequested]) -> str:
    """Return what the author is told: what is withheld, and what lets it count."""
    approved = [f"sign-off {each.signoff} approves it (resedge approval grant {each.id})" for each in runs]
    confirmed = f"somebody with {AFFECT} confirms the change: resedge confirm withheld {said.id}"
    needed = " and ".join([*approved, *([] if said.affected else [confirmed])])
    return f"Withheld: {said.what}. The gates stay as they were until {needed}"


def _id(change: _Change, intent: Asking) -> str:
    """Return the same id for the same change on top of the same versions: deciding twice withholds once."""
    digest = hashlib.sha256(repr((intent.actor, sorted(change.expected.items()))).encode())
    for stream, event in change.events:
        digest.update(stream.encode())
        digest.update(encode(event))
    return digest.hexdigest()[:_ID_CHARACTERS]
