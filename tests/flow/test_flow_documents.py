"""`POST /v1/documents`: documents of all kinds as one change, all of them or none, in one range of positions."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from cli.embedded import SERVICES
from libs.access.principals import Principal
from libs.commands.intents import Intent
from libs.commands.proposals import Proposal
from libs.contracts import By, GroupDeclared, Recorded
from libs.contracts.documents import DECIDED_BY
from libs.fleet import Fleet
from libs.kinds import BY_DOCUMENT
from tests.flow.conftest import Server, running, store

Document = dict[str, Any]


def document(kind: str, name: str, **spec: Any) -> Document:
    metadata = {"path": name} if kind == "Group" else {"name": name}
    return {"kind": kind, "metadata": metadata, "spec": spec}


def stores(count: int, **labels: str) -> list[Document]:
    return [store(f"s-{number}", size=("l", "xl")[number % 2], **labels) for number in range(count)]


FLEET = [
    document("Configuration", "loud", applications=["pos-api"], expression="/g/geo/us", values={"level": "debug"}),
    document("Application", "pos-api", namespace="pos"),
    document("Freeze", "hold", clusters="/g/geo/us", reason="r", owner="o", **{"from": "2020-01-01T00:00:00Z"}),
    document("Namespace", "pos", expression="/g/geo", signoff="two"),
    document("RoleBinding", "ann", role="team", subjects=[{"user": "ann"}], clusters="/n/pos"),
    document("Group", "/geo/us", expression="size = xl"),
    document("SignOff", "two", stages=[{"roles": ["team"], "quorum": 1}]),
    document("Group", "/geo", stores=["s-0"]),
    document("Role", "team", rules=[{"verbs": ["get"], "kinds": ["*"]}]),
    *stores(4),
]
FLEET[2]["spec"]["until"] = "2021-01-01T00:00:00Z"


async def apply(server: Server, *documents: Document, **query: Any) -> Any:
    answer = await server.client.post("/v1/documents", json={"documents": list(documents)}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(server: Server, *documents: Document, **query: Any) -> Any:
    before = server.embedded.log.head().position
    answer = await server.client.post("/v1/documents", json={"documents": list(documents)}, params=query)
    assert answer.status_code >= 400, answer.text
    assert server.embedded.log.head().position == before
    return answer.json()


def recorded(server: Server) -> list[Recorded]:
    return server.embedded.log.read_recorded(0, 100_000)


@pytest.mark.parametrize("seed", range(3))
async def test_in_whatever_order_they_come_they_are_one_range_of_the_log(quiet_server: Server, seed: int) -> None:
    server = quiet_server
    shuffled = list(FLEET)
    random.Random(seed).shuffle(shuffled)
    tried = await apply(server, *shuffled, dry_run="true")
    assert server.embedded.log.head().position == 0
    told = await apply(server, *shuffled)

    assert [each["result"] for each in told["results"]] == ["created"] * len(FLEET)
    assert (told["first"], told["position"]) == (1, len(FLEET))
    positions = {each["position"] for each in told["results"]}
    assert positions == set(range(1, len(FLEET) + 1))
    log = recorded(server)
    assert len({each.correlation_id for each in log}) == 1
    assert [server.embedded.log.continues(each.position) for each in log] == [True] * (len(FLEET) - 1) + [False]
    for each, result in zip(shuffled, told["results"], strict=True):
        name = each["metadata"].get("path") or each["metadata"]["name"]
        assert (result["kind"], result["name"]) == (each["kind"], name)
        assert log[result["position"] - 1].stream == f"{each['kind'].lower()}-{name}"
    events = [event["stream"] for result in tried["results"] for event in result["events"]]
    assert sorted(events) == sorted(each.stream for each in log)
    again = await apply(server, *shuffled)
    assert {each["result"] for each in again["results"]} == {"unchanged"}
    assert server.embedded.log.head().position == len(FLEET)


async def test_together_they_come_to_what_they_come_to_one_by_one(quiet_server: Server, tmp_path: Any) -> None:
    told = await apply(quiet_server, *FLEET)
    async with running(tmp_path / "other", _builds(quiet_server)) as other:
        for index in told["order"]:
            assert (await other.declare(FLEET[index])).status_code == 201, FLEET[index]
        await other.settled()
        await quiet_server.settled()
        assert _facts(other) == _facts(quiet_server)


def _builds(server: Server) -> list[Any]:
    names = {service.name for service in server.embedded.services}
    return [each for each in SERVICES if each.__module__.split(".")[1] in names]


def _facts(server: Server) -> list[Any]:
    return sorted((each.stream, each.version, repr(each.event)) for each in recorded(server))


async def test_every_refused_document_is_listed_but_not_those_that_wait_for_it(quiet_server: Server) -> None:
    documents = [
        document("Configuration", "more", applications=["pos-api"], expression="/c/*", values={}),
        document("Application", "pos-api", namespace="pos"),
        document("Namespace", "pos", expression="/g/geo/uss"),
        document("Group", "/geo/us", expression="size = xl"),
        {"kind": "Store", "metadata": {"name": "bad"}, "spec": {"timezone": "Mars", "clsters": []}},
        *stores(3),
    ]
    problem = await refused(quiet_server, *documents)

    assert [each["document"] for each in problem["refused"]] == [2, 4]
    assert (problem["status"], problem["code"], problem["document"]) == (409, "unknown-reference", 2)
    assert problem["pointer"] == "/documents/2/spec/expression"
    assert problem["nearest"] == "/geo/us"
    first, second = problem["refused"]
    assert (first["kind"], first["name"], first["code"]) == ("Namespace", "pos", "unknown-reference")
    assert (second["status"], second["pointer"]) == (422, "/documents/4/spec/clsters")
    assert problem["refused_count"] == 2
    assert (await refused(quiet_server, *documents, dry_run="true"))["refused"] == problem["refused"]


async def test_at_most_a_hundred_refused_documents_are_listed_and_all_are_counted(quiet_server: Server) -> None:
    broken = [document("Store", f"s-{number}", timezone="Mars") for number in range(130)]
    problem = await refused(quiet_server, *broken, *stores(0))

    assert (len(problem["refused"]), problem["refused_count"]) == (100, 130)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (store("a"), store("a", size="l")),
        (document("Group", "/geo/us", expression="none"), document("Group", "/geo/us/", expression="none")),
        (document("Namespace", "a", expression="none"), document("Namespace", "a", expression="none")),
    ],
)
async def test_one_thing_declared_twice_is_refused_with_both_indexes(
    quiet_server: Server, one: Document, other: Document
) -> None:
    problem = await refused(quiet_server, store("b"), one, store("c"), other, store("d"))

    assert (problem["status"], problem["code"]) == (422, "declared-twice")
    assert (problem["document"], problem["first"]) == (3, 1)


@pytest.mark.parametrize(
    "documents", [[None], [[]], ["x"], [{}], [{"kind": None}], [{"kind": ["Store"]}], [{"kind": "Store"}], [7, 7]]
)
async def test_what_is_no_document_is_refused(quiet_server: Server, documents: list[Any]) -> None:
    problem = await refused(quiet_server, *documents)

    assert (problem["status"], problem["document"]) == (422, 0)


async def test_no_documents_change_nothing(quiet_server: Server) -> None:
    told = await apply(quiet_server)

    assert (told["results"], told["position"]) == ([], 0)


async def test_an_integer_beyond_64_bits_is_no_accident_of_ours(quiet_server: Server) -> None:
    wide = document("Configuration", "c", expression="none", values={"n": -9999999999999999999})

    assert (await refused(quiet_server, wide))["status"] == 422


async def test_the_same_key_gives_the_first_answer_and_other_documents_are_refused(quiet_server: Server) -> None:
    server, headers = quiet_server, {"Idempotency-Key": "k-1"}
    body = {"documents": FLEET}
    first = await server.client.post("/v1/documents", json=body, headers=headers)
    await server.declare(store("s-0", size="other"))
    again = await server.client.post("/v1/documents", json=body, headers=headers)
    other = await server.client.post("/v1/documents", json={"documents": FLEET[:5]}, headers=headers)

    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


async def test_a_cluster_goes_to_another_store_whatever_the_stores_are_called(quiet_server: Server) -> None:
    def owning(name: str, *clusters: str) -> Document:
        return document("Store", name, timezone="UTC", clusters=[{"name": each} for each in clusters])

    await apply(quiet_server, owning("a", "a"), owning("b", "b", "moves"), owning("c", "c"))
    told = await apply(quiet_server, owning("a", "a", "moves"), owning("b", "b"))
    assert [each["result"] for each in told["results"]] == ["configured", "configured"]
    assert [each["position"] for each in told["results"]] == [5, 4]
    back = await apply(quiet_server, owning("a", "a"), owning("c", "c", "moves"))
    assert [each["result"] for each in back["results"]] == ["configured", "configured"]
    # The group names the cluster no more in the change that takes it away, and stores come first.
    await apply(quiet_server, document("Group", "/m", expression="/c/moves"))
    told = await apply(quiet_server, owning("c", "c"), document("Group", "/m", expression="/c/a"))
    assert [each["result"] for each in told["results"]] == ["configured", "configured"]
    assert (await quiet_server.get("/v1/groups/m"))["spec"]["expression"] == "/c/a"


async def test_others_who_change_the_same_things_never_see_or_leave_half(quiet_server: Server) -> None:
    """Twelve changes of the same twenty things at once, and others' single ones between them."""
    await apply(quiet_server, *stores(20, round="none"), document("Group", "/g", expression="size = l"))

    async def together(number: int) -> None:
        await apply(quiet_server, *stores(20, round=f"r-{number}"), document("Group", f"/g/{number}", stores=["s-0"]))

    async def alone(number: int) -> None:
        answer = await quiet_server.declare(document("Group", f"/h/{number}", expression="size = xl"))
        assert answer.status_code == 201

    await asyncio.gather(*(together(number) for number in range(12)), *(alone(number) for number in range(12)))
    rounds: dict[str, list[int]] = {}
    for each in recorded(quiet_server):
        if each.stream.startswith("store-"):
            rounds.setdefault(each.event.labels["round"], []).append(each.position)
    assert len(rounds) == 13
    assert all(len(at) == 20 and at[-1] - at[0] == 19 for at in rounds.values())
    now = {json.dumps(each["metadata"]["labels"]["round"]) for each in (await quiet_server.get("/v1/stores"))["items"]}
    assert len(now) == 1


