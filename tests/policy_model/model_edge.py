"""The edge under test: production folding, planning, deciding and rendering, with a clock that stands unless told.

What production says is recorded as the real log would record it: a plan whose instant has passed by the time of the
append is refused and made anew. The judge sees every event before anything else follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from pyroaring import BitMap

from libs.access.principals import Principal
from libs.contracts import (
    ApprovalCompleted,
    By,
    CalendarRemoved,
    ClusterSpec,
    ConfigurationDeclared,
    Event,
    FreezeRemoved,
    LooseningWithheld,
    OpeningHours,
    ReleasePublished,
    RoleBindingDeclared,
    RoleDeclared,
    RoleRule,
    RoleSubject,
    SignOffDeclared,
    SignOffStage,
    StoreDeclared,
    stream_id,
)
from libs.contracts.refusals import Rejected
from libs.fleet import packed
from services.policy.domain import approvals, overrides
from services.policy.domain.withheld import ConfirmLoosening
from services.policy.domain.withheld import decide as decide_withheld
from services.policy.recounting import voter_of
from services.rendering.deciding.composing import compose, holding_events, uses
from services.rendering.deciding.leaving import opening
from services.rendering.deciding.plan import Plan, plan
from services.rendering.deciding.requesting import awaited, outstanding
from services.rendering.domain.fuse import Answerable, ConfirmRemovals
from services.rendering.domain.fuse import decide as decide_removals
from services.rendering.model.decision import DecidedAdmission
from tests.policy_model.model_judge import Judge
from tests.policy_model.model_people import demand
from tests.policy_model.model_time import MICROSECOND, Hours
from tests.support.renderer import Renderer

START = datetime(2026, 3, 7, 12, tzinfo=UTC)
"""The day before America's clocks change."""
SECOND = timedelta(seconds=1)
NONE = timedelta(0)
Delay = timedelta | Literal["until then", "just before"]
"""What passes between a plan and its append: some time, all until the plan does not hold, or all but an instant."""
STEPS_MAX = 40
HOMES = {"pos-api": "pos", "kiosk": "pos", "lottery": "games"}
VERSIONS = ["1.0.0", "2.0.0", "3.0.0"]
BOT = "bot"
TOKENS = {
    "rita-1": By("rita", "rita-1"),
    "rita-2": By("rita", "rita-2"),
    "pat-1": By("pat", "pat-1"),
    "mia-1": By("mia", "mia-1"),
    "mia-2": By("mia", "mia-2", "mia"),
    "omar-1": By("omar", "omar-1"),
    "omar-by-mia": By("omar", "omar-2", "mia"),
    "omar-by-rita": By("omar", "omar-3", "rita"),
    "tess-1": By("tess", "tess-1"),
    "bot-1": By(BOT, "bot-1"),
    **{f"{person}-1": By(person, f"{person}-1") for person in ("vera", "walt", "yuri")},
}
"""Who has which tokens, and who made them for somebody else."""
PANEL = ("vera-1", "walt-1", "yuri-1")
EVERYWHERE = ("rita", "pat", "mia", "omar", "vera", "walt", "yuri")
PROCESSES = [
    SignOffDeclared("one-eye", [SignOffStage(["operations"], 1)], 24),
    SignOffDeclared("two-eyes", [SignOffStage(["operations", "managers"], 2)], 12),
    SignOffDeclared("two-steps", [SignOffStage(["managers"], 1), SignOffStage(["operations"], 2)], 48),
    SignOffDeclared("ours", [SignOffStage(["operations"], 1)], 24, ["requester", "publisher"]),
    SignOffDeclared("again", [SignOffStage(["managers"]), SignOffStage(["operations"])], 24, ["earlier_approvers"]),
    SignOffDeclared("robots", [SignOffStage(["operations"], 2)], 24, ["service_accounts"]),
]


def _role(name: str) -> Event:
    return RoleDeclared(name, [RoleRule(["get", "approve"], ["*"])])


def _bound(role: str, person: str, clusters: str | None = None) -> Event:
    subject = RoleSubject(service_account=person) if person == BOT else RoleSubject(user=person)
    return RoleBindingDeclared(f"{role}-{person}", role, [subject], clusters)


COMMON: tuple[Event, ...] = (
    _role("operations"),
    _role("managers"),
    *(_bound(role, person) for role in ("operations", "managers") for person in EVERYWHERE),
    _bound("operations", "tess", "state = tx"),
    _bound("operations", BOT),
    *PROCESSES,
)


@cache
def published() -> tuple[dict[tuple[str, str], ReleasePublished], dict[str, bytes]]:
    """Compile every release of these histories, once."""
    press = Renderer()
    wanted = [(name, home, version) for name, home in HOMES.items() for version in VERSIONS]
    found = {(name, version): press.release(name, home, version) for name, home, version in wanted}
    return found, press.blobs


def store(name: str, zone: str, hours: Hours, *, second: bool, **labels: str) -> StoreDeclared:
    """A store with one cluster, or two."""
    clusters = [ClusterSpec(name)] + ([ClusterSpec(f"{name}-b", {"size": "large"})] if second else [])
    open_at = [OpeningHours(list(days), opens, closes) for days, opens, closes in hours]
    return StoreDeclared(name, zone, dict(labels), open_at, clusters)


