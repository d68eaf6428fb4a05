"""The demo's business hierarchies: geography, owner, campaign, shelf plan, device, delivery.

Hierarchies are uneven on purpose: Texas has groups down to cities, Ohio to markets and districts, Vermont only the
state. Nearly every group is an expression, so that a new store joins by its labels alone.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

from cli.demo.places import places
from libs.contracts.names import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.demo.fleet import DemoFleet, DemoStore

LIVE = "/operations/live"
"""The group that says which stores run anything at all; it starts with one store."""
PILOT = "/marketing/pilots/spring-menu"
"""A hundredth of the stores, chosen by hand: 600 of 60,000."""

REGIONS: dict[str, dict[str, str]] = {
    "northeast": {"new-england": "ct ma me nh ri vt", "mid-atlantic": "dc de md nj ny pa"},
    "southeast": {"": "al fl ga ky ms nc sc tn va wv"},
    "midwest": {"great-lakes": "il in mi oh wi", "plains": "ia ks mn mo nd ne sd"},
    "central": {"": "ar la ok tx"},
    "west": {"pacific": "ca or wa", "mountain": "az co id mt nm nv ut wy", "": "ak hi"},
}
"""Region → division → states; a state of the division "" hangs from the region itself."""

CITY_STATES = {"tx": 90_000, "ca": 130_000, "fl": 100_000, "il": 100_000, "ny": 100_000, "pa": 100_000, "az": 140_000}
"""States whose groups go down to cities, and how many people such a city has."""
MARKET_STATES = frozenset(("ga", "mi", "nc", "oh", "tn", "va", "wa"))
"""States whose groups go down to markets."""
DISTRICT_STATES = frozenset(("oh", "wa"))
"""States whose markets go down to districts."""
BIG_FRANCHISEES = 12
FORMATS = ("drive-through", "freestanding", "inline", "mall", "travel-plaza", "urban")
PLANOGRAM_FORMATS = ("drive-through", "freestanding", "urban")

SMART_GRILLS = (
    "ownership = corporate and size in (large, xl) and lanes >= 2 and grill in (Acme3000, Acme3001)"
    " and /g/geo/us/northeast"
)
"""All of the company owned, large, multi-lane stores of the northeast that have a smart grill."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS = frozenset(("and", "or", "not", "in", "like", "has", "none"))


def geography() -> Iterator[tuple[str, str]]:
    """Yield (state, path) of every state's group."""
    for region, divisions in REGIONS.items():
        for division, states in divisions.items():
            parent = "/geo/us/" + "/".join(part for part in (region, division) if part)
            yield from ((state, f"{parent}/{state}") for state in states.split())


def group_documents(fleet: DemoFleet) -> list[dict[str, Any]]:
    """Return every group, by hierarchy; one that selects nothing in this fleet says that it may."""
    census = _Census(fleet)
    groups: list[dict[str, Any]] = []
    for branch in (_geo, _franchise, _planogram, _delivery):
        groups += [census.group(path, where) for path, where in branch(census)]
    groups += [census.tested(path, expression, test) for path, expression, test in _odd_ones()]
    groups += _by_hand(fleet)
    return groups


class _Census:
    """How many stores have which values, counted once per combination of keys."""

    def __init__(self, fleet: DemoFleet) -> None:
        self.fleet = fleet
        self._counts: dict[tuple[str, ...], Counter[tuple[str, ...]]] = {}

    def count(self, keys: tuple[str, ...]) -> Counter[tuple[str, ...]]:
        """Count stores by their values of `keys`; a store with several values counts for each of them."""
        if keys not in self._counts:
            counter: Counter[tuple[str, ...]] = Counter()
            columns = [[_values(store, key) for store in self.fleet.stores] for key in keys]
            for values, stores in Counter(zip(*columns, strict=True)).items():
                for combination in product(*values):
                    counter[combination] += stores
            self._counts[keys] = counter
        return self._counts[keys]

    def values(self, key: str) -> list[str]:
        return sorted(value for (value,) in self.count((key,)))

    def group(self, path: str, where: dict[str, str]) -> dict[str, Any]:
        expression = " and ".join(f"{key} = {quoted_word(value)}" for key, value in where.items())
        found = self.count(tuple(where))[tuple(where.values())]
        return _document(path, expression=expression, allow_empty=not found)

    def tested(self, path: str, expression: str, test: Callable[[DemoStore], bool]) -> dict[str, Any]:
        found = any(test(store) for store in self.fleet.stores)
        return _document(path, expression=expression, allow_empty=not found)


def _values(store: DemoStore, key: str) -> tuple[str, ...]:
    value = store.labels.get(key, ())
    return (value,) if isinstance(value, str) else value


def quoted_word(value: str) -> str:
    """Write a value as an expression takes it: plain where it reads as a word, in quotes elsewhere."""
    return value if _PLAIN.fullmatch(value) and value not in _WORDS else f'"{value}"'


def _document(path: str, *, expression: str, allow_empty: bool = False) -> dict[str, Any]:
    spec: dict[str, Any] = {"expression": expression}
    if allow_empty:
        spec["allow_empty"] = True
    return {"apiVersion": API_VERSION, "kind": "Group", "metadata": {"path": path}, "spec": spec}


