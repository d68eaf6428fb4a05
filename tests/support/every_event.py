"""An event of every published type, each where it may happen: CASES, on the fleet that `frozen` makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pyroaring import BitMap

from libs import contracts as c
from libs.contracts import Event
from libs.contracts.rendering import AdmissionDecided, AdmissionWritten
from libs.eventlog.events import EpochStarted
from libs.fleet import packed
from tests.support.renderer import Renderer, application, choose, namespace, store

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
BY = c.By("rita", "t1", "", "127.0.0.1")
FREEZE = c.FreezeDeclared(
    "all", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "/c/*", "inventory week", "operations", new_clusters="hold"
)
ALL = packed(BitMap(range(4)))
STAGES = [c.SignOffStage(["release-manager"])]
LAW = c.PlacementPolicyDeclared("law", ["pos-api"], "/c/store-000", "Code 1")
NIGHT = c.CalendarDeclared(
    "night", [c.CalendarWindow(weekly=c.WeeklyWindow(["mon"], "00:00", "24:00"))], clusters="/c/*"
)
OVERRIDE = c.OverrideRequested("o1", "d", ALL, "/c/*", 60.0, "r", BY, calendar="night")
RUN = c.ApprovalRequested("a1", "change", "pos-api", "d", "eyes", STAGES, NOW + timedelta(days=9), ALL)
WITHHELD = c.LooseningWithheld("w1", ALL)

Case = Callable[[Renderer], Sequence[Event]]


def only(*events: Event) -> Case:
    return lambda _renderer: events


def after(*events: Event) -> Case:
    """A case of several events, the last of which is the one that the case is about."""
    return lambda _renderer: events


CASES: Mapping[type, Case] = {
    c.StoreDeclared: lambda _: [store("store-new", size="small"), store("store-000", zone="Asia/Tokyo", size="large")],
    c.StoreRemoved: only(c.StoreRemoved("store-001")),
    c.GroupDeclared: only(c.GroupDeclared("/geo/us", ["store-000"])),
    c.GroupRemoved: only(c.GroupRemoved("/geo/eu")),
    c.NamespaceDeclared: only(namespace("pos", "/c/store-000", team="pos")),
    c.NamespaceRemoved: only(c.NamespaceRemoved("pos")),
    c.ApplicationDeclared: only(application("pos-api", "pos", "/c/store-000")),
    c.ApplicationRemoved: only(c.ApplicationRemoved("pos-api"), c.ReleaseChoicesSet("pos-api", [])),
    c.ConfigurationDeclared: only(c.ConfigurationDeclared("loud", "/c/*", ["pos-api"], values={"level": "loud"})),
    c.ConfigurationRemoved: only(c.ConfigurationRemoved("quiet")),
    c.ReleasePublished: lambda renderer: [
        renderer.release("pos-api", "pos", "2.0.0"),
        choose("pos-api", ("/c/*", "2.0.0")),
    ],
    c.ReleaseChoicesSet: only(choose("pos-api", ("/c/store-000", "1.0.0"))),
    c.CalendarDeclared: only(NIGHT, choose("pos-api")),
    c.CalendarRemoved: after(NIGHT, choose("pos-api"), c.CalendarRemoved("night")),
    c.FreezeDeclared: only(replace(FREEZE, name="more", clusters="/c/store-000"), choose("pos-api")),
    c.FreezeRemoved: after(replace(FREEZE, name="more"), choose("pos-api"), c.FreezeRemoved("more")),
    c.PlacementPolicyDeclared: only(LAW),
    c.PlacementPolicyRemoved: after(LAW, c.PlacementPolicyRemoved("law")),
    c.SignOffDeclared: only(c.SignOffDeclared("eyes", STAGES), choose("pos-api")),
    c.SignOffRemoved: after(c.SignOffDeclared("eyes", STAGES), choose("pos-api"), c.SignOffRemoved("eyes")),
    c.ApprovalRequested: only(choose("pos-api"), RUN),
    c.ApprovalGranted: only(choose("pos-api"), RUN, c.ApprovalGranted("a1", "d", 0, "release-manager", BY)),
    c.ApprovalCompleted: only(choose("pos-api"), RUN, c.ApprovalCompleted("a1", "d", ["omar"])),
    c.ApprovalRefused: only(choose("pos-api"), RUN, c.ApprovalRefused("a1", "d", "no", BY)),
    c.ApprovalWithdrawn: only(choose("pos-api"), RUN, c.ApprovalWithdrawn("a1", whole=True, reason="no", by=BY)),
    c.ApprovalSuperseded: only(choose("pos-api"), RUN, c.ApprovalSuperseded("a1", "others")),
    c.OverrideRequested: only(choose("pos-api"), OVERRIDE, replace(OVERRIDE, id="o2", calendar=None, freeze="all")),
    # Of another gate, or of another freeze: what is overridden is not what is closed.
    c.OverrideStarted: only(NIGHT, choose("pos-api"), OVERRIDE, c.OverrideStarted("o1", NOW, NOW + timedelta(days=9))),
    c.OverrideRevoked: only(choose("pos-api"), OVERRIDE, c.OverrideRevoked("o1", "no", BY)),
    c.OverrideUsed: only(choose("pos-api"), OVERRIDE, c.OverrideUsed("o1", "decision", ALL)),
    c.RoleDeclared: only(c.RoleDeclared("admin-too", [c.RoleRule(["*"], ["*"])]), choose("pos-api")),
    c.RoleRemoved: only(c.RoleRemoved("admin-too"), choose("pos-api")),
    c.RoleBindingDeclared: only(c.RoleBindingDeclared("b", "admin", [c.RoleSubject("ana")]), choose("pos-api")),
    c.RoleBindingRemoved: only(c.RoleBindingRemoved("b"), choose("pos-api")),
    c.TokenIssued: only(c.TokenIssued("t1", "ana", "0" * 64, NOW + timedelta(days=9), BY), choose("pos-api")),
    c.TokenRevoked: only(c.TokenRevoked("t1", "lost", BY), choose("pos-api")),
    c.AccessDenied: only(c.AccessDenied("ana", "/v1/stores", 1, NOW, NOW), choose("pos-api")),
    c.LooseningWithheld: only(choose("pos-api"), WITHHELD),
    c.LooseningConfirmed: only(choose("pos-api"), WITHHELD, c.LooseningConfirmed("w1", "fine", BY)),
    c.RemovalsHeld: only(choose("pos-api"), c.RemovalsHeld("main", "plan", 4, 4, 0, "", {"pos/pos-api": ALL})),
    c.RemovalsConfirmed: only(
        choose("pos-api"),
        c.RemovalsHeld("main", "plan", 4, 4, 0, "", {"pos/pos-api": ALL}),
        c.RemovalsConfirmed("main", "plan", "go"),
    ),
    c.LayoutChosen: only(c.LayoutChosen("main", 3, "a test")),
    c.GraceEnded: only(c.StoreRemoved("store-001"), c.GraceEnded("main", ALL, "gone for good")),
    c.ConfirmationAccepted: only(choose("pos-api"), c.ConfirmationAccepted("main", "plan")),
    c.ConfirmationLapsed: only(choose("pos-api"), c.ConfirmationLapsed("main", "plan")),
    c.ForeignCommitFound: only(choose("pos-api"), c.ForeignCommitFound("main", "a" * 40, "b" * 40)),
    c.WritingRestored: only(choose("pos-api"), c.WritingRestored("main", "b" * 40, "mine")),
    c.SourceDeclared: only(
        c.SourceDeclared("cmdb", "https://cmdb", "cmdb", ["dev.resedge.inbox.store.declared"]), choose("pos-api")
    ),
    c.SourceRemoved: only(c.SourceRemoved("cmdb"), choose("pos-api")),
    c.EventNoted: only(c.EventNoted("https://cmdb", "1", "dev.resedge.inbox.store.declared"), choose("pos-api")),
    c.EventRefused: only(c.EventRefused("l1", "cmdb", "1", "x", "unknown", "no", "body"), choose("pos-api")),
    c.ConsumerHalted: only(c.ConsumerHalted("l1", "rendering", "rendering", 1, "x", "no"), choose("pos-api")),
    c.LetterRetried: only(c.LetterRetried("l1", "again"), choose("pos-api")),
    c.LetterSkipped: only(c.LetterSkipped("l1", "never mind", "rendering", 1), choose("pos-api")),
    c.LetterSettled: only(c.LetterSettled("l1", "taken"), choose("pos-api")),
    EpochStarted: only(EpochStarted("e2", "e1", "restored"), choose("pos-api")),
}
OURS = {AdmissionDecided, AdmissionWritten}
"""What rendering itself says of the tree: the gates have spoken before, and only the holder of its lease may say it."""


async def frozen() -> Renderer:
    renderer = Renderer()
    renderer.facts(*(store(f"store-{number:03}", size="small") for number in range(4)))
    renderer.facts(c.GroupDeclared("/geo/eu", ["store-000"]))
    renderer.facts(namespace("pos"), application("pos-api", "pos"), renderer.release("pos-api", "pos", "1.0.0"))
    renderer.facts(c.ConfigurationDeclared("quiet", "/c/*", ["pos-api"], values={"level": "quiet"}))
    renderer.facts(choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    renderer.facts(FREEZE)
    await renderer.settle()
    return renderer