async def test_many_documents_are_done_beside_others_who_never_stop(quiet_server: Server) -> None:
    """Each of the others' changes voids what was decided about groups meanwhile."""
    await apply(quiet_server, *stores(4))
    ended = False

    async def relabel(name: str) -> int:
        count = 0
        while not ended:
            count += 1
            assert (await quiet_server.declare(store(name, size="l", round=str(count)))).status_code == 200
        return count

    others = [asyncio.create_task(relabel(f"s-{number}")) for number in range(3)]
    groups = [document("Group", f"/geo/{number}", expression=f"size in (l, x{number})") for number in range(300)]
    try:
        for part in (groups[:150], groups[150:]):
            told = await apply(quiet_server, *part)
            assert told["position"] - told["first"] == 149
    finally:
        ended = True
        counts = await asyncio.gather(*others)
    assert min(counts) > 1


async def test_what_somebody_decided_on_less_than_we_have_read_is_decided_again(quiet_server: Server) -> None:
    """A service of its own may be behind the process that appends: the guard holds what it had read."""
    await apply(quiet_server, *stores(3))
    await quiet_server.settled()
    commands = next(each.commands for each in quiet_server.embedded.services if each.name == "grouping")
    assert commands is not None
    admin = Principal("admin", frozenset({"admin"}))
    intent = Intent(
        actor="admin", author=admin, sender=admin, verb="declare", kind="Group", by=By("admin"), digest="d", key="a:k"
    )
    seen = [1, None]

    async def propose(_facts: Fleet) -> Proposal:
        events = [("group-/x", GroupDeclared("/x", stores=["s-0"]))]
        return Proposal(events=events, guards=("store",), runs=[("Group", 1)], seen=seen.pop(0))

    answer = await commands.change(propose, intent)

    assert (answer.first, answer.position, seen) == (4, 4, [])


