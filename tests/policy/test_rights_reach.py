"""A team bound to one group changes what is its own and reaches nothing else, by whatever way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pyroaring import BitMap

from libs.access.judging import judged
from libs.access.principals import Principal
from libs.commands.intents import Intent
from libs.commands.proposals import Proposal, shown_event
from libs.contracts import By, LooseningWithheld, StoreDeclared
from services.catalog.app import build as catalog
from services.grouping.app import build as grouping
from services.inventory.app import build as inventory
from services.policy.app import build as policy
from tests.flow.conftest import running, store
from tests.policy.policy_words import document
from tests.support.tokens import local_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from httpx2 import Response

    from tests.flow.conftest import Server

HOME = "/g/geo/us/northeast"
TEAM = [{"verbs": ["get", "apply", "delete", "choose", "publish"], "kinds": ["*"]}]
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pos-api}\ndata: {a: b}\n"


def group(path: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Group", "metadata": {"path": path}, "spec": spec}


def binding(name: str, user: str, role: str = "team", **spec: Any) -> dict[str, Any]:
    return document("RoleBinding", name, role=role, subjects=[{"user": user}], **spec)


NORTHEAST = group("/geo/us/northeast", stores=["ny-1", "ny-2"])
DOCUMENTS = [
    store("ny-1", state="ny"),
    store("ny-2", state="ny"),
    store("tx-1", state="tx", freezer="small"),
    NORTHEAST,
    group("/teams/freezers", expression="has(freezer)"),
    document("Namespace", "pos", expression="/c/*"),
    document("Namespace", "east", expression=HOME),
    document("Application", "pos-api", namespace="pos"),
    document("Application", "east-api", namespace="east"),
    document("Role", "team", rules=TEAM),
    document("Role", "affecting", rules=[{"verbs": ["policy:affect"], "kinds": ["Policy"]}]),
    binding("ann", "ann", clusters=HOME),
    binding("bob", "bob"),
    binding("pat", "pat", namespaces=["pos"]),
]


class Team:
    """The server, and what people of it send."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def by(self, name: str, method: str, path: str, body: Any = None, **query: Any) -> Response:
        await self.server.settled()
        token = local_token(self.server.embedded.log, name, id=f"t-{self.server.embedded.log.head().position}")
        await self.server.settled()
        async with self.server.client_for(token) as client:
            return await client.request(method, path, json=body, params=query)

    async def put(self, one: dict[str, Any], name: str = "ann", **query: Any) -> Response:
        plural = {
            "Store": "stores",
            "Group": "groups",
            "Configuration": "configurations",
            "Application": "applications",
        }
        metadata = one["metadata"]
        at = metadata.get("path", metadata.get("name")).lstrip("/")
        return await self.by(
            name, "PUT", f"/v1/{plural.get(one['kind'], one['kind'].lower() + 's')}/{at}", one, **query
        )


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    async with running(tmp_path / "data", (inventory, grouping, catalog, policy)) as server:
        answer = await server.client.post("/v1/documents", json={"documents": DOCUMENTS})
        assert answer.status_code == 200, answer.text
        for application in ("pos-api", "east-api"):
            path = f"/v1/applications/{application}/releases/1.0.0"
            manifests = MANIFEST.replace("pos-api", application)
            assert (await server.client.put(path, json={"manifests": manifests})).status_code == 201
        yield Team(server)


def beyond(answer: Response) -> bool:
    problem = answer.json() if answer.content else {}
    return (answer.status_code, problem.get("code")) == (403, "out-of-scope")


def configuration(expression: str, **spec: Any) -> dict[str, Any]:
    said = {"applications": ["pos-api"], "values": {"a": 1}, **spec}
    return document("Configuration", "layer", expression=expression, **said)


