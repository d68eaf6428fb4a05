"""Traces and metrics of rendering: spans that continue the trace of the fact behind a change, and gauges.

A decision belongs to the newest fact that it depends on, by trace and by causation, in the log as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from opentelemetry import trace
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from libs.bus.tracing import context_of, links_to, traceparent_of

if TYPE_CHECKING:
    from prometheus_client import Metric

    from libs.contracts import Recorded

_CAUSES_MAX = 16
COMMITS = Counter("resedge_commits_total", "Commits that were written to the GitOps branch")
COMMIT_FILES = Counter("resedge_commit_files_total", "Files that those commits wrote")
COMMIT_SECONDS = Histogram(
    "resedge_commit_seconds",
    "How long it took to write and record a commit",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0),
)

_tracer = trace.get_tracer("resedge.rendering")


@dataclass(slots=True)
class Written:
    """The result of the last step, as the status shows it."""

    commit: str = ""
    files: int = 0
    seconds: float = 0.0
    position: int = 0
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """An event as the cause of what follows: its id in the log, and its trace."""

    id: str | None = None
    traceparent: str | None = None
    position: int = 0

    @classmethod
    def of(cls, recorded: Recorded) -> Cause:
        """Return an event of the log as a cause."""
        return cls(f"{recorded.stream}/{recorded.version}", recorded.traceparent, recorded.position)

    def within(self, span: trace.Span) -> Cause:
        """Return the same cause, seen from inside a span that goes on with its trace."""
        return Cause(self.id, traceparent_of(span) or self.traceparent, self.position)


UNKNOWN = Cause()


@dataclass(slots=True)
class Causes:
    """The newest facts since the last decision, in the order of the log."""

    kept: list[Cause] = field(default_factory=list)

    def __iter__(self) -> Iterator[Cause]:
        return iter(self.kept)

    def note(self, recorded: Recorded) -> None:
        """Record a fact as a possible cause."""
        self.kept = [*self.kept[1 - _CAUSES_MAX :], Cause.of(recorded)]

    def taken(self, position: int) -> None:
        """Forget those that a decision as of `position` has seen."""
        self.kept = [each for each in self.kept if each.position > position]

    def newest(self) -> Cause:
        """Return the newest fact."""
        return self.kept[-1] if self.kept else UNKNOWN


@contextmanager
def deciding(causes: Causes, placements: int, removals: int) -> Iterator[Cause]:
    """Run a decision in a span of the trace of its newest cause, linked to the others; yield its own cause."""
    newest = causes.newest()
    others = [each.traceparent for each in causes if each.traceparent and each.traceparent != newest.traceparent]
    attributes = {"resedge.placements": placements, "resedge.removals": removals}
    with _tracer.start_as_current_span(
        "rendering decide", context_of(newest.traceparent), attributes=attributes, links=links_to(others)
    ) as span:
        yield newest.within(span)


@contextmanager
def committing(decided: Cause) -> Iterator[Cause]:
    """Run the commit of a decision in a span of the decision's trace; yield the cause to record."""
    with _tracer.start_as_current_span("rendering commit", context_of(decided.traceparent)) as span:
        yield decided.within(span)


def committed(written: Written, *, new: bool) -> None:
    """Count a decision's commit if it is new, and record it in the current span."""
    span = trace.get_current_span()
    span.set_attributes({"resedge.commit": written.commit, "resedge.files": written.files})
    if not new:
        return
    COMMITS.inc()
    COMMIT_FILES.inc(written.files)
    COMMIT_SECONDS.observe(written.seconds)


@dataclass(frozen=True, slots=True)
class RemoteStanding:
    """How the remote stands: whether pushes fail, how many commits it lacks (None: not known yet), since when."""

    failing: bool
    behind: int | None
    behind_seconds: float


@dataclass(frozen=True, slots=True)
class RenderingStanding:
    """The state of rendering: placements that differ from their target, are refused (by code), are held."""

    pending: int = 0
    held: int = 0
    stopped: bool = False
    refused: Mapping[str, int] = field(default_factory=dict)
    remote: RemoteStanding | None = None


class Standings(Collector):
    """Reads the state of this process's rendering whenever metrics are read; without rendering there are no samples."""

    def __init__(self) -> None:
        self._read: Callable[[], RenderingStanding] | None = None

    def follow(self, read: Callable[[], RenderingStanding] | None) -> None:
        """Report from now on what `read` returns."""
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges."""
        standing = None if self._read is None else self._read()
        refused = GaugeMetricFamily(
            "resedge_placements_refused",
            "Placements that cannot be rendered now, by the refusal's code",
            labels=["code"],
        )
        pending = GaugeMetricFamily("resedge_placements_pending", "Placements that differ from their target")
        held = GaugeMetricFamily("resedge_placements_held", "Removals that the fuse keeps back now")
        stopped = GaugeMetricFamily("resedge_branch_stopped", "1 while rendering may not write to its branch")
        if standing is not None:
            for code, count in sorted(standing.refused.items()):
                refused.add_metric([code], count)
            pending.add_metric([], standing.pending)
            held.add_metric([], standing.held)
            stopped.add_metric([], standing.stopped)
        return [refused, pending, held, stopped, *_of_remote(None if standing is None else standing.remote)]


def _of_remote(remote: RemoteStanding | None) -> Iterator[Metric]:
    failing = GaugeMetricFamily("resedge_remote_push_failing", "1 while the last push to the remote failed")
    seconds = GaugeMetricFamily("resedge_remote_behind_seconds", "How long the remote has lacked the newest commit")
    behind = GaugeMetricFamily("resedge_remote_behind_commits", "Commits that the remote lacks, once it was reached")
    if remote is not None:
        failing.add_metric([], remote.failing)
        seconds.add_metric([], remote.behind_seconds)
        if remote.behind is not None:
            behind.add_metric([], remote.behind)
    yield from (failing, seconds, behind)


STANDINGS = Standings()
REGISTRY.register(STANDINGS)
