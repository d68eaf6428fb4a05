"""The demo's fleet is the same on every machine, and looks like a chain of stores on the real map."""

import csv
import hashlib
import io
import re
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from cli.demo.fleet import LABEL_KEYS, DemoFleet, make_fleet, stores_csv
from cli.demo.places import apportion, places
from libs.contracts.instants import DAYS

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
DIGEST_OF_1000 = "f94d1baa9959a845f61592d4730fbfdba99b4b92ad326779598e1c927855a23f"


def test_the_same_fleet_is_the_same_bytes_everywhere() -> None:
    assert hashlib.sha256(stores_csv(make_fleet(1_000))).hexdigest() == DIGEST_OF_1000


def test_another_seed_is_another_fleet() -> None:
    assert stores_csv(make_fleet(100, seed="another")) != stores_csv(make_fleet(100))


@pytest.mark.parametrize("stores", [1, 2, 7, 999])
def test_a_fleet_has_exactly_the_stores_that_were_asked_for(stores: int) -> None:
    made = make_fleet(stores)

    assert len(made.stores) == stores
    assert len({store.name for store in made.stores}) == stores
    assert made.kitchens


def test_a_fleet_without_a_store_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one store"):
        make_fleet(0)


def test_stores_follow_the_people(fleet: DemoFleet) -> None:
    towns = places()
    people = sum(town.population for town in towns)
    in_texas = sum(town.population for town in towns if town.state == "tx")
    counts = Counter(store.labels["state"] for store in fleet.stores)

    assert counts["tx"] == pytest.approx(60_000 * in_texas / people, rel=0.05)
    assert counts.most_common(1)[0][0] == "ca"


def test_apportioning_gives_every_store_away_and_nobody_more_than_their_share() -> None:
    weights = (5, 0, 3, 3, 1, 1_000_003)

    for stores in (0, 1, 17, 5_000):
        counts = apportion(stores, weights)
        assert sum(counts) == stores
        assert all(abs(count - stores * w / sum(weights)) < 1 for count, w in zip(counts, weights, strict=True))


def test_every_name_fits_a_cluster_and_its_kitchen(fleet: DemoFleet) -> None:
    assert all(NAME.fullmatch(store.name) and len(f"{store.name}-kitchen") <= 63 for store in fleet.stores)
    assert set(fleet.kitchens) <= {store.name for store in fleet.stores}
    assert len(fleet.kitchens) == 240


def test_every_time_zone_is_real_and_stores_of_a_town_share_it(fleet: DemoFleet) -> None:
    zones = {store.timezone for store in fleet.stores}

    assert {"America/New_York", "America/Phoenix", "Pacific/Honolulu", "America/Indiana/Knox"} <= zones
    assert all(ZoneInfo(zone).key == zone for zone in zones)
    towns: dict[tuple[object, object], set[str]] = {}
    for store in fleet.stores:
        towns.setdefault((store.labels["state"], store.labels["city"]), set()).add(store.timezone)
    assert all(len(its) == 1 for its in towns.values())


def test_every_store_opens_on_every_day_of_the_week(fleet: DemoFleet) -> None:
    for hours in {store.hours for store in fleet.stores}:
        assert sorted(day for entry in hours for day in entry.days) == sorted(DAYS)
        assert all(re.fullmatch(r"([01]\d|2[0-4]):[0-5]\d", clock) for e in hours for clock in (e.opens, e.closes))


def test_labels_are_ones_that_expressions_can_ask_for(fleet: DemoFleet) -> None:
    values = [
        value for s in fleet.stores for its in s.labels.values() for value in ((its,) if isinstance(its, str) else its)
    ]

    assert {key for store in fleet.stores for key in store.labels} == set(LABEL_KEYS)
    assert all(value and len(value) <= 63 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", value) for value in set(values))


def test_franchised_stores_and_only_they_have_an_operator(fleet: DemoFleet) -> None:
    assert all(("franchisee" in store.labels) == (store.labels["ownership"] == "franchise") for store in fleet.stores)
    assert 0.3 < sum(store.labels["ownership"] == "corporate" for store in fleet.stores) / 60_000 < 0.5


def test_some_stores_have_several_grills_partners_and_languages(fleet: DemoFleet) -> None:
    for key in ("grill", "fryer", "delivery", "languages"):
        several = [its for store in fleet.stores if isinstance(its := store.labels.get(key), tuple)]
        assert len(several) > 600
        assert all(list(its) == sorted(set(its)) for its in several)


@pytest.mark.parametrize("stores", [1, 5])
def test_a_tiny_fleet_still_has_every_label_key(stores: int) -> None:
    assert {key for store in make_fleet(stores).stores for key in store.labels} == set(LABEL_KEYS)


def test_the_import_has_one_row_a_store_and_one_column_a_label(fleet: DemoFleet) -> None:
    rows = list(csv.DictReader(io.StringIO(stores_csv(fleet).decode())))
    austin = next(row for row in rows if row["name"] == "tx-austin-0042")

    assert len(rows) == 60_000
    assert austin["timezone"] == "America/Chicago"
    assert (austin["state"], austin["city"], austin["market"]) == ("tx", "austin", "austin-tx")
    assert any("|" in row["grill"] for row in rows)