OWN = (
    store("ny-1", state="ny", size="xl"),
    store("ny-1", state="ny", freezer="big"),
    group("/geo/us/northeast", stores=["ny-1"]),
    group("/geo/us/northeast/city", clusters=["ny-1"]),
    group("/teams/ann", expression=f"{HOME} and state = ny"),
    configuration(HOME),
    configuration(f"{HOME} and state = ny"),
    configuration("/c/ny-1 or /c/ny-2"),
    document("Application", "east-two", namespace="east"),
    document("Application", "small", namespace="pos", expression=HOME),
    document("Calendar", "night", clusters=HOME, windows=[{"days": ["mon"], "from": "01:00", "to": "05:00"}]),
)
OTHERS = (
    store("tx-1", state="ny"),
    store("ny-3", state="ny"),
    group("/geo/us/northeast", stores=["ny-1", "ny-2", "tx-1"]),
    group("/geo/us/northeast", stores=["ny-1", "ny-2"], clusters=["tx-1"]),
    group("/geo/us/northeast", stores=["ny-1", "ny-2"], expression="state = tx"),
    group("/geo/us/northeast", stores=["ny-1", "ny-2"], expression="state = ny"),
    group("/geo/us/northeast/more", expression='name like "new-*"', allow_empty=True),
    group("/teams/freezers", expression="has(freezer) or state = tx"),
    group("/teams/empty"),
    configuration("/c/*"),
    configuration("/c/tx-1"),
    configuration("state = ny"),
    configuration("has(freezer) and state = ny", allow_empty=True),
    configuration(HOME + " or state = tx"),
    configuration("not state = tx"),
    document("Application", "wide", namespace="pos"),
    document("Namespace", "east", expression="/c/*"),
    document("Namespace", "mine", expression="state = ny"),
    document("Calendar", "night", clusters="/c/*", windows=[{"days": ["mon"], "from": "01:00", "to": "05:00"}]),
    document(
        "Calendar", "night", applications=["east-api"], windows=[{"days": ["mon"], "from": "01:00", "to": "05:00"}]
    ),
    document("Role", "team", rules=[{"verbs": ["*"], "kinds": ["*"]}]),
    document("RoleBinding", "ann", role="team", subjects=[{"user": "ann"}]),
    document("RoleBinding", "more", role="team", subjects=[{"user": "ann"}], clusters=HOME),
    document("SignOff", "easy", stages=[{"roles": ["team"], "quorum": 1}]),
)


def told(one: dict[str, Any]) -> str:
    return f"{one['kind']}-{one['metadata'].get('name', one['metadata'].get('path'))}-{str(one['spec'])[:60]}"


async def test_what_is_their_own_they_change(team: Team) -> None:
    refused = []
    for each in OWN:
        answer = await team.put(each, dry_run="true")
        if answer.status_code != 200:
            refused.append((told(each), answer.text))
    assert refused == []


async def test_nothing_reaches_beyond_by_any_way(team: Team) -> None:
    let_through = []
    for each in OTHERS:
        for query in ({"dry_run": "true"}, {}):
            answer = await team.put(each, **query)
            if not beyond(answer):
                let_through.append((told(each), answer.status_code, answer.text))
    assert let_through == []


async def test_many_documents_are_each_judged_as_their_kind(team: Team) -> None:
    wide = {**configuration("/c/*"), "metadata": {"name": "another"}}
    for documents, index in (([configuration(HOME), wide], 1), ([wide, configuration(HOME)], 0)):
        answer = await team.by("ann", "POST", "/v1/documents", {"documents": documents})
        assert beyond(answer)
        assert answer.json()["document"] == index
        assert answer.json()["refused"][0]["name"] == "another"
        assert "event" not in answer.json()
    reader = document("Role", "storekeeper", rules=[{"verbs": ["apply"], "kinds": ["Store"]}])
    await team.server.declare(reader)
    await team.server.declare(binding("kim", "kim", "storekeeper"))
    answer = await team.by("kim", "POST", "/v1/documents", {"documents": [store("ny-1"), NORTHEAST]})
    assert (answer.status_code, answer.json()["code"], answer.json()["document"]) == (403, "forbidden", 1)


async def test_the_refusal_names_how_many_and_one_and_what_to_ask_for(team: Team) -> None:
    problem = (await team.put(configuration("/c/*"))).json()
    assert (problem["count"], problem["example"]) == (1, "tx-1")
    assert problem["fix"] == "ask for a role binding with apply Configuration that covers tx-1"
    assert HOME in (await team.put(configuration("state = ny"))).json()["fix"]


