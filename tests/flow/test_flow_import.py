"""Imports over HTTP: only what has a column changes, the answer tells what that moves, and much asks first."""

from typing import Any

import pytest

from tests.flow.conftest import Server, store

CSV = {"Content-Type": "text/csv"}
FLEET = "name,timezone,tier,state,lanes\n" + "".join(f"dl-{n},America/Chicago,gold,tx,2\n" for n in range(10))
MANAGERS = "name,timezone,manager\n" + "".join(f"dl-{n},America/Chicago,mgr{n}\n" for n in range(3))


@pytest.fixture
def server(quiet_server: Server) -> Server:
    return quiet_server


async def imported(server: Server, rows: str | bytes, *, status: int = 200, **query: str) -> dict[str, Any]:
    response = await server.client.post("/v1/stores:import", content=rows, headers=CSV, params=query)
    assert response.status_code == status, response.text
    await server.settled()
    answer: dict[str, Any] = response.json()
    return answer


async def declared(server: Server, kind: str, name: str, **spec: Any) -> None:
    document = {"kind": kind, "metadata": {"name": name}, "spec": spec}
    response = await server.declare(document)
    assert response.status_code in (200, 201), response.text
    await server.settled()


@pytest.fixture
async def loyal(server: Server) -> Server:
    """Ten gold stores with an application that only gold stores get."""
    await imported(server, FLEET)
    await declared(server, "Namespace", "loy", expression='tier = gold and name like "dl-*"', owners=["t"])
    await declared(server, "Application", "loyalty", namespace="loy")
    return server


async def test_columns_that_are_missing_change_nothing(loyal: Server) -> None:
    answer = await imported(loyal, MANAGERS)
    assert (answer["configured"], answer["placements"]) == (3, {})
    assert answer["labels"] == {"manager": {"removed": 0, "changed": 0, "set": 3}}
    kept = (await loyal.get("/v1/stores/dl-1"))["metadata"]["labels"]
    assert kept == {"tier": "gold", "state": "tx", "lanes": "2", "manager": "mgr1"}
    assert "loy" in (await loyal.get("/v1/clusters/dl-1"))["namespaces"]


async def test_fewer_columns_and_empty_cells_keep_the_rest_of_a_store(server: Server) -> None:
    document = store("fc-1", size="large", ownership="corporate")
    document["spec"] |= {
        "hours": [{"days": ["mon"], "open": "06:00", "close": "22:00"}, {"date": "2026-12-25", "closed": True}],
        "clusters": [
            {"name": "fc-1", "capacity": {"cpu": "4", "memory": "8Gi"}, "labels": {"role": "till"}},
            {"name": "fc-1-kitchen", "labels": {"role": "kitchen"}, "capacity": {"cpu": "1"}},
        ],
    }
    await server.declare(document)
    await imported(server, "name,timezone,tier\nfc-1,America/Chicago,gold\n")
    answer = await imported(server, "name,timezone,tier,cpu,memory,hours\nfc-1,America/Chicago,gold,8,,\n")
    assert (answer["fields"], answer["labels"]) == ({"capacity": 1}, {})
    after = await server.get("/v1/stores/fc-1")
    document["spec"]["clusters"][0]["capacity"]["cpu"] = "8"
    assert after["spec"] == document["spec"]
    assert after["metadata"]["labels"] == {"size": "large", "ownership": "corporate", "tier": "gold"}

    answer = await imported(server, "name,tier,memory,hours\nfc-1,,,\n", empty_removes="true")
    assert answer["fields"] == {"capacity": 1, "exceptions": 1, "hours": 1}
    assert answer["labels"] == {"tier": {"removed": 1, "changed": 0, "set": 0}}
    after = await server.get("/v1/stores/fc-1")
    assert "hours" not in after["spec"]
    assert after["spec"]["clusters"][0] == {"name": "fc-1", "capacity": {"cpu": "8"}, "labels": {"role": "till"}}
    assert after["spec"]["clusters"][1] == document["spec"]["clusters"][1]


async def test_the_report_tells_losses_per_label_and_the_placements_that_they_move(loyal: Server) -> None:
    rows = "name,tier,lanes\ndl-0,,3\ndl-1,silver,\n"
    answer = await imported(loyal, rows, empty_removes="true", dry_run="true")
    assert answer["labels"] == {
        "lanes": {"removed": 1, "changed": 1, "set": 0},
        "tier": {"removed": 1, "changed": 1, "set": 0},
    }
    assert answer["placements"] == {"loyalty": {"removed": 2, "other_release": 0, "added": 0}}
    assert answer["needs_confirmation"] is False
    assert (await loyal.get("/v1/stores/dl-0"))["metadata"]["labels"]["tier"] == "gold"
    again = await imported(loyal, rows, empty_removes="true")
    assert {key: again[key] for key in ("labels", "placements")} == {
        key: answer[key] for key in ("labels", "placements")
    }


async def test_placements_come_and_go_with_releases_and_law_too(loyal: Server) -> None:
    manifests = {"manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {}\n"}
    for version in ("1.0.0", "2.0.0"):
        put = await loyal.client.put(f"/v1/applications/loyalty/releases/{version}", json=manifests)
        assert put.status_code == 201, put.text
    choices = [{"expression": "state = tx", "version": "1.0.0"}, {"expression": "lanes >= 4", "version": "2.0.0"}]
    choices[1]["allow_empty"] = True  # type: ignore[assignment]  # mypy takes the values for texts
    put = await loyal.client.put("/v1/applications/loyalty/release-choices", json={"choices": choices})
    assert put.status_code in (200, 201), put.text
    await loyal.settled()
    await declared(
        loyal,
        "PlacementPolicy",
        "not-in-ok",
        forbid={"applications": ["loyalty"]},
        clusters="state = ok",
        allow_empty=True,
        basis="law 1",
        enforcement="immediate",
    )
    answer = await imported(loyal, "name,state,lanes\ndl-0,ca,\ndl-1,ok,\ndl-2,,5\n", dry_run="true")
    assert answer["placements"] == {"loyalty": {"removed": 2, "other_release": 1, "added": 0}}