async def test_conditions_are_about_one_thing_and_say_nothing_about_many(quiet_server: Server) -> None:
    body = {"documents": stores(2)}
    for headers in ({"If-Match": '"7"'}, {"If-None-Match": "*"}):
        answer = await quiet_server.client.post("/v1/documents", json=body, headers=headers)
        assert answer.status_code == 200


def test_every_kind_is_listed_with_the_service_that_decides_it(quiet_server: Server) -> None:
    """The relay asks by this list, and the command knows the same kinds."""
    built = {kind.kind: service.name for service in quiet_server.embedded.services for kind in service.kinds}

    assert built == DECIDED_BY
    assert BY_DOCUMENT.keys() == DECIDED_BY.keys()


async def test_only_the_relay_may_ask_what_documents_come_to(quiet_server: Server) -> None:
    body = {"actor": "ann", "documents": [store("a")]}
    assert (await quiet_server.client.post("/v1/documents:decide", json=body)).status_code == 403
    relay = quiet_server.embedded.tokens.issue("relay", frozenset({"relay"}))
    async with quiet_server.client_for(relay) as client:
        answer = await client.post("/v1/documents:decide", json=body)
        assert answer.status_code == 200
        (told,) = answer.json()["documents"]
        assert (told["name"], told["stream"], told["result"]) == ("a", "store-a", "created")
        for wrong in (b"", b"{}", b'{"actor": 1, "documents": []}', b'{"actor": "a", "documents": {}}', b"[" * 99_999):
            assert (await client.post("/v1/documents:decide", content=wrong)).status_code == 422
        unknown = {**body, "assume": [{"stream": "x-y", "type": "no.such", "data": {}}]}
        assert (await client.post("/v1/documents:decide", json=unknown)).status_code == 422
    assert quiet_server.embedded.log.head().position == 0
