"""Where freezes and windows are closed at one instant, and when any gate changes next.

Nothing is stored here: everything follows from the fleet's facts and the instant.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import gates_of
from libs.gates.cluster import OnCluster
from libs.gates.explained import Explained
from libs.gates.rules import Closed, GateRule, combined
from libs.gates.schedules import NO_INSTANT, instant_of_micros, micros, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from libs.fleet import Fleet
    from libs.gates.views import View


class Instant:
    """All gates at one instant. Bitmaps that it returns are shared: read them, never change them."""

    def __init__(
        self,
        fleet: Fleet,
        views: Sequence[View],
        now: datetime,
        changes: Iterable[Callable[[Instant], datetime | None]],
    ) -> None:
        """`changes` say when each gate changes next."""
        self.now = now
        self.fleet = fleet
        self.overrides = list(fleet.policy.active_overrides(now))
        self.views = views
        self._changes = changes
        self._first = BitMap()
        self._closed: dict[tuple[str, str], Closed] = {}

    @cached_property
    def until(self) -> datetime | None:
        """The next instant at which any gate may change; nothing: never."""
        found = [change(self) for change in self._changes]
        return min((at for at in found if at is not None), default=None)

    def next_of(self, kind: str, dated: Iterable[tuple[datetime | None, datetime | None]] = ()) -> datetime | None:
        """Return when calendars, or freezes, change next, or one of some spans begins or ends."""
        edges = [spread.until(self.now) for view in self.views for spread in view.spreads(kind)]
        now = micros(self.now)
        edges += [edge for span in dated for at in span if at is not None and (edge := micros(at)) > now]
        return instant_of_micros(min(edges, default=NO_INSTANT))

    def spans_of_overrides(self, kind: str) -> Iterator[tuple[datetime | None, datetime | None]]:
        """Yield when the overrides of calendars, or of freezes, begin and end."""
        for each in self.fleet.policy.overrides.values():
            if each.revoked_at is None and any(gate.kind == kind for gate in gates_of(each.request)):
                yield each.begins, each.ends

    @cached_property
    def _named(self) -> frozenset[str]:
        """The applications that a document names."""
        documents = [document for view in self.views for document, _ in view.documents.values()]
        named = {name for each in documents for name in each.applications}
        return frozenset(named.union(*(each.request.applications for each in self.overrides)))

    @cached_property
    def _freezes(self) -> list[GateRule]:
        return [rule for view in self.views for rule in view.freeze_rules(self.now, self.overrides)]

    @cached_property
    def _windows(self) -> list[GateRule]:
        return [rule for view in self.views for rule in view.level_rules(None, self.now, self.overrides)]

    def closed_by_freeze(self, application: str, *, first: BitMap) -> Closed:
        """Return where freezes keep an application back; `first` are the clusters whose first admission it would be."""
        return self._of("freeze", application, first)

    def closed_by_window(self, application: str, *, first: BitMap) -> Closed:
        """Return where calendars keep an application back; first admissions pass."""
        return self._of("window", application, first)

    def _of(self, gate: str, application: str, first: BitMap) -> Closed:
        if first != self._first:
            self._first, self._closed = first.copy(), {}
        key = gate, application if application in self._named else ""
        known = self._closed.get(key)
        if known is None:
            rules = self._freezes if gate == "freeze" else [*self._windows, *self._of_application(key[1])]
            known = self._closed[key] = combined(rules, key[1], first)
        return known

    def _of_application(self, application: str) -> list[GateRule]:
        if not application:
            return []
        return [rule for view in self.views for rule in view.level_rules(application, self.now, self.overrides)]

    def opens_at(self, application: str, ordinal: int, *, first: bool = False) -> datetime | None:
        """Return when freeze and window will both be open by today's calendars; None: never."""
        return self._case(application, ordinal, first=first).opens_at(self.now)

    def earliest(
        self, application: str, ordinal: int, at: datetime, *, first: bool
    ) -> tuple[datetime | None, list[str]]:
        """Return when freeze and window will both be open, from `at` on (None: never), and what is waited for."""
        return self._case(application, ordinal, first=first).earliest(at)

    def closes_at(self, application: str, ordinal: int, at: datetime) -> datetime | None:
        """Return when freeze or window will keep an application back, from `at` on; None: never."""
        return self._case(application, ordinal, first=False).closes_at(at)

    def open_for(
        self, application: str, ordinal: int, start: datetime, end: datetime
    ) -> tuple[list[tuple[datetime, datetime | None]], list[str]]:
        """Return when freeze and window are both open within [start, end), and what the first opening waits for.

        Openings begin at `start` at the earliest and are whole at their end: nothing if none is known.
        """
        case = self._case(application, ordinal, first=False)
        opens, waits = case.earliest(start)
        found: list[tuple[datetime, datetime | None]] = []
        while opens is not None and opens < end:
            closes = case.closes_at(opens)
            found.append((opens, closes))
            opens = None if closes is None else case.opens_at(closes)
        return found, waits

    def explain_freeze(self, application: str, ordinal: int, first: bool) -> Explained:
        """Return whether freezes keep an application back on one cluster, and why."""
        return self._explained(application, ordinal, first, OnCluster.explain_freeze)

    def explain_window(self, application: str, ordinal: int, first: bool) -> Explained:
        """Return whether calendars keep an application back on one cluster, and why."""
        return self._explained(application, ordinal, first, OnCluster.explain_window)

    def _explained(
        self, application: str, ordinal: int, first: bool, explain: Callable[[OnCluster], Explained]
    ) -> Explained:
        """Explain a gate; if one of its documents cannot be judged, it is closed."""
        try:
            return explain(self._case(application, ordinal, first=first))
        except Exception as error:  # noqa: BLE001 - the answer says what it is
            return Explained(open=False, reason=unreadable(error))

    def _case(self, application: str, ordinal: int, *, first: bool) -> OnCluster:
        return OnCluster(self.fleet.policy, self.views, application, ordinal, self.now, first=first)