async def test_an_import_that_removes_many_placements_asks_first(loyal: Server) -> None:
    rows = "name,tier\n" + "".join(f"dl-{n},bronze\n" for n in range(5))
    position = await loyal.settled()
    refused = await imported(loyal, rows, status=409)
    assert (refused["code"], refused["removed"], refused["placed"]) == ("needs-confirmation", 5, 10)
    assert "loyalty from 5" in refused["detail"]
    assert refused["report"]["placements"] == {"loyalty": {"removed": 5, "other_release": 0, "added": 0}}
    assert await loyal.settled() == position
    tried = await imported(loyal, rows, dry_run="true")
    assert (tried["needs_confirmation"], tried["configured"]) == (True, 5)
    taken = await imported(loyal, rows, confirmed="true")
    assert taken["configured"] == 5


async def test_only_who_may_import_there_is_asked(loyal: Server) -> None:
    await declared(loyal, "Role", "importer", rules=[{"verbs": ["apply"], "kinds": ["Store"]}])
    await declared(loyal, "RoleBinding", "ann", role="importer", subjects=[{"user": "ann"}], clusters="/c/dl-9")
    token = loyal.embedded.tokens.issue("ann", frozenset())
    rows = "name,tier\n" + "".join(f"dl-{n},bronze\n" for n in range(5))
    async with loyal.client_for(token) as client:
        response = await client.post("/v1/stores:import", content=rows, headers=CSV)
    assert response.status_code == 403


async def test_the_zone_of_a_place_is_shown_and_an_existing_store_keeps_its_own(server: Server) -> None:
    rows = "name,state,zip,latitude,longitude\na,TX,78701,,\nb,,,39.7392,-104.9903\n"
    tried = await imported(server, rows, dry_run="true")
    assert tried["zones"] == [
        {"row": 2, "store": "a", "timezone": "America/Chicago", "from": "state TX, zip 78701"},
        {"row": 3, "store": "b", "timezone": "America/Denver", "from": "latitude 39.7392, longitude -104.9903"},
    ]
    await imported(server, rows)
    assert (await server.get("/v1/stores/b"))["spec"]["timezone"] == "America/Denver"
    again = await imported(server, rows.replace("TX,78701", "CA,90001"))
    assert (again["zones"], again["fields"]) == ([], {})
    assert (await server.get("/v1/stores/a"))["spec"]["timezone"] == "America/Chicago"


async def test_every_row_that_is_wrong_is_told_at_once(server: Server) -> None:
    await server.declare(store("old"))
    rows = "name,timezone,state,zip\nold,,,\nnew,,,\nplaced,,CA,78701\nbad,Factory,,\nfine,UTC,,\n"
    refused = await imported(server, rows, status=422)
    assert refused["errors_count"] == 3
    assert [(each["row"], each["column"]) for each in refused["errors"]] == [
        (3, "timezone"),
        (4, "zip"),
        (5, "timezone"),
    ]


async def test_zones_by_other_names_are_refused_with_the_right_one(server: Server) -> None:
    hints = {
        "Central Standard Time": "America/Chicago",
        "CST": "America/Chicago",
        "UTC-6": "America/Chicago",
        "america/chicago": "America/Chicago",
        "Pacific Time (US & Canada)": "America/Los_Angeles",
        "Factory": "",
        "posixrules": "",
        "localtime": "",
        "US/Pacific-New": "America/Los_Angeles",
        "ET": "America/New_York",
    }
    rows = "name,timezone\n" + "".join(f"z-{n},{name}\n" for n, name in enumerate(hints)) + "z-e,\nz-est,EST\n"
    refused = await imported(server, rows, status=422)
    assert [each["row"] for each in refused["errors"]] == list(range(2, len(hints) + 3))
    for error, meant in zip(refused["errors"], hints.values(), strict=False):
        assert meant in error["detail"]
    warned = await imported(server, "name,timezone\nz-est,EST\n", dry_run="true")
    assert warned["warnings"] == ["the zone EST of 1 store never changes its clocks; is America/New_York meant?"]


async def test_blanks_separators_and_rows_of_excel(server: Server) -> None:
    await imported(
        server, "name,timezone,size,state\ns-2,America/Chicago,large ,tx\ns-3 , America/Chicago\u00a0,large,tx\n"
    )
    await imported(server, "name;timezone;size;state\ns-4;America/Chicago;large;tx\n")
    await imported(server, "name,timezone,size,state\ns-5,America/Chicago,large,tx\n,,,\n,,,\n")
    await imported(server, "name\ttimezone\tsize\tstate\ns-6\tAmerica/Chicago\tlarge\ttx\n".encode("utf-16"))
    assert await server.get("/v1/stores:count", where="size = large and state = tx") == {"count": 5}


async def test_a_dry_run_that_changes_nothing_counts_all_the_same(loyal: Server) -> None:
    answer = await imported(loyal, FLEET, dry_run="true")
    assert (answer["unchanged"], answer["configured"], answer["created"]) == (10, 0, 0)
