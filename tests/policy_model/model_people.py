"""Runs of sign-off and overrides, counted a second time: who may vote is judged at each vote, by sets of names.

The one rule: what the deciders said is never believed; only the votes in the log count, and only those that may.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from libs.contracts import (
    ApprovalCompleted,
    ApprovalGranted,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalSuperseded,
    ApprovalWithdrawn,
    CalendarDeclared,
    Event,
    FreezeDeclared,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    OverrideUsed,
    RoleBindingDeclared,
)
from tests.policy_model.model_world import Variant, World

BREAK_GLASS_MINUTES_MAX = 240
Guarding = FreezeDeclared | CalendarDeclared


class Violation(AssertionError):  # noqa: N818 - it states the fact
    """Something that must never be was recorded, or something that must be was not."""


def demand(holds: bool, sentence: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise Violation(sentence)


@dataclass
class Run:
    """One run: `votes` are (stage, person, who created the token) of those that may vote.

    `effect` is what each of its clusters would get, if it is about a change; `refused`: somebody ended it with a no.
    """

    request: ApprovalRequested
    clusters: set[str]
    content: dict[str, object]
    effect: dict[str, Variant | None]
    votes: list[tuple[int, str, str]] = field(default_factory=list)
    state: str = "running"
    completed: bool = False
    refused: bool = False

    def quorum(self) -> bool:
        """Whether each stage has its number of different people."""
        stages = enumerate(self.request.stages)
        return all(len({who for of, who, _ in self.votes if of == index}) >= stage.quorum for index, stage in stages)


@dataclass
class Opened:
    """One override: what it was asked for, and when it holds."""

    request: OverrideRequested
    clusters: set[str]
    begins: datetime | None = None
    ends: datetime | None = None
    revoked: bool = False
    document: Guarding | None = None


class People:
    """Runs and overrides by id."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bindings: list[RoleBindingDeclared] = []
        self.runs: dict[str, Run] = {}
        self.overrides: dict[str, Opened] = {}

    def fold(self, event: Event, at: datetime) -> None:
        """Take one event."""
        match event:
            case RoleBindingDeclared():
                self.bindings.append(event)
            case ApprovalRequested():
                self._requested(event, at)
            case ApprovalGranted():
                self._granted(event, at)
            case ApprovalCompleted():
                self._completed(event)
            case ApprovalWithdrawn(whole=False):
                run = self.runs[event.id]
                run.votes = [each for each in run.votes if each[1] != event.by.person]
            case ApprovalRefused() | ApprovalWithdrawn():
                self.runs[event.id].state, self.runs[event.id].refused = "over", True
            case ApprovalSuperseded():
                self.runs[event.id].state, self.runs[event.id].refused = "over", False
            case _:
                self._overridden(event, at)

    def _overridden(self, event: Event, at: datetime) -> None:
        match event:
            case OverrideRequested():
                self.overrides[event.id] = Opened(event, self.world.resolved(event.clusters))
                self._scope(self.overrides[event.id])
            case OverrideStarted():
                self._started(event, at)
            case OverrideRevoked():
                self.overrides[event.id].revoked = True
            case OverrideUsed():
                self._used(event, at)

    # --- votes -------------------------------------------------------------------------------------------------------

    def _requested(self, event: ApprovalRequested, at: datetime) -> None:
        clusters = self.world.resolved(event.clusters)
        content = self.world.content(event.subject) if event.kind == "change" else {}
        among = clusters if event.kind == "change" else set[str]()
        run = Run(event, clusters, content, {name: self.world.target(event.subject, name, at) for name in among})
        if event.kind == "change":
            known = [each for each in self.runs.values() if each.request.kind == "change"]
            known = [each for each in known if each.request.subject == event.subject]
            self._behind(event, content, known)
            for each in known:
                if each.state == "running":
                    each.state = "over"
        self.runs[event.id] = run

    def _behind(self, event: ApprovalRequested, content: dict[str, object], known: list[Run]) -> None:
        """Check that whoever wrote what nobody has approved yet is named."""
        done = [each for each in known if each.completed]
        before = done[-1].content if done else {}
        for part in {*content, *(name for name in before if name.startswith("configuration "))}:
            if before.get(part) == content.get(part):
                continue
            kind, _, rest = part.partition(" ")
            if kind == "release":
                author = self.world.authors["release", f"{event.subject}/{rest}"]
                demand(author in event.publishers, f"{author} published {part} and is not said to be behind it")
            else:
                author = self.world.authors[kind, rest or event.subject]
                demand(author in event.requesters, f"{author} asked for {part} and is not said to be behind it")

    def _granted(self, event: ApprovalGranted, at: datetime) -> None:
        run = self.runs[event.id]
        demand(event.digest == run.request.digest, f"a vote for {event.id} is about another digest")
        if run.state == "running" and self.may_vote(event, run, at):
            creator = "" if event.by.creator == event.by.person else event.by.creator
            run.votes.append((event.stage, event.by.person, creator))

    def _completed(self, event: ApprovalCompleted) -> None:
        run = self.runs[event.id]
        demand(run.state == "running", f"approval {event.id} was {run.state} and completed all the same")
        demand(event.digest == run.request.digest, f"approval {event.id} completed another digest")
        demand(run.quorum(), f"approval {event.id} completed without its quorum: {run.votes}")
        demand(set(event.people) == {who for _, who, _ in run.votes}, f"approval {event.id} names {event.people}")
        run.state, run.completed = "approved", True

    def may_vote(self, event: ApprovalGranted, run: Run, at: datetime) -> bool:
        """Whether a vote counts."""
        request, who, counted = run.request, event.by.person, set(run.request.count)
        creator = "" if event.by.creator == who else event.by.creator
        if at >= request.expires_at or (event.service_account and "service_accounts" not in counted):
            return False
        if event.role not in request.stages[event.stage].roles or not self._holds(event, run, at):
            return False
        asked = {*request.requesters, request.by.person} - {""}
        if "requester" not in counted and ({who, creator} & asked or who == request.by.creator):
            return False
        if "publisher" not in counted and {who, creator} & (set(request.publishers) - {""}):
            return False
        earlier = {other for stage, other, _ in run.votes if stage != event.stage}
        if "earlier_approvers" not in counted and who in earlier:
            return False
        return not any(who != other and (creator == other or made_by == who) for _, other, made_by in run.votes)

    def _holds(self, event: ApprovalGranted, run: Run, at: datetime) -> bool:
        """Whether the voter's bindings of the role together cover every cluster of the subject."""
        mine = [
            each
            for each in self.bindings
            if each.role == event.role
            and (each.expires is None or at < each.expires)
            and event.by.person in {one.service_account if event.service_account else one.user for one in each.subjects}
        ]
        if any(each.clusters is None for each in mine):
            return True
        covered = {name for name in run.clusters for each in mine if self.world.binds(each.clusters, name)}
        return bool(run.clusters) and run.clusters <= covered

    def over(self, application: str, name: str) -> list[Run]:
        """Return the runs about what an application is to be on a cluster, the newest first."""
        every = [each for each in self.runs.values() if each.request.kind == "change" and name in each.effect]
        return [each for each in every if each.request.subject == application][::-1]

    def approved(self, application: str, name: str, wanted: Variant | None) -> bool:
        """Whether what was approved last on a cluster is what is wanted there now."""
        done = [each for each in self.over(application, name) if each.state == "approved" and each.quorum()]
        return bool(done) and done[0].effect[name] == wanted

    def asked(self, application: str, name: str, wanted: Variant | None, at: datetime) -> bool:
        """Whether somebody is asked about what is wanted on a cluster, or said no to it."""
        return any(
            run.effect[name] == wanted and (run.refused or (run.state == "running" and at < run.request.expires_at))
            for run in self.over(application, name)
        )

    def said_no(self, application: str, name: str, wanted: Variant | None) -> bool:
        """Whether what is wanted on a cluster was refused."""
        return any(run.refused and run.effect[name] == wanted for run in self.over(application, name))

    # --- overrides ---------------------------------------------------------------------------------------------------

    def _scope(self, opened: Opened) -> None:
        asked, world = opened.request, self.world
        document = world.freezes[asked.freeze] if asked.freeze is not None else world.calendars[asked.calendar or ""]
        resolved = {
            name
            for name in world.clusters
            if world.selects(asked.expression, name) and world.selects(document.clusters, name)
        }
        opened.document = document
        demand(opened.clusters == resolved, f"override {asked.id} is of {opened.clusters}, not of {resolved}")

    def _started(self, event: OverrideStarted, at: datetime) -> None:
        opened = self.overrides[event.id]
        asked = opened.request
        demand(event.begins == at, f"override {event.id} begins at {event.begins}, not with its last grant at {at}")
        lasts = timedelta(minutes=asked.minutes)
        demand(event.ends - event.begins == lasts, f"override {event.id} does not last as long as was asked")
        if asked.break_glass:
            demand(asked.minutes <= BREAK_GLASS_MINUTES_MAX, f"the glass is broken for {asked.minutes} minutes")
        else:
            run = self.runs[asked.approval]
            granted = run.state == "approved" and run.quorum() and run.request.subject == event.id
            demand(granted and not opened.revoked, f"override {event.id} started without its approval")
            demand(run.clusters == opened.clusters, f"override {event.id} was approved on other clusters")
        opened.begins, opened.ends = event.begins, event.ends

    def opens(self, document: Guarding, application: str, name: str, at: datetime) -> bool:
        """Whether an override in force opens a freeze or a calendar for an application on a cluster.

        It is for the one that was looked at: with what that said, and not for another one of the same name.
        """
        kept = self.world.incarnations
        return any(
            each.document is not None
            and replace(each.document, labels={}) == replace(document, labels={})
            and kept[id(each.document)] == kept[id(document)]
            and name in each.clusters
            and (not each.request.applications or application in each.request.applications)
            and valid(each, at)
            for each in self.overrides.values()
        )

    def _used(self, event: OverrideUsed, at: datetime) -> None:
        opened = self.overrides[event.id]
        demand(valid(opened, at), f"override {event.id} was used at {at}, when it was not in force")
        beyond = self.world.resolved(event.clusters) - opened.clusters
        demand(not beyond, f"override {event.id} was used on {beyond}, which it does not cover")
        others = set(event.applications) - set(opened.request.applications)
        demand(not opened.request.applications or not others, f"override {event.id} was used for {others}")


def valid(opened: Opened, at: datetime) -> bool:
    """Whether an override is in force at an instant: its end is the first at which it is not."""
    if opened.revoked or opened.begins is None or opened.ends is None:
        return False
    return opened.begins <= at < opened.ends