async def test_removal_imports_labels_and_choices_are_judged_alike(team: Team) -> None:
    for name, where in (("tx-1", "state = tx"), ("ny-1", "/c/*")):
        assert beyond(await team.by("ann", "POST", "/v1/stores:label", {"where": where, "set": {"a": "b"}})), name
    assert beyond(await team.by("ann", "DELETE", "/v1/stores/tx-1"))
    assert beyond(await team.by("ann", "DELETE", "/v1/clusters/tx-1"))
    choices = "/v1/applications/{}/release-choices:set"
    wide = {"version": "1.0.0"}
    assert beyond(await team.by("ann", "POST", choices.format("pos-api"), wide))
    narrow = {"version": "1.0.0", "expression": HOME}
    assert (await team.by("ann", "POST", choices.format("pos-api"), narrow)).status_code < 300
    assert (await team.by("ann", "POST", choices.format("east-api"), wide)).status_code < 300
    tx = {"version": "1.0.0", "expression": "state = tx"}
    assert (await team.server.client.post(choices.format("pos-api"), json=tx)).status_code < 300
    unset = choices.replace(":set", ":unset").format("pos-api")
    assert beyond(await team.by("ann", "POST", unset, {"expression": "state = tx"}))
    assert beyond(await team.by("ann", "PUT", unset.removesuffix(":unset"), {"choices": []}))
    assert (await team.by("ann", "POST", unset, {"expression": HOME})).status_code == 200
    assert (await team.by("ann", "DELETE", "/v1/stores/ny-2")).status_code == 200


async def test_a_binding_of_a_namespace_is_for_its_things_alone(team: Team) -> None:
    own = (
        configuration("/c/*"),
        document("Application", "pos-api", namespace="pos", expression="state = ny"),
        document("Configuration", "pos-all", expression="/c/*", namespace="pos", values={"a": 1}),
    )
    for each in own:
        answer = await team.put(each, "pat", dry_run="true")
        assert answer.status_code == 200, answer.text
    others = (
        document("Namespace", "pos", expression=HOME),
        document("Configuration", "all", expression="/c/*", values={"a": 1}),
        document("Configuration", "both", expression="/c/*", applications=["pos-api", "east-api"], values={"a": 1}),
        store("ny-1", size="xl"),
        NORTHEAST | {"spec": {"stores": ["ny-1"]}},
    )
    for each in others:
        assert beyond(await team.put(each, "pat", dry_run="true")), told(each)
    publish = "/v1/applications/{}/releases/2.0.0"
    assert (await team.by("pat", "PUT", publish.format("pos-api"), {"manifests": MANIFEST})).status_code == 201
    body = {"manifests": MANIFEST.replace("pos-api", "east-api")}
    assert beyond(await team.by("pat", "PUT", publish.format("east-api"), body))
    third = publish.replace("2.0.0", "3.0.0").format("pos-api")
    assert beyond(await team.by("ann", "PUT", third, {"manifests": MANIFEST}))


FROZEN = document(
    "Freeze",
    "f",
    from_="2020-01-01T00:00:00Z",
    until="2100-01-01T00:00:00Z",
    clusters="state = ny",
    reason="r",
    owner="o",
)


async def test_who_may_not_affect_policy_leaves_a_freeze_only_once_it_is_confirmed(team: Team) -> None:
    assert (await team.server.declare(FROZEN)).status_code == 201
    fleet = team.server.embedded.facts.fleet
    answer = await team.put(store("ny-1", state="tx"), "bob")
    assert answer.status_code == 200
    (warning,) = answer.json()["warnings"]
    await team.server.settled()
    (kept,) = fleet.policy.withheld.values()
    assert f"resedge confirm withheld {kept.event.id}" in warning
    assert list(kept.clusters) == [fleet.selection.ordinal("ny-1")]
    assert (kept.event.by.person, kept.event.causes) == ("bob", ["store-ny-1"])

    again = await team.put(store("ny-1", state="tx"), "bob")
    assert again.status_code == 204
    refused = await team.by("bob", "POST", f"/v1/withheld/{kept.event.id}/confirm", {"reason": "ok"})
    assert refused.status_code == 403
    path = f"/v1/withheld/{kept.event.id}/confirm"
    assert (await team.server.client.post(path, json={"reason": "ok"})).status_code == 200
    await team.server.settled()
    assert not fleet.policy.withheld


