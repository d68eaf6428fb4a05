from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from services.inventory.documents import parse_store, store_document
from services.inventory.documents.hours import hours_from_text
from services.inventory.domain import DeclareStore, decide, relabelled, without_cluster
from services.inventory.events import HoursException, StoreDeclared

AT = datetime(2026, 11, 24, tzinfo=UTC)

FULL: dict[str, Any] = {
    "apiVersion": "resedge.dev/v1",
    "kind": "Store",
    "metadata": {"name": "tx-austin-0042", "labels": {"size": "large", "grill": ["Acme3000", "Acme3001"]}},
    "spec": {
        "timezone": "America/Chicago",
        "hours": [{"days": ["mon", "tue"], "open": "06:00", "close": "23:00"}],
        "clusters": [
            {"name": "tx-austin-0042", "capacity": {"cpu": "4", "memory": "8Gi"}},
            {"name": "tx-austin-0042-kitchen", "labels": {"role": "kitchen"}},
        ],
    },
}


def event_of(document: dict[str, Any], name: str | None = None) -> Any:
    _, make = parse_store(document, name)
    return decide(make("ada", AT), Absent(), Fleet())[0]


def test_a_document_comes_back_as_it_was_declared() -> None:
    assert store_document(event_of(FULL), Fleet()) == FULL


def test_a_store_without_listed_clusters_has_one_of_its_name() -> None:
    event = event_of({"kind": "Store", "metadata": {"name": "a"}, "spec": {"timezone": "UTC"}})
    assert [each.name for each in event.clusters] == ["a"]


def test_an_empty_list_of_clusters_is_kept_empty() -> None:
    assert event_of({"metadata": {"name": "a"}, "spec": {"timezone": "UTC", "clusters": []}}).clusters == []


