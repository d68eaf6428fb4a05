"""A renderer without a log's database: facts go in as events, decisions and commit ids come out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from libs.contracts import (
    AdmissionWritten,
    ApplicationDeclared,
    ClusterSpec,
    Event,
    NamespaceDeclared,
    ObjectRef,
    Recorded,
    ReleaseChoice,
    ReleaseChoicesSet,
    ReleasePublished,
    StoreDeclared,
    type_name,
)
from libs.gittree import IdSink, ObjectSink
from libs.templates import compile_template
from services.rendering.deciding.composing import compose, holding_events, uses
from services.rendering.deciding.leaving import opening
from services.rendering.deciding.plan import Plan, plan
from services.rendering.deciding.requesting import outstanding
from services.rendering.model import Model
from services.rendering.model.decision import DecidedAdmission
from services.rendering.snapshot import dump_model, load_model
from services.rendering.timing import AT_ONCE, Timing
from services.rendering.writing.materialising import materialise
from services.rendering.writing.message import commit_of

START = datetime(2026, 1, 1, tzinfo=UTC)
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data:
  store: "${edge.store.name}"
  zone: ${edge.store.timezone}
  size: ${edge.labels.size:-unknown}
  level: ${edge.config.level:-info}
"""


def store(name: str, zone: str = "America/Chicago", cpu: str = "", **labels: str) -> StoreDeclared:
    """A store with one cluster of its name."""
    capacity = {"cpu": cpu} if cpu else {}
    return StoreDeclared(name, zone, dict(labels), [], [ClusterSpec(name, {}, capacity)])


def namespace(name: str, expression: str = "/c/*", cpu: str = "", **labels: str) -> NamespaceDeclared:
    """A namespace on the clusters of an expression."""
    return NamespaceDeclared(name, expression, [], {"cpu": cpu} if cpu else {}, labels)


def application(name: str, home: str, expression: str | None = None) -> ApplicationDeclared:
    """An application in a namespace."""
    return ApplicationDeclared(name, home, expression)


def choose(name: str, *choices: tuple[str, str]) -> ReleaseChoicesSet:
    """Release choices: (expression, version)."""
    return ReleaseChoicesSet(name, [ReleaseChoice(*each) for each in choices])


class Renderer:
    """Folds facts and admits, as the reconciler does, one thing at a time."""

    def __init__(self, sink: ObjectSink | None = None, *, timing: Timing = AT_ONCE, layouts: bool = True) -> None:
        """Without `layouts` it is a renderer from before there were any: it begins with the first."""
        self.timing, self.layouts = timing, layouts
        self.history: list[Recorded] = []
        self.blobs: dict[str, bytes] = {}
        self.sink = sink or IdSink()
        self.model = Model(self.blobs.get, timing=timing)
        self.now = START
        self.last = Plan(self.now, None)
        self.commits: list[str] = []

    def blob(self, body: bytes) -> str:
        """Keep a body and return its digest."""
        digest = hashlib.sha256(body).hexdigest()
        self.blobs[digest] = body
        return digest

    def release(
        self,
        name: str,
        home: str,
        version: str,
        manifest: str = MANIFEST,
        schema: str = "",
        defaults: str = "",
        *,
        allow: Sequence[str] = (),
    ) -> ReleasePublished:
        """Compile a release and return the fact of its publication."""
        text = manifest.replace("NAME", name).encode()
        template = compile_template(text, application=name, namespace=home, version=version, allow=allow)
        return ReleasePublished(
            name,
            version,
            home,
            hashlib.sha256(text + version.encode()).hexdigest(),
            self.blob(text),
            self.blob(template.to_bytes()),
            self.blob(schema.encode()) if schema else None,
            self.blob(defaults.encode()) if defaults else None,
            [],
            [ObjectRef(each.api_version, each.kind, each.namespace, each.name) for each in template.objects],
        )

    def record(self, event: Event, stream: str = "fact-1", actor: str = "ana") -> DecidedAdmission | None:
        """Append an event and fold it."""
        position = len(self.history) + 1
        self.now += timedelta(seconds=1)
        digest = hashlib.sha256(f"{position}".encode()).digest()
        recorded = Recorded(position, "epoch", stream, position, type_name(event), self.now, actor, event, digest)
        self.history.append(recorded)
        return self.model.fold(recorded)

    def facts(self, *events: Event) -> None:
        """Append facts."""
        for event in events:
            self.record(event)

    async def step(self) -> Plan:
        """Plan, and carry out what may be admitted; return the plan."""
        self.last = await plan(self.model, self.now)
        hold = self.last.hold
        if hold is not None and self.model.fuse.held_plan != hold.plan:
            for kept_back in holding_events("main", hold):
                self.record(kept_back, "hold-main")
        for each in outstanding(self.model, self.last):
            self.blobs.update(each.blobs)
            self.record(each.event, each.stream)
        if self.last.empty and not self.model.must_commit:
            return self.last
        if self.layouts and (begins := opening(self.model)) is not None:
            self.record(begins, "layout-main")
            self.last = await plan(self.model, self.now)
        decision = None
        parts = compose(self.model, self.last, 0)
        used = uses(self.model, self.last, parts[0].decision)
        for part in parts:
            decision = self.record(part, "branch-main")
        assert decision is not None
        for stream, event in used:
            self.record(event, stream)
        await self.carry_out(decision)
        return self.last

    async def carry_out(self, decision: DecidedAdmission) -> None:
        """Write a decision's commit and record it."""
        done = await materialise(self.model, decision, self.sink)
        commit = commit_of(self.model, decision, done.tree, self.sink) if done.changed else decision.first.parent
        written = AdmissionWritten("main", decision.first.decision, commit, done.tree.hex(), done.files)
        self.record(written, "branch-main")
        self.commits.append(commit)

    async def settle(self, steps_max: int = 10) -> None:
        """Step until nothing is left to do."""
        for _ in range(steps_max):
            before = len(self.history)
            await self.step()
            if len(self.history) == before:
                return
        raise AssertionError("rendering does not settle")

    def restart(self) -> None:
        """Go on in a new model, from a snapshot."""
        model = Model(self.blobs.get, timing=self.timing)
        load_model(model, dump_model(self.model))
        self.model = model

    def version_on(self, key: str, cluster: str) -> str | None:
        """Return which release of a placement is admitted on a cluster."""
        ordinal = self.model.fleet.selection.ordinal_ever(cluster)
        assert ordinal is not None
        code = int(self.model.placements.at(key).release.values[ordinal])
        return self.model.placements.versions.names[code].split("/", 1)[1] if code else None

    def refusals(self) -> dict[tuple[str, str], list[str]]:
        """Return (placement, code) → cluster names."""
        found: dict[tuple[str, str], list[str]] = {}
        for refusal, members in self.model.placements.refusals.items():
            names = [self.model.fleet.selection.name(ordinal) for ordinal in members]
            found.setdefault((refusal.key, refusal.code), []).extend(names)
        return found


async def replay(
    history: Iterable[Recorded], blobs: dict[str, bytes], model: Model | None = None
) -> tuple[Model, list[str]]:
    """Fold a log in a fresh model, or its rest in a given one; return it and the commits that its decisions give."""
    model = model or Model(blobs.get)
    sink = IdSink()
    commits = []
    for recorded in history:
        decision = model.fold(recorded)
        if decision is not None:
            done = await materialise(model, decision, sink)
            commits.append(commit_of(model, decision, done.tree, sink) if done.changed else decision.first.parent)
    return model, commits
