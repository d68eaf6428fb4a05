"""For every history: a freeze or a law holds until what loosens it has the approval that it needs.

The model knows documents and labels only: who is bound is asked anew every time, and what forbids is tried out at every
instant, application and cluster of a small world.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from pyroaring import BitMap

from libs.access.judging import Asking, judged
from libs.access.principals import Principal
from libs.commands.proposals import Proposal
from libs.contracts import (
    ApprovalCompleted,
    By,
    ClusterSpec,
    Event,
    FreezeDeclared,
    FreezeRemoved,
    LooseningConfirmed,
    LooseningWithheld,
    PlacementPolicyDeclared,
    PlacementPolicyRemoved,
    Recorded,
    RoleBindingDeclared,
    RoleDeclared,
    RoleRule,
    RoleSubject,
    SignOffDeclared,
    SignOffStage,
    StoreDeclared,
    stream_id,
    type_name,
)
from libs.contracts.refusals import Rejected
from libs.fleet import Fleet
from libs.fleet.snapshots import dump_fleet, load_fleet
from libs.gates import Gates
from services.policy.answers import placed
from services.policy.domain import approvals
from services.policy.domain.withheld import ConfirmLoosening, counting, decide
from tests.policy.signoff_words import grant, voter

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANTS = [NOW + HOUR * each for each in range(0, 60, 7)]
EDGES = [NOW + HOUR * each for each in (-5, 3, 20, 40)]
STORES = ["a", "b", "c"]
EXPRESSIONS = {"/c/*": {"tx", "ut"}, "state = tx": {"tx"}, "state = ut": {"ut"}}
APPLICATIONS = ["pos", "lottery"]
TEAM, POLICY = "ann", "omar"
Document = FreezeDeclared | PlacementPolicyDeclared


@dataclass
class Standing:
    """A document that forbids until the withheld change `until` counts; nothing: as it is declared now."""

    document: Document
    until: str | None = None
    needs: frozenset[str] = field(default_factory=frozenset)
    confirmed: bool = False


def forbids(document: Document, state: str, application: str, at: datetime) -> bool:
    """Whether a document forbids an application on clusters of a state, by what it says."""
    if state not in EXPRESSIONS[document.clusters]:
        return False
    if isinstance(document, PlacementPolicyDeclared):
        begun = document.begins is None or document.begins <= at
        return application in document.applications and begun and (document.ends is None or at < document.ends)
    inside = datetime.fromisoformat(document.begins) <= at < datetime.fromisoformat(document.ends)
    return inside and (not document.applications or application in document.applications)


def weaker(before: Document, after: Document | None) -> bool:
    """Whether something that was forbidden from now on is not any more, or other people may except it."""
    if after is None or before.signoff != after.signoff:
        return True
    world = product({"tx", "ut"}, APPLICATIONS, INSTANTS)
    return any(forbids(before, *point) and not forbids(after, *point) for point in world)


spans = st.lists(st.sampled_from(EDGES), min_size=2, max_size=2, unique=True).map(sorted)
signoffs = st.sampled_from([None, "one", "two"])
expressions = st.sampled_from(list(EXPRESSIONS))
freezes = st.builds(
    lambda span, clusters, of, signoff: FreezeDeclared(
        "f", span[0].isoformat(), span[1].isoformat(), clusters, "sale", "hq", applications=of, signoff=signoff
    ),
    spans, expressions, st.sampled_from([[], ["pos"], ["lottery", "pos"]]), signoffs,
)  # fmt: skip
laws = st.builds(
    lambda span, clusters, of, signoff: PlacementPolicyDeclared(
        "l", of, clusters, "Code 1", span[0], span[1], signoff=signoff
    ),
    spans, expressions, st.sampled_from([["pos"], ["lottery"], ["lottery", "pos"]]), signoffs,
)  # fmt: skip
said = st.one_of(freezes, laws, st.sampled_from([FreezeRemoved("f"), PlacementPolicyRemoved("l")]))


class LooseningHistory(RuleBasedStateMachine):
    """People declare, remove, relabel, approve and confirm; after each step everything that stands is tried out."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet()
        self.states: dict[str, str] = {}
        self.standing: list[Standing] = []
        self.approved: set[tuple[str, str]] = set()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def teardown(self) -> None:
        self.runner.close()

    def record(self, events: Sequence[tuple[str, Event]]) -> None:
        for stream, event in events:
            position = self.fleet.position + 1
            self.fleet.fold(Recorded(position, "e", stream, 1, type_name(event), NOW, "x", event, b""))

    @initialize()
    def begins(self) -> None:
        def bound(person: str, role: str) -> Event:
            return RoleBindingDeclared(f"{role}-{person}", role, [RoleSubject(user=person)])

        common: list[Event] = [
            RoleDeclared("team", [RoleRule(["apply", "delete"], ["*"])]),
            RoleDeclared("affecting", [RoleRule(["policy:affect"], ["Policy"])]),
            *(bound(person, "team") for person in (TEAM, POLICY)),
            bound(POLICY, "affecting"),
            *(SignOffDeclared(name, [SignOffStage(["release-manager"], 1)], 24) for name in ("one", "two")),
        ]
        self.record([("x-1", each) for each in common])
        for name, state in zip(STORES, ("tx", "tx", "ut"), strict=True):
            self._label(name, state)

    def _label(self, name: str, state: str) -> None:
        self.states[name] = state
        self.record([("store-1", StoreDeclared(name, "UTC", {"state": state}, [], [ClusterSpec(name)]))])

    @rule(name=st.sampled_from(STORES), state=st.sampled_from(["tx", "ut"]))
    def relabels(self, name: str, state: str) -> None:
        """Somebody who may affect policy relabels a cluster: it counts at once."""
        self._label(name, state)
        self.holds()

    @rule(event=said, author=st.sampled_from([TEAM, POLICY, "root"]))
    def says(self, event: Event, author: str) -> None:
        freeze = isinstance(event, FreezeDeclared | FreezeRemoved)
        known = self.fleet.policy.freezes if freeze else self.fleet.policy.laws
        before: Document | None = known.get(event.name)
        after = event if isinstance(event, FreezeDeclared | PlacementPolicyDeclared) else None
        if before == after:
            return
        stream = stream_id("freeze" if freeze else "placementpolicy", event.name)
        proposal = Proposal(events=[(stream, event)], expected={stream: self.fleet.position})
        principal = Principal(author, frozenset({"admin"} if author == "root" else ()))
        kind = "Freeze" if freeze else "PlacementPolicy"
        asking = Asking(
            actor=author, author=principal, sender=principal, verb="declare", kind=kind, by=By(author, f"t-{author}")
        )
        judgement = self.runner.run(judged(proposal, self.fleet, asking, NOW))
        events = proposal.under(judgement).events
        self._expected(before, after, author, [each for _, each in events])
        self.record(events)
        self.holds()

    def _expected(self, before: Document | None, after: Document | None, author: str, events: list[Event]) -> None:
        withheld = next((each for each in events if isinstance(each, LooseningWithheld)), None)
        same = [each for each in self.standing if before is not None and type(each.document) is type(before)]
        now = next((each for each in same if each.until is None), None)
        if now is not None and before is not None and weaker(before, after):
            needs = frozenset(each.document.signoff for each in same if each.document.signoff is not None)
            alone = author != TEAM
            if needs or not alone:
                assert withheld is not None, f"{author} loosened {before} to {after} at once"
                assert set(withheld.signoffs) >= needs
                now.until, now.needs, now.confirmed = withheld.id, needs, alone
            else:
                self.standing.remove(now)
        elif now is not None and withheld is not None:
            now.until, now.needs = withheld.id, frozenset(withheld.signoffs)
        elif now is not None:
            self.standing.remove(now)
        if after is not None:
            self.standing.append(Standing(after))

    @rule(data=st.data())
    def approves(self, data: st.DataObject) -> None:
        runs = sorted(name for name, each in self.fleet.policy.approvals.items() if each.state == "running")
        if not runs:
            return
        run = self.fleet.policy.approvals[data.draw(st.sampled_from(runs))]
        vote = replace(grant(voter("mia")), at=NOW)
        events: list[Event] = [*approvals.decide(vote, run)]
        completed = next(each for each in events if isinstance(each, ApprovalCompleted))
        self.approved.add((run.request.subject, run.request.signoff))
        self._counted([*events, *counting(self.fleet, completed, run.request)])

    @rule(data=st.data())
    def refuses(self, data: st.DataObject) -> None:
        runs = sorted(name for name, each in self.fleet.policy.approvals.items() if each.state == "running")
        if runs:
            run = self.fleet.policy.approvals[data.draw(st.sampled_from(runs))]
            self._counted([*approvals.decide(approvals.Refuse(voter("mia"), NOW, "no"), run)])

    @rule(data=st.data())
    def confirms(self, data: st.DataObject) -> None:
        if not self.fleet.policy.withheld:
            return
        change = data.draw(st.sampled_from(sorted(self.fleet.policy.withheld)))
        command = ConfirmLoosening(change, "right", By(POLICY), NOW)
        try:
            events = decide(command, self.fleet.policy.withheld[change], self.fleet)
        except Rejected:
            return
        for each in self.standing:
            each.confirmed |= each.until == change and any(isinstance(one, LooseningConfirmed) for one in events)
        self._counted(list(events))

    def _counted(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, LooseningConfirmed):
                for each in [each for each in self.standing if each.until == event.id]:
                    assert each.confirmed, "it counts though nobody who may affect policy said so"
                    assert all((event.id, name) in self.approved for name in each.needs), "a sign-off is missing"
                    self.standing.remove(each)
        self.record(placed(events))
        self.holds()

    def holds(self) -> None:
        """Check that everything that stands holds, by every way of asking, also after a snapshot."""
        again = Fleet()
        load_fleet(again, dump_fleet(self.fleet))
        for fleet in (self.fleet, again, self.fleet.fork()):
            gates = Gates(fleet)
            for at, application in product(INSTANTS, APPLICATIONS):
                frozen = gates.at(at).closed_by_freeze(application, first=BitMap()).clusters
                forbidden = fleet.forbidden(application, at)
                for each, name in product(self.standing, STORES):
                    if forbids(each.document, self.states[name], application, at):
                        on = frozen if isinstance(each.document, FreezeDeclared) else forbidden
                        assert name in {fleet.selection.name(one) for one in on}, (
                            f"{each.document} does not hold on {name} at {at}"
                        )


def test_no_history_weakens_a_freeze_or_a_law_without_its_approval() -> None:
    run_state_machine_as_test(
        LooseningHistory,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