@pytest.mark.parametrize(
    ("change", "pointer", "near"),
    [
        ({"spec": {"timezon": "UTC"}}, "/spec/timezon", "timezone"),
        ({"spec": {"timezone": "America/Chicgo"}}, "/spec/timezone", "America/Chicago"),
        ({"spec": {"timezone": "UTC", "clusters": [{"name": "a", "labls": {}}]}}, "/spec/clusters/0/labls", "labels"),
        ({"spec": {"timezone": "UTC", "clusters": [{"name": "a"}, {"name": "a"}]}}, "/spec/clusters/1/name", None),
        ({"spec": {"timezone": "UTC", "clusters": [{"name": ".git"}]}}, "/spec/clusters/0/name", None),
        ({"spec": {}}, "/spec/timezone", None),
        ({"metadata": {"name": "../../x"}}, "/metadata/name", None),
        ({"metadata": {"name": "a", "labels": {"size": 3}}}, "/metadata/labels/size", None),
        ({"metadata": {"name": "a", "labels": {"-x": "3"}}}, "/metadata/labels/-x", None),
        ({"metadata": {"name": "a", "lables": {}}}, "/metadata/lables", "labels"),
        ({"kind": "Shop"}, "/kind", None),
        ({"apiVersion": "v1"}, "/apiVersion", None),
        (
            {"spec": {"timezone": "UTC", "hours": [{"days": ["mon"], "open": "6:00", "close": "23:00"}]}},
            "/spec/hours/0/open",
            None,
        ),
        (
            {"spec": {"timezone": "UTC", "hours": [{"days": ["monday"], "open": "06:00", "close": "23:00"}]}},
            "/spec/hours/0/days/0",
            "mon",
        ),
        (
            {"spec": {"timezone": "UTC", "clusters": [{"name": "a", "capacity": {"cpu": "4 cores"}}]}},
            "/spec/clusters/0/capacity/cpu",
            None,
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, Any], pointer: str, near: str | None) -> None:
    document = {"kind": "Store", "metadata": {"name": "a"}, "spec": {"timezone": "UTC"}} | change
    with pytest.raises(Invalid) as refusal:
        parse_store(document, None)
    assert refusal.value.pointer == pointer
    assert refusal.value.extra.get("nearest") == near


def test_the_name_in_the_url_and_in_the_document_must_agree() -> None:
    with pytest.raises(Invalid, match="the URL says"):
        parse_store({"metadata": {"name": "a"}, "spec": {"timezone": "UTC"}}, "b")


def test_hours_are_read_from_text() -> None:
    first, second = hours_from_text("mon-wed,fri 06:00-23:00; sat-sun 07:00-02:00").regular
    assert (first.days, first.open, first.close) == (["mon", "tue", "wed", "fri"], "06:00", "23:00")
    assert second.days == ["sat", "sun"]
    with pytest.raises(Invalid):
        hours_from_text("always")


HOURS = [
    {"days": ["mon"], "open": "06:00", "close": "23:00"},
    {"date": "2026-12-24", "open": "08:00", "close": "14:00"},
    {"date": "2026-12-25", "closed": True},
]


def with_hours(*items: object) -> dict[str, object]:
    return {"metadata": {"name": "a"}, "spec": {"timezone": "UTC", "hours": list(items)}}


def test_dated_exceptions_are_kept_by_date_and_written_back() -> None:
    _, make = parse_store(with_hours(HOURS[2], HOURS[0], HOURS[1]), None)
    command = make("ada", AT)
    assert isinstance(command, DeclareStore)
    assert command.store.exceptions == [HoursException("2026-12-24", "08:00", "14:00"), HoursException("2026-12-25")]

    (event,) = decide(command, Absent(), Fleet())
    assert isinstance(event, StoreDeclared)
    assert store_document(event, Fleet())["spec"]["hours"] == HOURS
    assert relabelled(event, {"size": "xl"}, ()).exceptions == event.exceptions
    assert without_cluster(event, "a", "ada", command.at).store.exceptions == event.exceptions


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ({"open": "08:00", "close": "14:00"}, "/spec/hours/0"),
        ({"days": ["mon"], "date": "2026-12-24", "open": "08:00", "close": "14:00"}, "/spec/hours/0"),
        ({"date": "2026-02-30", "closed": True}, "/spec/hours/0/date"),
        ({"date": "24.12.2026", "closed": True}, "/spec/hours/0/date"),
        ({"date": "2026-12-24", "open": "08:00"}, "/spec/hours/0/close"),
        ({"date": "2026-12-24", "open": "08:00", "close": "08:00"}, "/spec/hours/0/close"),
        ({"date": "2026-12-24", "open": "08:00", "closed": True}, "/spec/hours/0/closed"),
        ({"date": "2026-12-24", "closed": False}, "/spec/hours/0/closed"),
        ({"days": ["mon"], "closed": True}, "/spec/hours/0/closed"),
    ],
)
def test_an_exception_says_one_date_and_when_it_is_open(item: dict[str, object], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_store(with_hours(item), None)
    assert caught.value.pointer == pointer


def test_a_date_has_one_exception() -> None:
    with pytest.raises(Invalid, match="2026-12-25 is listed twice"):
        parse_store(with_hours(HOURS[2], HOURS[2]), None)
    many = [{"date": f"20{year}-01-{day:02}", "closed": True} for year in range(26, 40) for day in range(1, 32)]
    with pytest.raises(Invalid, match="more than 400"):
        parse_store(with_hours(*many), None)


def test_exceptions_are_read_from_text() -> None:
    read = hours_from_text("daily 06:00-22:00; 2026-12-25 closed; 2026-12-24  08:00-14:00")

    assert len(read.regular) == 1
    assert read.exceptions == (HoursException("2026-12-24", "08:00", "14:00"), HoursException("2026-12-25"))
    for wrong in ("2026-12-24", "2026-13-01 closed", "mon closed", "2026-12-24 closed; 2026-12-24 08:00-14:00"):
        with pytest.raises(Invalid):
            hours_from_text(wrong)
