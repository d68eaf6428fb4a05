"""Which freezes and placement policies a change loosens by what it says of them, and the sign-offs that have to agree.

What is not provably stricter is looser, on every fleet and at every instant; another sign-off is looser.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyroaring import BitMap

from libs.access.bounds import implies, within
from libs.access.effects import Before
from libs.access.loosening import has_ended, is_over
from libs.access.rights import Scope
from libs.contracts import (
    ApprovalRequested,
    By,
    Event,
    FreezeDeclared,
    LooseningWithheld,
    PlacementPolicyDeclared,
    SignOffDeclared,
    meaning_of,
    stream_id,
)
from libs.contracts.meaning import FREEZE, LAW
from libs.fleet import Fleet, name_of
from libs.fleet.parts import parsed

WITHHELD = "withheld"
"""The kind of an approval that is over a withheld change."""
_ID_CHARACTERS = 12
_HOLD = "hold"

_Guarding = FreezeDeclared | PlacementPolicyDeclared


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A freeze or a law that a change loosens: the clusters that it applies to, and whose approval that needs."""

    what: str
    stream: str
    expression: str
    clusters: BitMap
    signoffs: tuple[str, ...]

    def within(self, may: Scope, before: Fleet) -> bool:
        """Whether all that it applies to, and can ever come to apply to, is where a right is held."""
        if may.everywhere:
            return True
        bounds = [parsed(each) for each in may.expressions]
        said = (parsed(self.expression),)
        return may.covers(self.clusters) and within(said, bounds, may.clusters, before.selection)


def may_relax(facts: Fleet, events: Iterable[Event]) -> bool:
    """Tell whether events declare or remove a freeze or a law that is declared already."""
    return any(_declared(facts, *named) is not None for named in _named(events))


def relaxed(change: Before, events: Iterable[Event], now: datetime) -> list[Relaxed]:
    """Return the freezes and laws that events loosen, each once."""
    found = []
    for kind, name in dict.fromkeys(_named(events)):
        was, is_now = _declared(change.before, kind, name), _declared(change.after, kind, name)
        if was is not None and not _over(was, now) and not (is_now is not None and as_strict(was, is_now, now)):
            found.append(_relaxed(change.before, kind, was, now))
    return found


def _relaxed(before: Fleet, kind: str, was: _Guarding, now: datetime) -> Relaxed:
    every = before.policy.every_freeze if kind == "freeze" else before.policy.every_law
    clusters, signoffs = BitMap(), dict[str, None]()
    for key, each in every.items():
        if name_of(key) == was.name and not _over(each, now):
            clusters |= before.bound(kind, key)
            signoffs |= {} if each.signoff is None else {each.signoff: None}
    for change in before.policy.withheld.values():
        members = change.freezes if kind == "freeze" else change.laws
        clusters = BitMap.union(clusters, *(there for key, there in members.items() if name_of(key) == was.name))
    words, category = ("freeze", "freeze") if kind == "freeze" else ("placement policy", "placementpolicy")
    return Relaxed(f"{words} {was.name}", stream_id(category, was.name), was.clusters, clusters, tuple(signoffs))


def _named(events: Iterable[Event]) -> Iterator[tuple[str, str]]:
    for event in events:
        reaches = meaning_of(event).reaches
        if reaches in (FREEZE, LAW):
            yield reaches.kind, event.name


def _declared(facts: Fleet, kind: str, name: str) -> _Guarding | None:
    return facts.policy.freezes.get(name) if kind == "freeze" else facts.policy.laws.get(name)


def _over(document: _Guarding, now: datetime) -> bool:
    return has_ended(document, now) if isinstance(document, FreezeDeclared) else is_over(document, now)


# --- as strict as before ---------------------------------------------------------------------------------------------


def as_strict(before: _Guarding, after: _Guarding, now: datetime) -> bool:
    """Tell whether `after` forbids, from `now` on, all that `before` does, and is excepted by the same people only."""
    if before.signoff != after.signoff or not implies(parsed(before.clusters), parsed(after.clusters)):
        return False
    if isinstance(before, FreezeDeclared):
        return isinstance(after, FreezeDeclared) and _as_long_a_freeze(before, after)
    return isinstance(after, PlacementPolicyDeclared) and _as_strict_a_law(before, after, now)


def _as_long_a_freeze(before: FreezeDeclared, after: FreezeDeclared) -> bool:
    begins, ends = (
        [datetime.fromisoformat(each) for each in edges]
        for edges in ((before.begins, after.begins), (before.ends, after.ends))
    )
    return (
        before.local == after.local
        and begins[1] <= begins[0]
        and ends[1] >= ends[0]
        and (
            not after.applications
            or (bool(before.applications) and set(before.applications) <= set(after.applications))
        )
        and (before.new_clusters != _HOLD or after.new_clusters == _HOLD)
    )


def _as_strict_a_law(before: PlacementPolicyDeclared, after: PlacementPolicyDeclared, now: datetime) -> bool:
    begins = (
        after.begins is None or after.begins <= now or (before.begins is not None and after.begins <= before.begins)
    )
    ends = after.ends is None or (before.ends is not None and after.ends >= before.ends)
    return (
        begins
        and ends
        and set(before.applications) <= set(after.applications)
        and (before.enforcement != "immediate" or after.enforcement == "immediate")
        and (before.on_conflict != "refuse" or after.on_conflict == "refuse")
    )


# --- asking the sign-offs --------------------------------------------------------------------------------------------


def runs_over(facts: Fleet, withheld: LooseningWithheld, by: By, reason: str, at: datetime) -> list[ApprovalRequested]:
    """Return the runs that are to be asked for, so that each sign-off of a withheld change is approved or under way.

    The ids follow from the change and from how many runs there were, so that deciding twice asks once.
    """
    runs = facts.policy.runs_of(WITHHELD, withheld.id)
    asked = {each.request.signoff for each in runs if each.running(at) or each.state == "approved"}
    known = (facts.policy.signoffs.get(name) for name in withheld.signoffs if name not in asked)
    return [_run(facts, withheld, process, by, reason, at) for process in known if process is not None]


def _run(
    facts: Fleet, withheld: LooseningWithheld, process: SignOffDeclared, by: By, reason: str, at: datetime
) -> ApprovalRequested:
    asked = len([each for each in facts.policy.runs_of(WITHHELD, withheld.id) if each.request.signoff == process.name])
    digest = hashlib.sha256(f"{withheld.id} {process.name} {asked}".encode()).hexdigest()
    return ApprovalRequested(
        id=digest[:_ID_CHARACTERS],
        kind=WITHHELD,
        subject=withheld.id,
        # The change's own id is a digest of all its events and of the versions that they follow.
        digest=hashlib.sha256(f"{withheld.id} {withheld.what}".encode()).hexdigest(),
        signoff=process.name,
        stages=process.stages,
        expires_at=at + timedelta(hours=process.expires_hours),
        clusters=withheld.clusters,
        count=process.count,
        requesters=list(dict.fromkeys([withheld.by.person, by.person])),
        summary=f"loosen {withheld.what}",
        reason=reason,
        by=by,
    )