async def test_what_opens_a_gate_is_judged_by_all_documents_of_a_change_together(team: Team) -> None:
    """Neither does a change open a gate that another document of it keeps shut, nor is it hidden among them."""
    frozen = {**FROZEN, "spec": {**FROZEN["spec"], "clusters": "/g/a or /g/b"}}
    for each in (group("/a", stores=["ny-1"]), group("/b", stores=["ny-2"]), frozen):
        assert (await team.server.declare(each)).status_code == 201
    moved = [group("/a", clusters=[]), group("/b", stores=["ny-1", "ny-2"])]
    told = (await team.by("bob", "POST", "/v1/documents", {"documents": moved})).json()
    assert [each["result"] for each in told["results"]] == ["configured", "configured"]
    assert told["warnings"] == []
    opened = [*(store(f"new-{number}") for number in range(3)), group("/b", stores=["ny-2"])]
    tried = (await team.by("bob", "POST", "/v1/documents", {"documents": opened}, dry_run="true")).json()
    assert [event["stream"].partition("-")[0] for event in tried["events"]] == ["withheld"]
    told = (await team.by("bob", "POST", "/v1/documents", {"documents": opened})).json()
    assert "freeze f on 1 cluster" in told["warnings"][0]
    assert told["position"] - told["first"] == 4
    assert sorted(each["position"] for each in told["results"]) == list(range(told["first"] + 1, told["position"] + 1))
    events = [each.event for each in team.server.embedded.log.read_recorded(0)]
    assert sum(isinstance(each, LooseningWithheld) for each in events) == 1


async def test_rights_are_those_before_the_change(team: Team) -> None:
    """Who may declare roles and bindings gives nothing to the other documents of the same change."""
    await team.server.declare(document("Role", "roles", rules=[{"verbs": ["apply", "escalate"], "kinds": ["Role"]}]))
    await team.server.declare(binding("kim", "kim", "roles"))
    await team.server.declare(binding("kim-home", "kim", "team", clusters=HOME))
    wide = document(
        "Role", "roles", rules=[{"verbs": ["apply", "escalate"], "kinds": ["Role", "RoleBinding", "Store", "Freeze"]}]
    )
    for other in (binding("kim-home", "kim", "team"), store("tx-1", size="xl"), FROZEN):
        answer = await team.by("kim", "POST", "/v1/documents", {"documents": [wide, other]})
        assert beyond(answer), (told(other), answer.text)
        assert answer.json()["document"] == 1
    assert (await team.by("kim", "POST", "/v1/documents", {"documents": [wide]})).status_code == 200


async def test_a_store_that_is_deleted_and_declared_anew_does_not_shed_its_freeze(team: Team) -> None:
    assert (await team.server.declare(FROZEN)).status_code == 201
    assert (await team.by("bob", "DELETE", "/v1/stores/ny-2")).status_code == 200
    answer = await team.put(store("ny-2", state="tx"), "bob")
    assert answer.status_code == 201
    assert answer.json()["warnings"]
    answer = await team.put(store("new-1", state="tx"), "bob")
    assert (answer.status_code, answer.json()["warnings"]) == (201, [])


async def test_who_may_affect_policy_there_and_who_tightens_need_no_confirmation(team: Team) -> None:
    assert (await team.server.declare(FROZEN)).status_code == 201
    assert (await team.put(store("tx-1", state="ny"), "bob")).json()["warnings"] == []
    await team.server.declare(binding("bob-affects", "bob", "affecting", clusters="/c/ny-1"))
    assert (await team.put(store("ny-1", state="tx"), "bob")).json()["warnings"] == []
    body = {"where": "state = ny", "set": {"state": "tx"}}
    assert (await team.by("bob", "POST", "/v1/stores:label", body)).json()["warnings"]
    events = [each.event for each in team.server.embedded.log.read_recorded(0)]
    (withheld,) = [each for each in events if isinstance(each, LooseningWithheld)]
    assert withheld.what == "freeze f on 2 clusters"


