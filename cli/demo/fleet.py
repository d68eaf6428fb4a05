"""The demo's fleet: stores made from the real US places, the same bytes on every machine.

The properties of a store follow from the seed and its name (one hash each), so that it keeps its equipment for every
size of the fleet; only its district depends on its neighbours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.demo.places import Town, apportion, places
from libs.contracts.instants import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SEED = "resilient-edge-demo-1"
DISTRICT_STORES = 40  # what one area manager looks after
KITCHEN_SHARE = 250  # one store in so many has a second cluster in its kitchen

_Labels = dict[str, str | tuple[str, ...]]

LABEL_KEYS = (
    *("state", "city", "market", "district", "ownership", "franchisee", "format", "size", "opened", "lanes"),
    *("grill", "fryer", "camera", "delivery", "languages", "planogram", "uplink", "registers", "tier"),
)
"""Every label key of the fleet, in the order of the import's columns."""


@dataclass(frozen=True, slots=True)
class DemoHours:
    """Opening times on some weekdays; `closes` before `opens` is the next morning."""

    days: tuple[str, ...]
    opens: str
    closes: str


@dataclass(frozen=True, slots=True)
class DemoStore:
    """One store of the demo; `cpu` and `memory` (Kubernetes quantities) are what its cluster has."""

    name: str
    timezone: str
    hours: tuple[DemoHours, ...]
    cpu: str
    memory: str
    labels: _Labels


@dataclass(frozen=True, slots=True)
class DemoFleet:
    """Stores by name, and those among them that have a second cluster, `<store>-kitchen`."""

    stores: tuple[DemoStore, ...]
    kitchens: tuple[str, ...]


def _table(shares: Mapping[str, int]) -> tuple[str, ...]:
    """Spread words over a byte's 256 values; the shares add up to 256."""
    words = tuple(word for word, share in shares.items() for _ in range(share))
    assert len(words) == 256, shares  # noqa: S101  (a mistake in this file, found by any test)
    return words


CITY_FORMATS = _table(
    {"drive-through": 110, "urban": 56, "mall": 30, "freestanding": 30, "inline": 24, "travel-plaza": 6}
)
TOWN_FORMATS = _table(
    {"drive-through": 160, "urban": 4, "mall": 14, "freestanding": 48, "inline": 18, "travel-plaza": 12}
)
RURAL_FORMATS = _table({"drive-through": 150, "mall": 2, "freestanding": 54, "inline": 10, "travel-plaza": 40})
SIZES = {
    "urban": _table({"small": 120, "medium": 100, "large": 30, "xl": 6}),
    "mall": _table({"small": 150, "medium": 90, "large": 16}),
    "inline": _table({"small": 110, "medium": 120, "large": 26}),
    "drive-through": _table({"small": 20, "medium": 110, "large": 96, "xl": 30}),
    "freestanding": _table({"small": 40, "medium": 116, "large": 80, "xl": 20}),
    "travel-plaza": _table({"medium": 60, "large": 116, "xl": 80}),
}
LANES = {
    "drive-through": _table({"1": 116, "2": 116, "3": 24}),
    "freestanding": _table({"0": 100, "1": 130, "2": 26}),
    "travel-plaza": _table({"0": 40, "1": 126, "2": 90}),
}
NO_LANES = _table({"0": 256})
OWNERSHIP = _table({"corporate": 98, "franchise": 158})
GRILLS_OLD = _table({"Acme2000": 140, "Acme3000": 80, "Brio450": 36})
GRILLS_NEW = _table({"Acme3000": 90, "Acme3001": 116, "Brio450": 30, "Brio500": 20})
FRYERS = _table({"CrispMaster2": 80, "CrispMaster3": 90, "VatPro10": 46, "VatPro20": 24, "none": 16})
CAMERAS = _table({"none": 90, "ArgusOne": 96, "ArgusDome": 40, "Peregrine4": 30})
UPLINKS_CITY = _table({"fiber": 190, "cable": 56, "lte": 10})
UPLINKS_RURAL = _table({"fiber": 40, "cable": 130, "lte": 60, "satellite": 26})
TIERS = _table({"a": 40, "b": 80, "c": 80, "d": 40, "e": 16})
PLANOGRAM_YEARS = _table({"2024": 26, "2025": 80, "2026": 150})
_CAPACITY = {"small": ("4", "8Gi"), "medium": ("8", "16Gi"), "large": ("8", "32Gi"), "xl": ("16", "64Gi")}
REGISTERS = {"small": ("2", "3"), "medium": ("3", "4"), "large": ("4", "6"), "xl": ("6", "8")}
PARTNERS_CITY = (("doorrush", 230), ("quickbite", 200), ("campuscart", 60), ("localgo", 40))
PARTNERS_RURAL = (("doorrush", 150), ("quickbite", 90), ("localgo", 24))

