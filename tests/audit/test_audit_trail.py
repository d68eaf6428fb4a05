"""Who did what, when and why: the trail's sentences, and the questions that are asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient
from pyroaring import BitMap

from libs.bus import view_engine
from libs.contracts import Recorded, event_types
from libs.contracts.refusals import Invalid
from libs.eventlog import EventLog
from libs.fleet import packed
from services.audit.app import build as audit
from services.audit.asking import subject_asked, types_asked
from services.audit.domain import read_time, tell_event
from services.audit.projections import Asked, AuditTrail
from services.inventory.app import build as inventory
from tests.audit.audit_words import HISTORY, ODD, START, log_at
from tests.flow.conftest import Server, running, store
from tests.support.feeds import in_chaos, in_order
from tests.support.postgres import cluster


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with log_at(tmp_path / "log.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def trail(request: pytest.FixtureRequest, log: EventLog, tmp_path: Path) -> AsyncIterator[AuditTrail]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'audit.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_views()
    engine = view_engine(url)
    made = AuditTrail(log, engine)
    await in_order(log, made)
    yield made
    await engine.dispose()


async def asked(trail: AuditTrail, **what: Any) -> list[int]:
    return [item["position"] for item in await trail.page(Asked(**what), 100, newest=False)]


async def test_the_trail_tells_who_did_what_when_and_why(trail: AuditTrail) -> None:
    told = await trail.page(Asked(), 100, newest=False)

    assert [item["sentence"] for item in told] == [
        "declared store tx-1 with 2 clusters",
        "declared store tx-2",
        "declared group /geo/us",
        "declared application pos-api in namespace pos",
        "chose 2 releases of pos-api",
        "decided an admission of 60,000 clusters",
        "wrote commit cccccccccccc on branch main",
        "confirmed the held removals of plan ab12",
        "removed store tx-2",
    ]
    assert [item["actor"] for item in told] == [actor for actor, _, _ in HISTORY]
    assert told[0] == {
        "position": 1,
        "time": "2026-11-24T00:01:00Z",
        "actor": "ada",
        "type": "dev.resedge.inventory.StoreDeclared.v1",
        "subject": "store/tx-1",
        "sentence": "declared store tx-1 with 2 clusters",
        "reason": None,
        "correlationid": "c-1",
    }
    assert told[5]["reason"] == "A (1); B (2)"
    assert told[7]["reason"] == ODD.replace("\0", "\N{REPLACEMENT CHARACTER}")


async def test_whatever_an_event_speaks_of_leads_to_it(trail: AuditTrail) -> None:
    assert await asked(trail, subject="tx-1", kinds=("store",)) == [1, 3]
    assert await asked(trail, subject="tx-2") == [2, 3, 9]
    assert await asked(trail, subject="tx-1-kitchen", kinds=("cluster", "store")) == [1]
    assert await asked(trail, subject="/geo/us", kinds=("group",)) == [3]
    assert await asked(trail, subject="pos-api", kinds=("application",)) == [4, 5, 6]
    assert await asked(trail, subject="pos-api/1.1.0", kinds=("release",)) == [5]
    assert await asked(trail, subject="pos", kinds=("namespace",)) == [4, 6]
    assert await asked(trail, subject="main", kinds=("branch",)) == [6, 7, 8]
    assert await asked(trail, subject="main", actor="ünï ☃") == [8]
    assert await asked(trail, subject="nobody") == []


async def test_questions_narrow_by_actor_type_and_half_open_interval(trail: AuditTrail) -> None:
    minute = [START + timedelta(minutes=number) for number in range(11)]

    assert await asked(trail, actor="bob") == [3, 4, 5]
    assert await asked(trail, types=types_asked("StoreRemoved")) == [9]
    assert await asked(trail, types=types_asked("inventory"), actor="ada") == [1, 2, 9]
    assert await asked(trail, since=minute[3], until=minute[5]) == [3, 4]
    assert await asked(trail, since=minute[9]) == [9]
    assert await asked(trail, since=minute[10]) == []
    assert await asked(trail, until=minute[1]) == []
    assert await asked(trail, since=minute[5], until=minute[3]) == []
    assert await trail.count(Asked(since=minute[3], until=minute[5])) == 2
    assert await trail.positions(Asked(subject="tx-2", after=2), 10) == [3, 9]


async def test_pages_follow_each_other_in_both_orders(trail: AuditTrail) -> None:
    newest = await trail.page(Asked(before=8), 3, newest=True)
    oldest = await trail.page(Asked(after=7), 3, newest=False)

    assert [item["position"] for item in newest] == [7, 6, 5]
    assert [item["position"] for item in oldest] == [8, 9]
    for actor, pages in ((None, [[8, 7], [7, 6], [6]]), ("resedge/rendering", [[7, 6], [7, 6], [6]])):
        about = [Asked(subject="main", before=before, actor=actor) for before in (9, 8, 7)]
        assert [[item["position"] for item in await trail.page(each, 2, newest=True)] for each in about] == pages
    assert [item["position"] for item in await trail.page(Asked(subject="tx-2", after=2), 1, newest=False)] == [3]


async def test_the_trail_is_the_same_whatever_the_feed_does(log: EventLog, tmp_path: Path) -> None:
    found = []
    for number in range(4):
        engine = view_engine(f"sqlite+aiosqlite:///{tmp_path / str(number)}.db")
        if number:
            made = await in_chaos(log, lambda here=engine: AuditTrail(log, here), seed=number)  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
        else:
            made = await in_order(log, AuditTrail(log, engine))
        found.append(await made.page(Asked(), 100, newest=True))
        await engine.dispose()
    assert all(each == found[0] for each in found)
    assert len(found[0]) == len(HISTORY)


@pytest.mark.parametrize("name", sorted(event_types()))
def test_every_event_type_is_told(name: str) -> None:
    cls = event_types()[name]
    nobody = packed(BitMap())
    values = {"int": 1, "float": 1.0, "bytes": nobody, "bool": False, "list[str]": [], "datetime": START}
    required = {
        each.name: values.get(str(each.type), "x")
        for each in fields(cls)
        if each.default is MISSING and each.default_factory is MISSING
    }

    told = tell_event(Recorded(1, "e", "thing-x", 1, name, START, "ada", cls(**required), b""))

    assert told.sentence.split()[0].islower()
    assert len(told.sentence.split()) > 1
    assert told.sentence == told.sentence.strip()


@pytest.mark.parametrize(
    ("text", "kinds", "name"),
    [
        ("store/tx-1", ("store",), "tx-1"),
        ("stores/tx-1", ("store",), "tx-1"),
        ("cluster/tx-1", ("cluster", "store"), "tx-1"),
        ("group/geo/us", ("group",), "/geo/us"),
        ("group//geo/us", ("group",), "/geo/us"),
        ("release/pos-api/1.0.0", ("release",), "pos-api/1.0.0"),
        ("/geo/us", (), "/geo/us"),
        ("pos-api/1.0.0", (), "pos-api/1.0.0"),
        ("tx-1", (), "tx-1"),
    ],
)
def test_a_subject_is_a_kind_and_a_name_or_a_plain_name(text: str, kinds: tuple[str, ...], name: str) -> None:
    assert subject_asked(text) == (kinds, name)


def test_an_instant_has_an_offset() -> None:
    assert read_time("2026-11-24T06:00:00-06:00") == read_time("2026-11-24t12:00:00.000z")
    for text in ("2026-11-24", "2026-11-24T06:00:00", "20261124T060000Z", "yesterday", "2026-13-01T00:00:00Z", ""):
        with pytest.raises(Invalid) as refused:
            read_time(text)
        assert "2026-11-24T06:00:00Z" in str(refused.value.fix)
    with pytest.raises(Invalid):
        read_time("0001-01-01T00:00:00+14:00")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path / "data", [inventory, audit]) as made:
        yield made


async def test_the_trail_is_asked_over_http_page_by_page(server: Server) -> None:
    for number in range(5):
        await server.declare(store(f"tx-{number}"))
    first = await server.client.get("/v1/audit", params={"limit": 2, "position": await server.settled()})
    body = first.json()

    assert [item["position"] for item in body["items"]] == [5, 4]
    assert first.headers["Resedge-Position"] == "5"
    second = (await server.client.get(first.links["next"]["url"])).json()
    assert [item["position"] for item in second["items"]] == [3, 2]
    oldest = await server.get("/v1/audit", order="oldest", subject="stores/tx-3")
    assert [item["sentence"] for item in oldest["items"]] == ["declared store tx-3"]
    assert (await server.get("/v1/audit", actor="nobody"))["items"] == []
    assert len((await server.get("/v1/audit", **{"from": "2000-01-01T00:00:00Z"}))["items"]) == 5


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"from": "2026-11-24"}, "?from"),
        ({"until": "soon"}, "?until"),
        ({"type": "StoreDeclard"}, "?type"),
        ({"order": "sideways"}, "?order"),
        ({"limit": "0"}, "?limit"),
        ({"cursor": "!"}, "?cursor"),
        ({"cursor": "YQ"}, "?cursor"),
        ({"subject": "x" * 2000}, "?subject"),
        ({"actor": "a\0b"}, "?actor"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_name(server: Server, query: dict[str, str], pointer: str) -> None:
    answer = await server.client.get("/v1/audit", params=query)

    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)


async def test_auditors_need_a_token_and_only_that_of_a_viewer(server: Server) -> None:
    viewer = server.client_for(server.embedded.tokens.issue("auditor", frozenset({"viewer"})))
    nobody: AsyncClient = server.client_for(None)
    async with viewer, nobody:
        for path in ("/v1/audit", "/v1/events:export"):
            assert (await viewer.get(path)).status_code == 200
            assert (await nobody.get(path)).status_code == 401