class Edge(Renderer):
    """A renderer whose every event is judged."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs.update(published()[1])
        self.judge = Judge()
        self.now = START
        self.said = 0
        self.sound = True
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def close(self) -> None:
        """Let go of the loop."""
        self._runner.close()

    def run(self, task: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end."""
        self._runner.run(task)

    def record(self, event: Event, stream: str = "fact-1", actor: str = "ana") -> DecidedAdmission | None:
        """Append an event at the instant that the clock shows, and have it judged."""
        self.now -= SECOND  # the renderer's own clock moves with every event; this one only when it is told to
        decision = super().record(event, stream, actor)
        with self._judging():
            self.judge.fold(self.history[-1])
        return decision

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Remember that a violation was found: what comes after it means nothing."""
        try:
            yield
        except BaseException:
            self.sound = False
            raise

    def say(self, *events: Event, actor: str = "rita") -> None:
        """Record facts of these streams' categories."""
        for event in events:
            self.record(event, stream_id(_category(event), "x"), actor)

    def fresh(self) -> str:
        """Return an id."""
        self.said += 1
        return f"id-{self.said}"

    # --- rendering ---------------------------------------------------------------------------------------------------

    def settle_through(self, delay: Delay = NONE) -> None:
        """Render until nothing is left to do; the delay passes between the first plan and its append."""
        with self._judging():
            self.run(self._settle(delay))
            self._judge_what_is_left()

    def _held(self) -> dict[str, set[str]]:
        """Return what the fuse keeps back."""
        hold = self.last.hold
        kept = {} if hold is None else {key.split("/")[1]: packed(on) for key, on in hold.applications.items()}
        return {name: self.judge.world.resolved(on) for name, on in kept.items()}

    def _judge_what_is_left(self) -> None:
        self.judge.settled(self._held(), self.now)
        self._compare()

    async def _settle(self, delay: Delay) -> None:
        before = self.judge.decisions
        for _ in range(STEPS_MAX):
            if not await self._one(delay):
                return
            if self.last.now != self.now or self.judge.decisions > before:
                delay = NONE
        raise AssertionError("rendering does not settle")

    async def _one(self, delay: Delay) -> bool:
        """Do as the reconciler does; return whether there may be more to do."""
        planned = self.last = await plan(self.model, self.now)
        hold = planned.hold
        if hold is not None and self.model.fuse.held_plan != hold.plan:
            for part in holding_events("main", hold):
                self.record(part, "hold-main", "resedge/rendering")
        asked = outstanding(self.model, planned)
        for each in asked:
            self.record(each.event, each.stream, "resedge/rendering")
        if asked:
            return True  # what was just appended is among what a decision is guarded by
        if planned.empty and not self.model.must_commit:
            return False
        if (begins := opening(self.model)) is not None:
            self.record(begins, "layout-main", "resedge/rendering")
            return True
        self._pass(planned, delay)
        if planned.until is not None and self.now >= planned.until:
            return True  # the log answers Expired
        await self._decide(planned)
        return True

    def _pass(self, planned: Plan, delay: Delay) -> None:
        if isinstance(delay, timedelta):
            self.now += delay
        elif planned.until is not None:
            self.now = max(self.now, planned.until - (NONE if delay == "until then" else MICROSECOND))

    async def _decide(self, planned: Plan) -> None:
        parts = compose(self.model, planned, 0)
        used = uses(self.model, planned, parts[0].decision)
        decision = [self.record(part, "branch-main", "resedge/rendering") for part in parts][-1]
        assert decision is not None
        for stream, event in used:
            self.record(event, stream, "resedge/rendering")
        await self.carry_out(decision)

    def _compare(self) -> None:
        """Check that what is rendered is what the judge took from the log."""
        for application, name in self.judge.places():
            key = f"{HOMES[application]}/{application}"
            found = self.version_on(key, name) if key in self.model.placements.by_key else None
            variant = self.judge.admitted.get((application, name))
            known = None if variant is None else variant[0]
            demand(found == known, f"{application} on {name} is rendered as {found}, but was admitted as {known}")
            laws = [law.name for law in self.judge.world.laws_on(application, name, self.now)]
            demand(found is None or not laws or self._late(application, name), f"{laws} forbid {application} on {name}")

    def _late(self, application: str, name: str) -> bool:
        """Whether what law forbids now still waits to be removed."""
        among = self.model.placements.by_key[f"{HOMES[application]}/{application}"].pending
        ordinal = self.model.fleet.selection.ordinal_ever(name)
        return ordinal is not None and ordinal in among

    # --- the end -----------------------------------------------------------------------------------------------------

    def open_everything(self) -> None:
        """Take back what closes gates, approve and confirm all else: then nothing may be left to do."""
        facts = self.judge.world
        self.now += timedelta(hours=1)
        self.say(*map(FreezeRemoved, [*facts.freezes]), *map(CalendarRemoved, [*facts.calendars]))
        self.say(ConfigurationDeclared("layer-2", "/c/*", [], None, 2, {"level": "last"}), actor="zoe")
        for change in [*facts.withheld]:
            self.confirm_loosening(change)
        for _ in range(STEPS_MAX):
            before = len(self.history)
            self.settle_through()
            for run in [*self.model.fleet.policy.approvals]:
                self.votes(run, PANEL)
            self.confirm_removals()
            if len(self.history) == before:
                break
        with self._judging():
            hold, runs = self.last.hold, self.judge.people.runs.values()
            said_no = hold is not None and any(
                each.request.subject == hold.plan for each in runs if each.state == "over"
            )
            self.judge.done(self._held() if said_no else {}, self.now)

    # --- people ------------------------------------------------------------------------------------------------------

    def attempt(self, decide: Callable[[], Sequence[Event]], actor: str) -> bool:
        """Record what a decider says; a refusal is an answer too."""
        try:
            events = decide()
        except Rejected:
            return False
        for event in events:
            self.record(event, stream_id(_category(event), getattr(event, "id", "x")), actor)
        return bool(events)

    def vote(self, run: str, token: str, answer: str) -> bool:
        """Let somebody say something about a run, through the real decider."""
        by, facts = TOKENS[token], self.model.fleet
        principal = Principal(by.person, frozenset(), token_id=by.token, service_account=by.person == BOT)
        state = facts.policy.approvals[run]
        voter = voter_of(facts, principal, by, state, self.now)
        command: approvals.Command
        match answer:
            case "grant":
                command = approvals.Grant(voter, self.now, "looks right")
            case "refuse":
                command = approvals.Refuse(voter, self.now, "looks wrong")
            case _:
                command = approvals.Withdraw(voter, self.now, "on second thoughts")

        def decided() -> Sequence[Event]:
            events = approvals.decide(command, state)
            completed = next((each for each in events if isinstance(each, ApprovalCompleted)), None)
            override = facts.policy.overrides.get(state.request.subject)
            if completed is None or override is None:
                return events
            return [*events, *overrides.started(completed, state.request, override, self.now)]

        return self.attempt(decided, by.person)

    def votes(self, run: str, tokens: Iterable[str]) -> None:
        """Let some people say yes, one after the other."""
        for token in tokens if run in self.model.fleet.policy.approvals else ():
            self.vote(run, token, "grant")

    def request(self, kind: str, name: str, expression: str, of: Sequence[str], minutes: float, token: str) -> str:
        """Ask for an override, through the real decider; mia breaks the glass. Return the run that has to grant it."""
        command = overrides.RequestOverride(
            id=self.fresh(),
            approval=self.fresh(),
            kind=kind,
            name=name,
            expression=expression,
            minutes=minutes,
            reason="a till is broken",
            by=TOKENS[token],
            at=self.now,
            applications=tuple(of),
            break_glass=token == "mia-1",
        )
        self.attempt(lambda: overrides.decide(command, self.model.fleet), TOKENS[token].person)
        return command.approval

    def revoke(self, override: str) -> None:
        """Revoke an override."""
        command = overrides.RevokeOverride(override, "not needed", TOKENS["omar-1"], self.now)
        self.attempt(lambda: overrides.decide(command, self.model.fleet), "omar")

    def withhold(self, names: Iterable[str]) -> None:
        """Say that what follows opens nothing on these clusters yet."""
        found = [self.model.fleet.selection.ordinal(name) for name in names]
        clusters = packed(BitMap([each for each in found if each is not None]))
        self.record(LooseningWithheld(self.fresh(), clusters, ["store-x"], "labels"), "withheld-x", "rita")

    def confirm_loosening(self, change: str) -> None:
        """Let a withheld change count."""
        known = self.model.fleet.policy.withheld.get(change)
        self.attempt(
            lambda: decide_withheld(
                ConfirmLoosening(change, "right", TOKENS["omar-1"], self.now), known, self.model.fleet
            ),
            "omar",
        )

    def confirm_removals(self) -> None:
        """Let the held plan go, as far as its processes let it."""
        hold = self.last.hold
        if hold is None:
            return
        fuse = self.model.fuse
        state = Answerable(fuse.held_plan, fuse.confirmed, tuple(awaited(self.model, hold)))
        try:
            events = decide_removals(ConfirmRemovals("main", hold.plan, "meant"), state)
        except Rejected:
            return
        for event in events:
            self.record(event, "hold-main", "omar")


def _category(event: Event) -> str:
    name = type(event).__name__
    words = {
        "ReleaseChoicesSet": "choices",
        "ReleasePublished": "release",
        "PlacementPolicyDeclared": "placementpolicy",
        "PlacementPolicyRemoved": "placementpolicy",
        "LooseningConfirmed": "withheld",
    }
    if name in words:
        return words[name]
    for kind in ("RoleBinding", "Role", "SignOff", "Store", "Group", "Namespace", "Application", "Configuration"):
        if name.startswith(kind):
            return kind.lower()
    for kind in ("Calendar", "Freeze", "Approval", "Override"):
        if name.startswith(kind):
            return kind.lower()
    raise AssertionError(name)
