"""Random histories: stores, groups, content, calendars, freezes, law, people, and a clock that likes boundaries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    CalendarDeclared,
    CalendarRemoved,
    CalendarWindow,
    ClosedWindow,
    ConfigurationDeclared,
    ConfigurationRemoved,
    Event,
    Exclusion,
    FreezeDeclared,
    FreezeRemoved,
    GroupDeclared,
    GroupRemoved,
    NamespaceDeclared,
    PlacementPolicyDeclared,
    PlacementPolicyRemoved,
    RecurringWindow,
    ReleaseChoice,
    ReleaseChoicesSet,
    StoreRemoved,
    WeeklyWindow,
)
from tests.policy_model.model_edge import (
    COMMON,
    HOMES,
    NONE,
    PANEL,
    PROCESSES,
    TOKENS,
    VERSIONS,
    Delay,
    Edge,
    published,
    store,
)
from tests.policy_model.model_moments import OFFSETS, ZONES, Moment, move
from tests.policy_model.model_time import DAY, DAYS, Hours, shown
from tests.policy_model.model_world import EXPRESSIONS, GROUP_EXPRESSIONS, STORES

APPLICATIONS = list(HOMES)
AUTHORS = ["rita", "pat", "omar"]
PATHS = ["/geo/west", "/geo/west/coast", "/geo/east"]
HOURS: list[Hours] = [
    (),
    ((DAYS, "06:00", "22:00"),),
    ((DAYS[:5], "07:00", "23:00"), (DAYS[5:], "20:00", "02:00")),
    ((DAYS, "00:00", "24:00"),),
]
WINDOWS = [
    CalendarWindow(weekly=WeeklyWindow(list(DAYS), "01:00", "05:00")),
    CalendarWindow(weekly=WeeklyWindow(["sat", "sun"], "22:00", "02:30")),
    CalendarWindow(weekly=WeeklyWindow(list(DAYS), "13:00", "24:00")),
    CalendarWindow(recurring=RecurringWindow("FREQ=WEEKLY;BYDAY=SU", "00:30", 240)),
    CalendarWindow(recurring=RecurringWindow("FREQ=DAILY", "02:30", 90)),
    CalendarWindow(closed=ClosedWindow(30, 60)),
]
MINUTES = [30, 60, 240, 1_440]
REMOVED = [CalendarRemoved, FreezeRemoved, PlacementPolicyRemoved]
DELAYS: list[Delay] = [
    timedelta(0), timedelta(0), timedelta(minutes=40), timedelta(hours=5), "until then", "just before"
]  # fmt: skip

delays = st.sampled_from(DELAYS)
moments = st.tuples(st.integers(0, 2), st.sampled_from(OFFSETS))
perhaps = st.one_of(st.none(), moments)
zones, hours = st.sampled_from(ZONES), st.sampled_from(HOURS)
expressions = st.sampled_from(list(EXPRESSIONS))
applications = st.sampled_from(APPLICATIONS)
some_applications = st.sampled_from([[], [], ["pos-api"], ["lottery"], ["pos-api", "kiosk"]])
tokens = st.sampled_from(list(TOKENS))
voters = st.one_of(st.just(list(PANEL)), st.lists(tokens, min_size=1, max_size=4))
windows = st.lists(st.sampled_from(WINDOWS), min_size=1, max_size=2)
wide = st.one_of(st.just("/c/*"), expressions)
processes = st.sampled_from([None, *(each.name for each in PROCESSES)])
signoffs = st.sampled_from([each.name for each in PROCESSES])
calm = st.integers(0, 3).map(bool)
versions = st.sampled_from(VERSIONS)
labels = st.tuples(st.sampled_from(["ut", "tx"]), st.sampled_from(["small", "large"]))


class PolicyHistory(RuleBasedStateMachine):
    """One history; `settle` renders after what happened, unless more happens first."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = Edge()

    def teardown(self) -> None:
        try:
            if self.edge.sound:
                self.edge.open_everything()
        finally:
            self.edge.close()

    @initialize(drawn=st.lists(st.tuples(zones, hours, labels), min_size=2, max_size=8))
    def begins(self, drawn: list[Any]) -> None:
        self.edge.say(*COMMON)
        self.edge.say(GroupDeclared("/geo/west", expression="state = ut"))
        for name, (zone, hours, (state, size)) in zip(STORES, drawn, strict=False):
            self.edge.say(store(name, zone, hours, second=size == "large", state=state, size=size))
        self.edge.say(NamespaceDeclared("pos", "/c/*"), NamespaceDeclared("games", "/c/*"))
        for name, home in HOMES.items():
            self.edge.say(ApplicationDeclared(name, home))
            self.edge.say(*(published()[0][name, version] for version in VERSIONS[:2]), actor="pat")
            self.edge.say(ReleaseChoicesSet(name, [ReleaseChoice("/c/*", "1.0.0")]))
        self.edge.settle_through()

    def settle(self, calm: bool, delay: Delay = NONE) -> None:
        if calm:
            self.edge.settle_through(delay)

    def near(self, moment: Moment | None) -> None:
        if moment is not None:
            move(self.edge, moment)

    # --- what exists -------------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(STORES), zone=zones, hours=hours, labels=labels,
        withheld=st.booleans(), calm=calm,
    )  # fmt: skip
    def declares_a_store(
        self, name: str, zone: str, hours: Hours, labels: tuple[str, str], withheld: bool, calm: bool
    ) -> None:
        state, size = labels
        if withheld and name in self.edge.judge.world.clusters:
            self.edge.withhold([name, f"{name}-b"])
        self.edge.say(store(name, zone, hours, second=size == "large", state=state, size=size))
        self.settle(calm)

    @rule(name=st.sampled_from(STORES[:5]), calm=calm)
    def removes_a_store(self, name: str, calm: bool) -> None:
        self.edge.say(StoreRemoved(name))
        self.settle(calm)

    @rule(
        path=st.sampled_from(PATHS), expression=st.sampled_from([None, *GROUP_EXPRESSIONS]),
        listed=st.lists(st.sampled_from(STORES), max_size=2), gone=st.booleans(), withheld=st.booleans(), calm=calm,
    )  # fmt: skip
    def regroups(
        self, path: str, expression: str | None, listed: list[str], gone: bool, withheld: bool, calm: bool
    ) -> None:
        if withheld:
            self.edge.withhold(list(self.edge.judge.world.clusters)[:3])
        self.edge.say(GroupRemoved(path) if gone else GroupDeclared(path, listed, listed[:1], expression))
        self.settle(calm)

    # --- content -----------------------------------------------------------------------------------------------------

    @rule(
        application=applications,
        choices=st.lists(st.tuples(expressions, versions), max_size=2, unique_by=lambda each: each[0]),
        everywhere=st.booleans(), version=versions, author=st.sampled_from(AUTHORS), calm=calm,
        delay=delays, moment=perhaps,
    )  # fmt: skip
    def chooses(
        self,
        *,
        application: str,
        choices: list[tuple[str, str]],
        everywhere: bool,
        version: str,
        author: str,
        calm: bool,
        delay: Delay,
        moment: Moment | None,
    ) -> None:
        self.near(moment)
        first = [("/c/*", version)] if everywhere else []
        wanted = [*first, *(each for each in choices if each[0] != "/c/*" or not everywhere)]
        known = self.edge.judge.world.releases
        said = [ReleaseChoice(*each) for each in wanted if (application, each[1]) in known]
        self.edge.say(ReleaseChoicesSet(application, said), actor=author)
        self.settle(calm, delay)

    @rule(application=applications, author=st.sampled_from(AUTHORS), calm=calm)
    def publishes(self, application: str, author: str, calm: bool) -> None:
        if (application, "3.0.0") not in self.edge.judge.world.releases:
            self.edge.say(published()[0][application, "3.0.0"], actor=author)
        self.settle(calm)

    @rule(
        place=st.integers(0, 2), expression=expressions, of=some_applications,
        level=st.sampled_from(["debug", "warn", None]), author=st.sampled_from(AUTHORS), calm=calm, moment=perhaps,
    )  # fmt: skip
    def configures(
        self,
        *,
        place: int,
        expression: str,
        of: list[str],
        level: str | None,
        author: str,
        calm: bool,
        moment: Moment | None,
    ) -> None:
        self.near(moment)
        name = f"layer-{place}"
        layer: Event = ConfigurationRemoved(name)
        if level is not None:
            layer = ConfigurationDeclared(name, expression, of, None, place, {"level": level})
        self.edge.say(layer, actor=author)
        self.settle(calm)

    @rule(
        application=applications, expression=st.one_of(st.none(), expressions), process=processes,
        gone=st.integers(0, 7), calm=calm,
    )  # fmt: skip
    def redeclares_an_application(
        self, application: str, expression: str | None, process: str | None, gone: int, calm: bool
    ) -> None:
        declared = ApplicationDeclared(application, HOMES[application], expression, signoff=process)
        self.edge.say(ApplicationRemoved(application) if gone == 0 else declared)
        self.settle(calm)

    # --- policy ------------------------------------------------------------------------------------------------------

    @rule(
        place=st.integers(0, 2), windows=windows, clusters=expressions,
        everywhere=st.booleans(), of=some_applications, cutoff=st.sampled_from([0, 0, 15]), excluded=st.integers(0, 4),
        process=signoffs, require=st.booleans(), calm=calm,
    )  # fmt: skip
    def declares_a_calendar(
        self,
        *,
        place: int,
        windows: list[CalendarWindow],
        clusters: str,
        everywhere: bool,
        of: list[str],
        cutoff: int,
        excluded: int,
        process: str,
        require: bool,
        calm: bool,
    ) -> None:
        day = (self.edge.now + DAY).date()
        exclude = [Exclusion(day.isoformat(), (day + DAY).isoformat())] if excluded == 0 else []
        binds = None if of and everywhere else clusters
        said = CalendarDeclared(f"calendar-{place}", windows, exclude, binds, of, cutoff, process, require=require)
        self.edge.say(said)
        self.settle(calm)

    @rule(
        place=st.integers(0, 1), begins=st.integers(-4, 6), lasts=st.integers(1, 30), clusters=expressions,
        local=st.booleans(), of=some_applications, new=st.sampled_from(["pass", "hold"]), process=signoffs, calm=calm,
    )  # fmt: skip
    def declares_a_freeze(
        self,
        *,
        place: int,
        begins: int,
        lasts: int,
        clusters: str,
        local: bool,
        of: list[str],
        new: str,
        process: str,
        calm: bool,
    ) -> None:
        hour = self.edge.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=begins)
        edges = [hour, hour + timedelta(hours=lasts)]
        shape = "%Y-%m-%dT%H:%M:%S" if local else "%Y-%m-%dT%H:%M:%SZ"
        said = [(shown(ZONES[0], each) if local else each).strftime(shape) for each in edges]
        name, (first, last) = f"freeze-{place}", said
        self.edge.say(FreezeDeclared(name, first, last, clusters, "stocktaking", "operations", local, of, process, new))
        self.settle(calm)

    @rule(
        place=st.integers(0, 1), of=some_applications, clusters=expressions, begins=st.sampled_from([None, -3, 2, 20]),
        lasts=st.sampled_from([None, 4, 40]), immediate=st.booleans(), calm=calm,
    )  # fmt: skip
    def declares_law(
        self,
        place: int,
        of: list[str],
        clusters: str,
        begins: int | None,
        lasts: int | None,
        immediate: bool,
        calm: bool,
    ) -> None:
        first = None if begins is None else self.edge.now + timedelta(hours=begins)
        last = None if lasts is None else self.edge.now + timedelta(hours=lasts)
        enforcement = "immediate" if immediate else "gated"
        law = PlacementPolicyDeclared(f"law-{place}", of or ["lottery"], clusters, "Code", first, last, enforcement)
        self.edge.say(law)
        self.settle(calm)

    @rule(kind=st.sampled_from(REMOVED), place=st.integers(0, 2), calm=calm)
    def takes_policy_back(self, kind: Any, place: int, calm: bool) -> None:
        word = {CalendarRemoved: "calendar", FreezeRemoved: "freeze", PlacementPolicyRemoved: "law"}[kind]
        self.edge.say(kind(f"{word}-{place}"))
        self.settle(calm)

    # --- people ------------------------------------------------------------------------------------------------------

    def _open_runs(self) -> list[str]:
        runs = self.edge.model.fleet.policy.approvals.items()
        return [name for name, run in runs if run.running(self.edge.now)]

    @rule(nth=st.integers(0, 3), tokens=voters, calm=calm)
    def people_vote(self, nth: int, tokens: list[str], calm: bool) -> None:
        runs = self._open_runs()
        if runs:
            self.edge.votes(runs[nth % len(runs)], tokens)
        self.settle(calm)

    @rule(
        nth=st.integers(0, 3),
        token=tokens,
        answer=st.sampled_from(["refuse", "withdraw"]),
        calm=calm,
    )
    def somebody_says_no(self, nth: int, token: str, answer: str, calm: bool) -> None:
        runs = self._open_runs()
        if runs:
            self.edge.vote(runs[nth % len(runs)], token, answer)
        self.settle(calm)

    @rule(
        place=st.integers(0, 4), expression=wide, of=some_applications, minutes=st.sampled_from(MINUTES),
        token=st.sampled_from(["mia-1", "mia-1", "rita-1", "omar-by-mia"]), voting=voters, calm=calm,
    )  # fmt: skip
    def asks_for_an_override(
        self, *, place: int, expression: str, of: list[str], minutes: int, token: str, voting: list[str], calm: bool
    ) -> None:
        policy = self.edge.judge.world
        known = [("freeze", each) for each in policy.freezes] + [("calendar", each) for each in policy.calendars]
        if known:
            run = self.edge.request(*known[place % len(known)], expression, of, minutes, token)
            self.edge.votes(run, voting)
        self.settle(calm)

    @rule(nth=st.integers(0, 3), calm=calm)
    def revokes_an_override(self, nth: int, calm: bool) -> None:
        known = list(self.edge.model.fleet.policy.overrides)
        if known:
            self.edge.revoke(known[nth % len(known)])
        self.settle(calm)

    @rule(nth=st.integers(0, 1), calm=calm)
    def confirms_what_is_kept_back(self, nth: int, calm: bool) -> None:
        self.edge.confirm_removals()
        changes = list(self.edge.model.fleet.policy.withheld)
        if changes:
            self.edge.confirm_loosening(changes[nth % len(changes)])
        self.settle(calm)

    # --- time --------------------------------------------------------------------------------------------------------

    @rule(moment=moments, calm=calm)
    def the_clock_nears_a_boundary(self, moment: Moment, calm: bool) -> None:
        move(self.edge, moment)
        self.settle(calm)

    @rule(minutes=st.sampled_from([1, 30, 240, 1_500]), delay=delays)
    def time_passes(self, minutes: int, delay: Delay) -> None:
        self.edge.now += timedelta(minutes=minutes)
        self.edge.settle_through(delay)

    @rule()
    def rendering_restarts(self) -> None:
        self.edge.restart()
        self.edge.settle_through()
