"""What is allowed, when, and after whose approval, from end to end: the sentences that the product was made for.

On a clock that the test moves, over HTTP, with people who hold their own tokens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.contracts import AccessDenied, OverrideUsed
from tests.support.journeys import application, ask, declare, publish, settled
from tests.support.shop import Shop, named, opened, shop


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(tmp_path / "data") as made:
        await fleet(made)
        yield made


async def fleet(server: Shop) -> None:
    stores = [shop(f"tx-{number}", "America/Chicago", state="tx") for number in range(3)]
    stores += [shop(f"ut-{number}", "America/Denver", state="ut") for number in range(3)]
    await declare(server, *stores)
    group = {"kind": "Group", "metadata": {"path": "/geo/us/tx"}, "spec": {"expression": "state = tx"}}
    await declare(server, group, named("Namespace", "pos", expression="/c/*"), application())
    await declare(server, named("Application", "lottery", namespace="pos"))
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        await publish(server, version)
    lottery = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lottery}\ndata: {a: b}\n"
    await ask(server, "PUT", "/v1/applications/lottery/releases/1.0.0", json={"manifests": lottery})
    await choose(server, "1.0.0")
    await settled(server)


async def choose(server: Shop, version: str, name: str = "pos-api") -> None:
    body = {"version": version, "expression": None}
    await ask(server, "POST", f"/v1/applications/{name}/release-choices:set", json=body)
    await settled(server)


async def test_stores_schedule_by_their_own_operating_hours(server: Shop) -> None:
    window = {"closed": {"after_close_minutes": 30, "before_open_minutes": 60}}
    await declare(server, named("Calendar", "closed", clusters="/c/*", windows=[window]))
    await choose(server, "2.0.0")
    assert await server.version("tx-0") == "1.0.0"
    gate = await server.closed("tx-0")
    assert (gate["gate"], gate["opens_at"]) == ("window", "2026-11-27T05:30:00+00:00")

    await server.go(datetime(2026, 11, 27, 5, 30, tzinfo=UTC))  # 23:30 in Texas, 22:30 in Utah
    assert (await server.version("tx-0"), await server.version("ut-0")) == ("2.0.0", "1.0.0")

    await server.go(datetime(2026, 11, 27, 6, 30, tzinfo=UTC))
    assert await server.version("ut-0") == "2.0.0"


BLACK_FRIDAY = named(
    "Freeze", "black-friday", **{"from": "2026-11-27T00:00", "until": "2026-12-01T00:00"}, at="store", clusters="/c/*",
    reason="Black Friday", owner="operations", signoff="freeze-override",
)  # fmt: skip
SIGN_OFF = named(
    "SignOff", "freeze-override", expires_hours=24,
    stages=[{"roles": ["release-manager"], "quorum": 1}, {"roles": ["operations"], "quorum": 2}],
)  # fmt: skip
APPROVER = [{"verbs": ["get", "approve"], "kinds": ["*"]}]


async def organise(server: Shop) -> None:
    await declare(
        server,
        named("Role", "release-manager", rules=[*APPROVER, {"verbs": ["request"], "kinds": ["Override"]}]),
        named("Role", "operations", rules=APPROVER),
        SIGN_OFF,
        named("RoleBinding", "managers", role="release-manager", subjects=[{"user": "rita"}, {"user": "max"}]),
        named("RoleBinding", "ops", role="operations", subjects=[{"user": "ana"}, {"user": "omar"}]),
        named("RoleBinding", "ops-tx", role="operations", subjects=[{"user": "tess"}], clusters="/g/geo/us/tx"),
    )
    await server.enter("rita", "max", "ana", "omar", "tess")


async def test_a_freeze_stops_everything_and_proper_sign_off_opens_one_cluster_or_one_application(server: Shop) -> None:
    await organise(server)
    await declare(server, BLACK_FRIDAY)
    await choose(server, "2.0.0")
    assert await server.version("ut-0") == "2.0.0"  # it is Thursday yet

    await server.go(datetime(2026, 11, 27, 6, 0, tzinfo=UTC))  # midnight in Texas, 23:00 in Utah
    await choose(server, "3.0.0")
    assert (await server.version("tx-0"), await server.version("ut-0")) == ("2.0.0", "3.0.0")
    await server.go(datetime(2026, 11, 27, 18, tzinfo=UTC))
    await choose(server, "1.0.0", "lottery")
    assert await server.version("ut-0", "lottery") is None
    blocked = await ask(server, "GET", "/v1/blocked")
    waiting = [each for each in blocked["items"] if (each["gate"], each["application"]) == ("freeze", "lottery")]
    assert sum(each["count"] for each in waiting) == 6
    assert {each["until"] for each in waiting} == {"2026-12-01T06:00:00+00:00", "2026-12-01T07:00:00+00:00"}

    asked = {
        "freeze": "black-friday",
        "expression": "/c/tx-0",
        "minutes": 240,
        "reason": "till down",
        "ticket": "OPS-1",
    }
    status, override = await server.by("rita", "POST", "/v1/overrides", asked)
    assert status < 300, override
    approval = override["approval"]
    grant = f"/v1/approvals/{approval}/grant"
    assert (await server.by("rita", "POST", grant, {"reason": "mine"}))[0] == 409
    assert (await server.by("ana", "POST", grant, {"reason": "too early"}))[0] == 409
    for person in ("max", "ana", "tess"):
        assert await server.version("tx-0") == "2.0.0"
        status, answer = await server.by(person, "POST", grant, {"reason": "ok", "ticket": "OPS-1"})
        assert status == 200, answer
    await settled(server)
    assert (await server.version("tx-0"), await server.version("tx-1")) == ("3.0.0", "2.0.0")
    assert await server.version("tx-0", "lottery") == "1.0.0"

    body = {**asked, "expression": "/c/*", "applications": ["lottery"]}
    status, override = await server.by("rita", "POST", "/v1/overrides", body)
    assert status < 300, override
    grant = f"/v1/approvals/{override['approval']}/grant"
    assert (await server.by("max", "POST", grant, {"reason": "ok"}))[0] == 200
    assert (await server.by("tess", "POST", grant, {"reason": "Texas only"}))[0] in {403, 409}
    assert (await server.by("ana", "POST", grant, {"reason": "ok"}))[0] == 200
    assert (await server.by("omar", "POST", grant, {"reason": "ok"}))[0] == 200
    await settled(server)
    assert (await server.version("ut-0", "lottery"), await server.version("tx-1")) == ("1.0.0", "2.0.0")

    used = {each.event.id for each in server.embedded.log.read_recorded(0) if isinstance(each.event, OverrideUsed)}
    assert override["id"] in used
    await server.go(datetime(2026, 12, 1, 6, tzinfo=UTC))
    assert await server.version("tx-1") == "3.0.0"


async def test_law_is_never_broken_and_why_names_it(server: Shop) -> None:
    law = named(
        "PlacementPolicy", "no-lottery-in-utah", forbid={"applications": ["lottery"]}, clusters="state = ut",
        basis="Utah Code 76-10-1102", enforcement="immediate", **{"from": "2026-01-01T00:00:00Z"},
    )  # fmt: skip
    answer = await ask(server, "PUT", "/v1/placementpolicies/no-lottery-in-utah", json=law)
    assert answer["result"] == "created"
    await choose(server, "1.0.0", "lottery")
    assert (await server.version("tx-0", "lottery"), await server.version("ut-0", "lottery")) == ("1.0.0", None)
    gate = await server.closed("ut-0", "lottery")
    assert gate["gate"] == "law"
    assert "no-lottery-in-utah" in gate["reason"]
    assert "Utah Code 76-10-1102" in gate["reason"]

    await declare(server, BLACK_FRIDAY | {"spec": {**BLACK_FRIDAY["spec"], "signoff": None}})
    await server.go(datetime(2026, 11, 28, 12, tzinfo=UTC))
    await declare(server, shop("tx-1", "America/Chicago", state="ut"))
    await settled(server)
    assert (await server.version("tx-1", "lottery"), await server.version("tx-1")) == (None, "1.0.0")


async def test_a_team_can_change_only_what_is_its_own(server: Shop) -> None:
    rules = [{"verbs": ["get", "apply", "delete", "choose", "publish"], "kinds": ["*"]}]
    await declare(
        server,
        named("Role", "team", rules=rules),
        named("RoleBinding", "texas", role="team", subjects=[{"user": "tess"}], clusters="/g/geo/us/tx"),
    )
    await server.enter("tess")
    own = named("Configuration", "loud", expression="/g/geo/us/tx", applications=["pos-api"], values={"level": "loud"})
    assert (await server.by("tess", "PUT", "/v1/configurations/loud", own))[0] == 201
    others = named("Configuration", "wide", expression="/c/*", applications=["pos-api"], values={"other": "wide"})
    status, problem = await server.by("tess", "PUT", "/v1/configurations/wide", others)
    assert (status, problem["code"]) == (403, "out-of-scope")
    widened = {"kind": "Group", "metadata": {"path": "/geo/us/tx"}, "spec": {"expression": "state in (tx, ut)"}}
    assert (await server.by("tess", "PUT", "/v1/groups/geo/us/tx", widened))[0] == 403
    assert (await server.by("tess", "PUT", "/v1/stores/ut-0", shop("ut-0", "America/Denver", state="tx")))[0] == 403
    assert (await server.by("tess", "DELETE", "/v1/stores/ut-0"))[0] == 403
    status, _ = await server.by(
        "tess", "PUT", "/v1/stores/tx-0", shop("tx-0", "America/Chicago", state="tx", size="xl")
    )
    assert status == 200
    await server.embedded.stop()
    denied = [each.event for each in server.embedded.log.read_recorded(0) if isinstance(each.event, AccessDenied)]
    assert {each.actor for each in denied} == {"tess"}