SPANISH = {"tx": 150, "ca": 150, "nm": 150, "az": 120, "nv": 110, "fl": 120, "ny": 80, "nj": 80, "il": 60, "co": 60}
OTHER_LANGUAGE = {"ca": ("zh", 40), "ny": ("zh", 40), "wa": ("vi", 24), "hi": ("haw", 90), "me": ("fr", 60)} | {
    "la": ("fr", 40),
    "vt": ("fr", 24),
    "mi": ("ar", 24),
    "mn": ("so", 20),
    "fl": ("ht", 36),
    "tx": ("vi", 20),
}

_WORKDAYS, _WEEKEND = DAYS[:5], DAYS[5:]
HOURS = {
    "mall": (DemoHours(DAYS[:6], "10:00", "21:00"), DemoHours(DAYS[6:], "11:00", "18:00")),
    "urban": (DemoHours(_WORKDAYS, "06:00", "23:00"), DemoHours(_WEEKEND, "07:00", "01:00")),
    "inline": (DemoHours(DAYS, "07:00", "22:00"),),
    "drive-through": (DemoHours(_WORKDAYS, "06:00", "23:00"), DemoHours(_WEEKEND, "07:00", "02:00")),
    "freestanding": (DemoHours(_WORKDAYS, "06:30", "22:30"), DemoHours(_WEEKEND, "07:00", "23:30")),
}
ALWAYS_OPEN = (DemoHours(DAYS, "00:00", "24:00"),)

_OPERATORS_FIRST = (
    *("lone-star", "blue-ridge", "great-plains", "harbor", "cascade", "redwood", "prairie", "liberty"),
    *("sunbelt", "granite", "magnolia", "mesa", "lakeshore", "bayou", "copper", "evergreen"),
)
_OPERATORS_LAST = ("kitchens", "restaurants", "hospitality", "foods")
FRANCHISEES = tuple(f"{first}-{last}" for first in _OPERATORS_FIRST for last in _OPERATORS_LAST)


