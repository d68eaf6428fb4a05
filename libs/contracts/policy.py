"""Events of policy: calendars, freezes, law, and withheld changes, which would open a gate.

Bitmaps are serialized roaring bitmaps over the fleet's ordinals. Instants are UTC; local times carry no offset and mean
each store's own wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.inventory import Labels
from libs.contracts.meaning import CALENDAR, FLEET, FREEZE, LAW, NOTHING, counted, members


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """Wall-clock edges `HH:MM` on the days (`mon` … `sun`) of the opening edge; `closes` ≤ `opens` is the next day."""

    days: list[str]
    opens: str
    closes: str


@dataclass(frozen=True, slots=True)
class RecurringWindow:
    """Opens at the wall-clock time `opens` on each day that an RFC 5545 rule gives; stays so for elapsed minutes.

    `start` (a local date) is where the rule begins; it is required if the rule's days depend on it.
    """

    rrule: str
    opens: str
    duration_minutes: int
    start: str | None = None


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """While a store is closed: from some elapsed minutes after it closes until some before it opens again."""

    after_close_minutes: int = 0
    before_open_minutes: int = 0


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """Exactly one of them."""

    weekly: WeeklyWindow | None = None
    recurring: RecurringWindow | None = None
    closed: ClosedWindow | None = None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Local dates `YYYY-MM-DD` on which the calendar is closed; `until` is exclusive."""

    first: str
    until: str


@published("policy", "declared calendar {name}", CALENDAR, {"application": "applications"})
@dataclass(frozen=True, slots=True)
class CalendarDeclared:
    """When changes may be admitted. Stream `calendar-<name>`.

    With `clusters` (canonical expression) alone it applies to clusters, with `applications` alone to applications
    wherever they are, with both to those applications on those clusters. `signoff` names the process by which it can be
    overridden. Of those that apply at a level, each that says `require` must be open, and one of the others, if there
    are any.
    """

    name: str
    windows: list[CalendarWindow] = field(default_factory=list)
    exclude: list[Exclusion] = field(default_factory=list)
    clusters: str | None = None
    applications: list[str] = field(default_factory=list)
    cutoff_minutes: int = 0
    signoff: str | None = None
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)
    require: bool = False


@published("policy", removed("calendar {name}"), CALENDAR)
@dataclass(frozen=True, slots=True)
class CalendarRemoved:
    """A calendar was removed."""

    name: str
    by: By = NOBODY
    reason: str = ""


@published("policy", "declared freeze {name} of {owner}", FREEZE, {"application": "applications"})
@dataclass(frozen=True, slots=True)
class FreezeDeclared:
    """An interval in which nothing is admitted on `clusters` (of `applications`, if any are named).

    `local`: `begins` and `ends` are `YYYY-MM-DDTHH:MM:SS` on each store's wall clock; otherwise RFC 3339 in UTC.
    `new_clusters` is `pass` or `hold`: whether a cluster's first admission passes. Stream `freeze-<name>`.
    """

    name: str
    begins: str
    ends: str
    clusters: str
    reason: str
    owner: str
    local: bool = False
    applications: list[str] = field(default_factory=list)
    signoff: str | None = None
    new_clusters: str = "pass"
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)


@published("policy", removed("freeze {name}"), FREEZE)
@dataclass(frozen=True, slots=True)
class FreezeRemoved:
    """A freeze was removed."""

    name: str
    by: By = NOBODY
    reason: str = ""


@published("policy", "declared placement policy {name} ({basis})", LAW, {"application": "applications"})
@dataclass(frozen=True, slots=True)
class PlacementPolicyDeclared:
    """Law that forbids applications on clusters from `begins` until `ends` (absent: for ever).

    `enforcement` is `gated` or `immediate` (removals pass windows and freezes); `on_conflict` is `warn` or `refuse`.
    `signoff` names the process that has to approve whatever loosens the law.
    Stream `placementpolicy-<name>`.
    """

    name: str
    applications: list[str]
    clusters: str
    basis: str
    begins: datetime | None = None
    ends: datetime | None = None
    enforcement: str = "gated"
    on_conflict: str = "warn"
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)
    signoff: str | None = None


@published("policy", removed("placement policy {name}"), LAW)
@dataclass(frozen=True, slots=True)
class PlacementPolicyRemoved:
    """The law no longer applies."""

    name: str
    by: By = NOBODY
    reason: str = ""


def _withheld(event: LooseningWithheld) -> str:
    where = counted(members(event.clusters), "cluster")
    return f"withheld what {event.what or 'a change'} would open on {where}"


@published("policy", _withheld, FLEET)
@dataclass(frozen=True, slots=True)
class LooseningWithheld:
    """What the next facts of this transaction open does not count for gates yet: their author may not affect policy.

    Until it is confirmed the stricter of what holds for `clusters` before and after governs. Appended before those
    facts, in the same transaction; `causes` are their streams. `keeps` are the streams of the freezes and placement
    policies that those facts loosen: as declared until now they go on, beside what is declared in their place. Each
    sign-off of `signoffs` has to approve the change. It then counts if its author may affect policy there (`affected`);
    else somebody who may has to confirm it. Stream `withheld-<id>`.
    """

    id: str
    clusters: bytes
    causes: list[str] = field(default_factory=list)
    what: str = ""
    by: By = NOBODY
    keeps: list[str] = field(default_factory=list)
    signoffs: list[str] = field(default_factory=list)
    affected: bool = False


@published("policy", "confirmed withheld change {id}", NOTHING)
@dataclass(frozen=True, slots=True)
class LooseningConfirmed:
    """Somebody who may affect policy for those clusters confirmed the change, so that it counts for gates."""

    id: str
    reason: str
    by: By
    ticket: str = ""