async def test_a_binding_that_has_ended_gives_nothing(team: Team) -> None:
    soon = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    await team.server.declare(binding("zoe", "zoe", expires="2099-01-01T00:00:00Z"))
    assert (await team.put(store("ny-1", size="l"), "zoe")).status_code == 200
    await team.server.declare(binding("zoe", "zoe", expires=soon))
    answer = await team.put(store("ny-1", size="xl"), "zoe")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_nobody_grows_into_their_other_rights_by_changing_facts(team: Team) -> None:
    await team.server.declare(FROZEN)
    await team.server.declare(group("/mine", stores=["tx-1"]))
    await team.server.declare(document("Role", "facts", rules=[{"verbs": ["apply"], "kinds": ["Group", "Store"]}]))
    await team.server.declare(binding("kim", "kim", "facts"))
    await team.server.declare(binding("kim-affects", "kim", "affecting", clusters="/g/mine"))
    widened = group("/mine", stores=["tx-1", "ny-1"])
    answer = await team.put(widened, "kim")
    assert beyond(answer)
    assert "kim-affects" in answer.json()["detail"]
    assert (await team.put(group("/mine", stores=["tx-1"], clusters=["ny-2"]), "kim")).status_code == 403
    assert (await team.put(group("/other", stores=["ny-1"]), "kim")).status_code == 201
    await team.server.declare(binding("kim-affects", "kim", "viewer", clusters="/g/mine"))
    assert (await team.put(widened, "kim")).status_code == 200
    assert (await team.put(group("/geo/us/northeast", stores=["ny-1"]), "kim")).status_code == 200


async def test_a_team_does_not_take_the_sign_off_from_its_own_application(team: Team) -> None:
    for name in ("two-eyes", "easy"):
        await team.server.declare(document("SignOff", name, stages=[{"roles": ["team"], "quorum": 1}]))
    signed = document("Application", "east-api", namespace="east", signoff="two-eyes")
    assert (await team.put(signed)).status_code == 200  # a first one is stricter
    for spec in ({}, {"signoff": "easy"}):
        assert beyond(await team.put(document("Application", "east-api", namespace="east", **spec))), spec
    assert beyond(await team.by("ann", "DELETE", "/v1/applications/east-api"))
    assert (await team.put(signed)).status_code == 204
    space = document("Namespace", "east", expression=HOME, signoff="two-eyes")
    assert (await team.server.declare(space)).status_code == 200
    assert (await team.put(document("Application", "east-api", namespace="east"))).status_code == 200
    assert beyond(await team.put(document("Application", "east-new", namespace="east", signoff="easy")))
    assert (await team.put(document("Application", "east-new", namespace="east"))).status_code == 201
    assert beyond(await team.put(document("Namespace", "east", expression=HOME)))
    await team.server.declare(binding("ann-affects", "ann", "affecting", clusters=HOME))
    assert (await team.put(document("Namespace", "east", expression=HOME))).status_code == 200


async def test_who_issues_tokens_for_some_clusters_only_revokes_nobodys(team: Team) -> None:
    await team.server.declare(document("Role", "issuer", rules=[{"verbs": ["issue"], "kinds": ["Token"]}]))
    await team.server.declare(binding("kim", "kim", "issuer", clusters=HOME))
    local_token(team.server.embedded.log, "bob", id="t-bob")
    assert beyond(await team.by("kim", "DELETE", "/v1/tokens/t-bob", {"reason": "x"}))
    await team.server.declare(binding("kim", "kim", "issuer"))
    assert (await team.by("kim", "DELETE", "/v1/tokens/t-bob", {"reason": "x"})).status_code == 200


async def test_what_is_decided_by_a_binding_is_void_once_it_has_ended(team: Team) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    await team.server.declare(binding("kim", "kim", expires=ends.isoformat()))
    await team.server.settled()
    facts, by = team.server.embedded.facts.fleet, Principal("kim", frozenset())
    change = StoreDeclared("ny-1", "America/New_York")
    intent = Intent(actor="kim", author=by, sender=by, verb="declare", kind="Store", by=By("kim", "t"))
    decided = await judged(Proposal(events=[("store-ny-1", change)]), facts, intent, ends - timedelta(minutes=1))
    assert decided.expires_at == ends


async def test_no_dry_run_assumes_more_clusters_than_any_fleet_has(team: Team) -> None:
    everything = BitMap()
    everything.add_range(0, 1 << 26)
    everything.run_optimize()
    for clusters in (everything.serialize(), b"none"):
        said = LooseningWithheld("w", clusters, [], "", By("ann"))
        body = {"document": store("ny-1", state="ny"), "assume": [shown_event("withheld-w", said)]}
        answer = await team.by("ann", "PUT", "/v1/stores/ny-1", body, dry_run="true")
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/assume/0")
