"""Store documents: read into commands, and rendered from what was declared.

The one rule: what a document says is checked here, once, so that an event never holds a time zone, an hour, a label
or a quantity that nobody can read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field

from libs.contracts.names import check_labels, check_name, nearest
from libs.contracts.quantities import check_capacity
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.web.kinds import Make
from libs.web.schema import API_VERSION, Spec, read_as
from services.inventory.domain import Command, DeclareStore
from services.inventory.events import ClusterSpec, OpeningHours, StoreDeclared

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS_MAX = 50
CLUSTERS_MAX = 200
END_OF_DAY = "24:00"

_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_TIMES = re.compile(r"([0-9:]{5})-([0-9:]{5})")


class HoursSpec(Spec):
    """Opening hours on some days, in the store's local time; `close` before `open` is the next morning."""

    days: list[str] = Field(min_length=1, max_length=len(DAYS))
    open: str
    close: str


class ClusterItem(Spec):
    """A cluster of the store."""

    name: str
    labels: dict[str, Any] = Field(default_factory=dict)
    capacity: dict[str, Any] = Field(default_factory=dict)


class StoreSpec(Spec):
    """What a store is besides its name and labels; without `clusters` it has one, of its own name."""

    timezone: str
    hours: list[HoursSpec] = Field(default_factory=list, max_length=HOURS_MAX)
    clusters: list[ClusterItem] | None = Field(default=None, max_length=CLUSTERS_MAX)


@cache
def zones() -> frozenset[str]:
    """Return the IANA time zones of the tzdata distribution, so that every machine knows the same ones."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def check_zone(name: str, pointer: str = "/spec/timezone") -> str:
    """Return `name`, if it is an IANA time zone.

    Raises:
        Invalid: it is none; the nearest one is named.
    """
    if name in zones():
        return name
    near = nearest(name, zones())
    fix = f"did you mean {near}?" if near else "write an IANA name such as America/Chicago"
    raise Invalid(f"{name[:80]!r} is not an IANA time zone", pointer=pointer, fix=fix, nearest=near)


def check_hours(days: Sequence[str], opens: str, closes: str, pointer: str) -> OpeningHours:
    """Return opening hours as they are kept: days in the order of the week.

    Raises:
        Invalid: a day or a time is none.
    """
    for index, day in enumerate(days):
        if day not in DAYS:
            raise Invalid(
                f"{day[:20]!r} is not a day",
                pointer=f"{pointer}/days/{index}",
                fix=f"write one of {', '.join(DAYS)}",
                nearest=nearest(day.lower()[:3], DAYS),
            )
    if len(set(days)) != len(days):
        raise Invalid("a day is named twice", pointer=f"{pointer}/days")
    if not _CLOCK.fullmatch(opens):
        raise Invalid(f"{opens[:20]!r} is not a time of day HH:MM", pointer=f"{pointer}/open")
    if not _CLOCK.fullmatch(closes) and closes != END_OF_DAY:
        raise Invalid(f"{closes[:20]!r} is not a time of day HH:MM", pointer=f"{pointer}/close")
    if opens == closes:
        raise Invalid(
            "open and close are the same", pointer=f"{pointer}/close", fix="write 00:00 and 24:00 for the whole day"
        )
    return OpeningHours(sorted(days, key=DAYS.index), opens, closes)


def hours_from_text(text: str) -> tuple[OpeningHours, ...]:
    """Return the hours that `mon-fri 06:00-23:00; sat,sun 07:00-02:00` or `daily 06:00-22:00` says.

    Raises:
        Invalid: it says none.
    """
    found = []
    for part in filter(None, (each.strip() for each in text.split(";"))):
        words = part.lower().split()
        times = _TIMES.fullmatch(words[1]) if len(words) == 2 else None
        if times is None:
            raise Invalid(f"{part[:60]!r} is not opening hours", fix="write mon-fri 06:00-23:00; sat,sun 07:00-02:00")
        found.append(check_hours(_days(words[0]), times[1], times[2], "/spec/hours"))
    return tuple(found)


def _days(text: str) -> list[str]:
    if text == "daily":
        return list(DAYS)
    days: list[str] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if dash and first in DAYS and last in DAYS and DAYS.index(first) <= DAYS.index(last):
            days += DAYS[DAYS.index(first) : DAYS.index(last) + 1]
        else:
            days.append(part)
    return days


def _cluster(item: ClusterItem, index: int) -> ClusterSpec:
    pointer = f"/spec/clusters/{index}"
    return ClusterSpec(
        check_name(item.name, f"{pointer}/name"),
        check_labels(item.labels, f"{pointer}/labels"),
        check_capacity(item.capacity, f"{pointer}/capacity"),
    )


def parse_store(document: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a store's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Store", spec=StoreSpec, name=name)
    zone = check_zone(read.spec.timezone)
    hours = tuple(
        check_hours(each.days, each.open, each.close, f"/spec/hours/{index}")
        for index, each in enumerate(read.spec.hours)
    )
    if read.spec.clusters is None:
        clusters: tuple[ClusterSpec, ...] = (ClusterSpec(read.name),)
    else:
        clusters = tuple(_cluster(item, index) for index, item in enumerate(read.spec.clusters))
    seen: set[str] = set()
    for index, cluster in enumerate(clusters):
        if cluster.name in seen:
            raise Invalid(f"cluster {cluster.name} is listed twice", pointer=f"/spec/clusters/{index}/name")
        seen.add(cluster.name)

    def make(actor: str, at: datetime) -> DeclareStore:
        return DeclareStore(read.name, zone, read.labels, hours, clusters, actor, at)

    return read.name, make


def store_document(event: StoreDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a store; declaring it again changes nothing."""
    metadata: dict[str, Any] = {"name": event.name}
    if event.labels:
        metadata["labels"] = event.labels
    spec: dict[str, Any] = {"timezone": event.timezone}
    if event.hours:
        spec["hours"] = [{"days": each.days, "open": each.open, "close": each.close} for each in event.hours]
    spec["clusters"] = [cluster_item(each) for each in event.clusters]
    return {"apiVersion": API_VERSION, "kind": "Store", "metadata": metadata, "spec": spec}


def cluster_item(cluster: ClusterSpec) -> dict[str, Any]:
    """Return a cluster as its store's document lists it."""
    item: dict[str, Any] = {"name": cluster.name}
    if cluster.labels:
        item["labels"] = cluster.labels
    if cluster.capacity:
        item["capacity"] = cluster.capacity
    return item