Branch = tuple[str, dict[str, str]]


def _geo(census: _Census) -> Iterator[Branch]:
    markets = sorted(census.count(("state", "market", "district")))
    towns = places()
    for state, path in geography():
        yield path, {"state": state}
        people = CITY_STATES.get(state)
        for town in (town for town in towns if people and town.state == state and town.population >= people):
            yield f"{path}/{town.city}", {"state": state, "city": town.city}
        if state in MARKET_STATES:
            for market in sorted({market for its, market, _ in markets if its == state}):
                yield f"{path}/{market}", {"state": state, "market": market}
        if state in DISTRICT_STATES:
            for _, market, district in (entry for entry in markets if entry[0] == state):
                yield f"{path}/{market}/{district.removeprefix(market + '-')}", {"state": state, "district": district}


def _franchise(census: _Census) -> Iterator[Branch]:
    yield "/franchise/corporate", {"ownership": "corporate"}
    yield "/franchise/franchised", {"ownership": "franchise"}
    owners = census.values("franchisee")
    by_size = sorted(owners, key=lambda owner: (-census.count(("franchisee",))[owner,], owner))
    states = sorted(census.count(("franchisee", "state")))
    for owner in owners:
        yield f"/franchise/franchised/{owner}", {"franchisee": owner}
        if owner in by_size[:BIG_FRANCHISEES]:
            for state in (its for its_owner, its in states if its_owner == owner):
                yield f"/franchise/franchised/{owner}/{state}", {"franchisee": owner, "state": state}


def _planogram(_: _Census) -> Iterator[Branch]:
    for form in FORMATS:
        yield f"/planogram/{form}", {"format": form}
        if form in PLANOGRAM_FORMATS:
            for size in ("small", "medium", "large", "xl"):
                yield f"/planogram/{form}/{size}", {"format": form, "size": size}
    newest = "pog2026-large-drive-through"
    yield f"/planogram/drive-through/large/{newest}", {"planogram": newest}


def _delivery(census: _Census) -> Iterator[Branch]:
    for partner in census.values("delivery"):
        yield f"/delivery/{partner}", {"delivery": partner}
    for state in ("ca", "tx", "ny", "fl", "il"):
        yield f"/delivery/doorrush/{state}", {"delivery": "doorrush", "state": state}
    for market in ("los-angeles-ca", "new-york-ny", "chicago-il"):
        yield f"/delivery/campuscart/{market}", {"delivery": "campuscart", "market": market}
    for kind in ("grill", "fryer", "camera"):
        for model in census.values(kind):
            yield f"/devices/{kind}/{model.lower()}", {kind: model}
    for uplink in census.values("uplink"):
        yield f"/devices/uplink/{uplink}", {"uplink": uplink}
    for language in census.values("languages"):
        yield f"/marketing/languages/{language}", {"languages": language}
    for tier in census.values("tier"):
        yield f"/marketing/prices/tier-{tier}", {"tier": tier}
    for market in sorted(census.values("market"), key=lambda m: (-census.count(("market",))[m,], m))[:20]:
        yield f"/marketing/television/{market}", {"market": market}


def _odd_ones() -> Iterator[tuple[str, str, Callable[[DemoStore], bool]]]:
    """Yield the groups that need more than equality, with the same sentence in Python."""
    yield "/devices/lanes/any", "lanes >= 1", lambda s: s.labels["lanes"] != "0"
    yield "/devices/lanes/multi", "lanes >= 2", lambda s: s.labels["lanes"] in ("2", "3")
    yield "/devices/camera", "has(camera)", lambda s: "camera" in s.labels
    yield "/devices/thin-uplink", "uplink in (lte, satellite)", lambda s: s.labels["uplink"] in ("lte", "satellite")
    yield "/planogram/before-2000", "opened < 2000", lambda s: int(str(s.labels["opened"])) < 2000
    yield "/marketing/new-stores", "opened >= 2025", lambda s: int(str(s.labels["opened"])) >= 2025
    yield "/devices/smart-grills/northeast-corporate", SMART_GRILLS, _smart_grill


def _smart_grill(store: DemoStore) -> bool:
    labels = store.labels
    return (
        labels["ownership"] == "corporate"
        and labels["size"] in ("large", "xl")
        and labels["lanes"] in ("2", "3")
        and bool({"Acme3000", "Acme3001"} & set(_values(store, "grill")))
        and any(labels["state"] in states.split() for states in REGIONS["northeast"].values())
    )


def _by_hand(fleet: DemoFleet) -> list[dict[str, Any]]:
    """Return the groups whose members somebody picked: pilots, and the one store that opens first."""
    pilots = max(1, len(fleet.stores) // 100)
    picked = [store.name for store in fleet.stores[:: len(fleet.stores) // pilots]][:pilots]
    members = {PILOT: picked, "/marketing/pilots/kiosk": picked[::20], LIVE: [fleet.stores[0].name]}
    return [
        {"apiVersion": API_VERSION, "kind": "Group", "metadata": {"path": path}, "spec": {"stores": stores}}
        for path, stores in members.items()
    ]