def make_fleet(stores: int, *, seed: str = SEED) -> DemoFleet:
    """Make `stores` stores, deterministically; raises ValueError for fewer than one.

    The first store has every kind of equipment, so that every label key exists however small the fleet is.
    """
    if stores < 1:
        raise ValueError(f"a fleet has at least one store, not {stores}")
    made = tuple(_stores(stores, seed))
    candidates = sorted((s for s in made if s.labels["size"] in ("large", "xl")), key=lambda s: _digest(seed, s.name))
    kitchens = sorted(s.name for s in candidates[: max(1, stores // KITCHEN_SHARE)])
    return DemoFleet(made, tuple(kitchens) or (made[0].name,))


def _stores(count: int, seed: str) -> Iterator[DemoStore]:
    towns = places()
    counts = apportion(count, tuple(town.population for town in towns))
    in_market: dict[str, int] = {}
    first = True
    for town, stores in zip(towns, counts, strict=True):
        for number in range(1, stores + 1):
            name = f"{town.state}-{town.city}-{number:04d}"
            nth = in_market.get(town.market, 0)
            in_market[town.market] = nth + 1
            district = f"{town.market}-{nth // DISTRICT_STORES + 1:02d}"
            yield _store(name, town, district, _digest(seed, name), complete=first)
            first = False


def _digest(seed: str, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode()).digest()


def _store(name: str, town: Town, district: str, draw: bytes, *, complete: bool) -> DemoStore:
    """Build one store; `draw` is 64 bytes of chance, each used for one thing."""
    form = _format(town, draw[0])
    size = SIZES[form][draw[1]]
    opened = 2026 - draw[2] * draw[3] * 58 // 65536
    labels: _Labels = {"state": town.state, "city": town.city, "market": town.market, "district": district}
    labels["ownership"] = OWNERSHIP[draw[4]] if not complete else "franchise"
    if labels["ownership"] == "franchise":
        labels["franchisee"] = _franchisee(town.market, draw[5])
    labels |= {"format": form, "size": size, "opened": str(opened)}
    labels["lanes"] = LANES.get(form, NO_LANES)[draw[6]]
    labels |= _equipment(opened, size, draw, complete=complete)
    partners = _partners(town, draw, complete=complete)
    if partners:
        labels["delivery"] = partners
    labels["languages"] = _languages(town.state, draw)
    labels["planogram"] = f"pog{PLANOGRAM_YEARS[draw[20]]}-{size}-{form}"
    labels["uplink"] = (UPLINKS_RURAL if town.population < 10_000 else UPLINKS_CITY)[draw[21]]
    labels["registers"] = REGISTERS[size][draw[22] & 1]
    labels["tier"] = TIERS[draw[23]]
    always = form == "travel-plaza" or (form == "drive-through" and draw[24] < 40)
    cpu, memory = _CAPACITY[size]
    return DemoStore(name, town.timezone, ALWAYS_OPEN if always else HOURS[form], cpu, memory, labels)


def _format(town: Town, draw: int) -> str:
    if town.population >= 100_000:
        return CITY_FORMATS[draw]
    return (TOWN_FORMATS if town.population >= 10_000 else RURAL_FORMATS)[draw]


def _franchisee(market: str, draw: int) -> str:
    """Each market is shared by four operators, so that an operator is a region and not a sprinkle."""
    home = int.from_bytes(hashlib.blake2b(market.encode(), digest_size=2).digest(), "big")
    return FRANCHISEES[(home + draw % 4 * 5) % len(FRANCHISEES)]


def _equipment(opened: int, size: str, draw: bytes, *, complete: bool) -> _Labels:
    found: _Labels = {}
    grills = GRILLS_NEW if opened >= 2012 else GRILLS_OLD
    models = {grills[draw[7]]}
    if size in ("large", "xl") and draw[8] < 110:
        models.add(GRILLS_NEW[draw[9]])
    if draw[10] < 236 or complete:
        found["grill"] = _several(models)
    if (fryer := FRYERS[draw[11]]) != "none" or complete:
        second = {FRYERS[draw[12]]} if size == "xl" else set()
        found["fryer"] = _several(({fryer} | second) - {"none"} or {"CrispMaster3"})
    if (camera := CAMERAS[draw[13]]) != "none" or complete:
        found["camera"] = camera if camera != "none" else "ArgusOne"
    return found


def _partners(town: Town, draw: bytes, *, complete: bool) -> str | tuple[str, ...] | None:
    offers = PARTNERS_RURAL if town.population < 10_000 and not complete else PARTNERS_CITY
    chosen = {partner for index, (partner, share) in enumerate(offers) if draw[14 + index] < share or complete}
    return _several(chosen) if chosen else None


def _languages(state: str, draw: bytes) -> str | tuple[str, ...]:
    spoken = {"en"}
    if draw[18] < SPANISH.get(state, 20):
        spoken.add("es")
    other, share = OTHER_LANGUAGE.get(state, ("", 0))
    if draw[19] < share:
        spoken.add(other)
    return _several(spoken)


def _several(values: set[str]) -> str | tuple[str, ...]:
    """One value is text, several are a sorted list, as in a document."""
    return next(iter(values)) if len(values) == 1 else tuple(sorted(values))


def stores_csv(fleet: DemoFleet) -> bytes:
    """Return the fleet as a bulk import takes it: one row a store, `a|b` for several values of a label."""
    opening = {hours: hours_text(hours) for hours in {store.hours for store in fleet.stores}}
    rows = [",".join(("name", "timezone", "hours", "cpu", "memory", *LABEL_KEYS))]
    for store in fleet.stores:
        labels = store.labels
        values = [labels.get(key, "") for key in LABEL_KEYS]
        cells = [value if type(value) is str else "|".join(value) for value in values]
        rows.append(",".join([store.name, store.timezone, opening[store.hours], store.cpu, store.memory, *cells]))
    return ("\n".join(rows) + "\n").encode()


def hours_text(hours: tuple[DemoHours, ...]) -> str:
    """Write opening hours as one cell of an import: `mon-fri 06:00-23:00; sat-sun 07:00-02:00`."""
    return "; ".join(f"{_days_text(entry.days)} {entry.opens}-{entry.closes}" for entry in hours)


def _days_text(days: tuple[str, ...]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]}-{days[-1]}"
