"""Faults that are easily made, each planted where it would be: the model has to find every one of them.

A fault changes one judgement of production code and nothing of the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from libs.contracts import CalendarDeclared
from libs.fleet import Override
from libs.fleet.facts import Facts
from libs.gates import schedules
from libs.gates.schedules import OpenAndNext, Pair, Schedule
from services.policy.domain import approvals
from services.rendering.deciding.gating import Gating, Passing

if TYPE_CHECKING:
    import numpy as np
    import pytest
    from numpy.typing import NDArray
    from pyroaring import BitMap

    from libs.contracts import ApprovalRequested, FreezeDeclared
    from services.rendering.target.placements import Placement

Fault = Callable[["pytest.MonkeyPatch"], None]
INSTANT = timedelta(microseconds=1)


def a_window_that_is_still_open_at_its_end(patch: pytest.MonkeyPatch) -> None:
    """An interval is taken for closed: the instant at which a window ends counts as in it."""
    usual = Schedule.judge

    def judge(self: Schedule, rows: NDArray[np.int64], now: datetime) -> None:
        usual(self, rows, now - INSTANT)
        before = self.on[rows].copy()
        usual(self, rows, now)
        if isinstance(self.document, CalendarDeclared):
            ended = rows[before & ~self.on[rows]]
            self.on[ended], self.until[ended] = True, schedules.micros(now + INSTANT)

    patch.setattr(Schedule, "judge", judge)


def a_freeze_that_still_holds_at_its_end(patch: pytest.MonkeyPatch) -> None:
    """An interval is taken for closed: the instant at which a freeze ends counts as in it."""
    usual = schedules.freeze_at

    def judged(freeze: FreezeDeclared, pair: Pair, at: datetime) -> OpenAndNext:
        ended = at == schedules.freeze_interval(freeze, pair[0])[1]
        return (True, at + INSTANT) if ended else usual(freeze, pair, at)

    patch.setattr(schedules, "freeze_at", judged)


def a_requester_who_approves(patch: pytest.MonkeyPatch) -> None:
    """Nobody is taken for a requester when votes are counted."""

    def nobody(_request: ApprovalRequested) -> frozenset[str]:
        return frozenset()

    patch.setattr(approvals, "_requesters", nobody)


def an_override_that_is_checked_when_it_is_granted_only(patch: pytest.MonkeyPatch) -> None:
    """Whether an override is in force is not asked again at the instant of its use."""

    def active(self: Override, _now: datetime) -> bool:
        return self.begins is not None and self.revoked_at is None

    patch.setattr(Override, "active", active)


def a_law_that_misses_who_is_regrouped(patch: pytest.MonkeyPatch) -> None:
    """Where a law applies is worked out once, when it is first asked about after its declaration."""
    usual: Callable[[Facts, str, str], BitMap] = Facts.bound
    remembered: dict[tuple[int, int], tuple[Facts, Any, BitMap]] = {}

    def bound(self: Facts, kind: str, name: str) -> BitMap:
        if kind != "law" or name not in self.policy.laws:
            return usual(self, kind, name)
        law = self.policy.laws[name]
        place = id(self), id(law)
        if place not in remembered:
            remembered[place] = self, law, usual(self, kind, name).copy()
        return remembered[place][2]

    patch.setattr(Facts, "bound", bound)


def a_removal_that_passes_closed_gates(patch: pytest.MonkeyPatch) -> None:
    """Removals are thought to be harmless, so that they need no open gate."""
    usual = Gating.of

    def of(self: Gating, placement: Placement) -> Passing:
        answer = usual(self, placement)
        answer.admitted = answer.admitted | answer.removals
        return answer

    patch.setattr(Gating, "of", of)


TIME = ("the_clock_nears_a_boundary", "time_passes")
CONTENT = ("chooses", "configures")
FAULTS: dict[Fault, tuple[str, tuple[str, ...]]] = {
    a_window_that_is_still_open_at_its_end: ("though closed: calendars", ("declares_a_calendar", *CONTENT, *TIME)),
    a_freeze_that_still_holds_at_its_end: ("waits for nothing", ("declares_a_freeze", *CONTENT, *TIME)),
    a_requester_who_approves: ("without its quorum", ("redeclares_an_application", "people_vote", *CONTENT)),
    an_override_that_is_checked_when_it_is_granted_only: (
        "though closed: freeze|not in force",
        ("declares_a_freeze", "asks_for_an_override", *CONTENT, *TIME),
    ),
    a_law_that_misses_who_is_regrouped: (
        "waits for nothing|forbid|is rendered as",
        ("declares_law", "declares_a_store", "regroups", *CONTENT, *TIME),
    ),
    a_removal_that_passes_closed_gates: (
        "was removed from .* though closed",
        ("declares_a_freeze", "declares_a_calendar", *CONTENT, *TIME),
    ),
}
"""Each fault: what the model says of it, and the rules of the histories in which it is looked for."""
