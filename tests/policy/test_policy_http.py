"""The documents of policy over HTTP: declared, read back, refused with code and pointer, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.policy.policy_words import (
    ALL,
    BLACK_FRIDAY,
    NIGHT,
    NO_LOTTERY,
    OPERATIONS,
    OPS_EAST,
    OVERRIDING,
    changed,
    document,
    place,
)

if TYPE_CHECKING:
    from tests.flow.conftest import Server


@pytest.fixture
async def policy(fleet: Server) -> Server:
    answer = await fleet.client.post("/v1/documents", json={"documents": list(ALL)})
    assert answer.status_code == 200, answer.text
    await fleet.settled()
    return fleet


async def test_what_is_exported_and_applied_again_is_unchanged(policy: Server) -> None:
    for one in ALL:
        read = await policy.client.get(place(one))
        assert (read.status_code, read.headers["etag"]) == (200, '"1"')
        assert read.json()["spec"] == one["spec"]
        assert (await policy.declare(read.json())).status_code == 204
        assert (await policy.declare(one)).status_code == 204


async def test_things_are_listed_by_the_clusters_that_they_bind(policy: Server) -> None:
    assert await policy.get("/v1/calendars:count", where="/c/tx-1") == {"count": 1}
    assert await policy.get("/v1/calendars:count", where="/c/ut-1") == {"count": 0}
    assert await policy.get("/v1/placementpolicies:count", where="/c/ut-1") == {"count": 1}
    assert await policy.get("/v1/rolebindings:count", where="/c/ut-1") == {"count": 0}
    assert (await policy.client.get("/v1/roles", params={"where": "/c/*"})).status_code == 422


def windows(*each: dict[str, Any]) -> dict[str, Any]:
    return changed(NIGHT, windows=list(each))


def weekly(**more: Any) -> dict[str, Any]:
    return windows({"days": ["mon"], "from": "01:00", "to": "05:00", **{k.rstrip("_"): v for k, v in more.items()}})


def rule(text: str, **more: Any) -> dict[str, Any]:
    return windows({"rrule": text, "from": "01:00", "duration_minutes": 60, **more})


def stage(**more: Any) -> dict[str, Any]:
    return changed(OVERRIDING, stages=[{"roles": ["operations"], **more}])


def rules(**more: Any) -> dict[str, Any]:
    return changed(OPERATIONS, rules=[{"verbs": ["get"], "kinds": ["*"], **more}])


def subject(**more: Any) -> dict[str, Any]:
    return changed(OPS_EAST, subjects=[more])


FIRST = "/spec/windows/0"
REFUSED: tuple[tuple[dict[str, Any], int, str, str], ...] = (
    # calendars
    (changed(NIGHT, clusters=None), 422, "invalid-document", "/spec/clusters"),
    (changed(NIGHT, clusters="state ="), 422, "invalid-expression", "/spec/clusters"),
    (changed(NIGHT, clusters="/g/nowhere"), 409, "unknown-reference", "/spec/clusters"),
    (changed(NIGHT, clusters="state = ny"), 409, "selects-nothing", "/spec/clusters"),
    (changed(NIGHT, applications=["lotery"]), 409, "unknown-reference", "/spec/applications/0"),
    (changed(NIGHT, applications=["lottery"] * 2), 422, "invalid-document", "/spec/applications/1"),
    (changed(NIGHT, signoff="freeze-overide"), 409, "unknown-reference", "/spec/signoff"),
    (changed(NIGHT, windows=[]), 422, "invalid-document", "/spec/windows"),
    (changed(NIGHT, windows=[{"closed": {}}] * 51), 422, "invalid-document", "/spec/windows"),
    (changed(NIGHT, cutoff_minutes=-1), 422, "invalid-document", "/spec/cutoff_minutes"),
    (changed(NIGHT, cutof_minutes=1), 422, "invalid-document", "/spec/cutof_minutes"),
    (windows({}), 422, "invalid-document", FIRST),
    (windows({"days": ["mon"], "closed": {}}), 422, "invalid-document", FIRST),
    (windows({"dayz": ["mon"]}), 422, "invalid-document", f"{FIRST}/dayz"),
    (
        windows({"closed": {"after_close_minutes": 1441}}),
        422,
        "invalid-document",
        f"{FIRST}/closed/after_close_minutes",
    ),
    (windows({"closed": {}, "from": "01:00"}), 422, "invalid-document", f"{FIRST}/from"),
    (windows({"days": ["mon"], "from": "01:00"}), 422, "invalid-document", f"{FIRST}/to"),
    (weekly(from_="1:00"), 422, "invalid-document", f"{FIRST}/from"),
    (weekly(to="24:30"), 422, "invalid-document", f"{FIRST}/to"),
    (weekly(to="01:00"), 422, "invalid-document", f"{FIRST}/to"),
    (weekly(days=["monday"]), 422, "invalid-document", f"{FIRST}/days/0"),
    (weekly(days=["mon", "mon"]), 422, "invalid-document", f"{FIRST}/days/1"),
    (weekly(duration_minutes=5), 422, "invalid-document", f"{FIRST}/duration_minutes"),
    (rule("FREQ=HOURLY"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=SECONDLY;COUNT=1000"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=WEEKLY;BYHOUR=3"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=WEEKLY;BYDAI=SU"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=WEEKLY;INTERVAL=2"), 422, "invalid-document", f"{FIRST}/start"),
    (rule("FREQ=WEEKLY;COUNT=2"), 422, "invalid-document", f"{FIRST}/start"),
    (rule("FREQ=WEEKLY;INTERVAL=0", start="2026-01-01"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=WEEKLY;INTERVAL=2", start="2026-02-30"), 422, "invalid-document", f"{FIRST}/start"),
    (rule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=DAILY;UNTIL=99999999"), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("FREQ=DAILY;" + "BYMONTHDAY=1," * 40), 422, "invalid-document", f"{FIRST}/rrule"),
    (rule("RRULE:FREQ=DAILY\nEXDATE:20260101"), 422, "invalid-document", f"{FIRST}/rrule"),
    (changed(NIGHT, exclude=[{"date": "2026-02-30"}]), 422, "invalid-document", "/spec/exclude/0/date"),
    (
        changed(NIGHT, exclude=[{"date": "2026-02-01", "until": "2026-03-01"}]),
        422,
        "invalid-document",
        "/spec/exclude/0",
    ),
    (
        changed(NIGHT, exclude=[{"from": "2026-03-01", "until": "2026-03-01"}]),
        422,
        "invalid-document",
        "/spec/exclude/0/until",
    ),
    # freezes
    (changed(BLACK_FRIDAY, at="stores"), 422, "invalid-document", "/spec/at"),
    (changed(BLACK_FRIDAY, at=None), 422, "invalid-document", "/spec/from"),
    (changed(BLACK_FRIDAY, from_="2026-11-27T00:00:00Z"), 422, "invalid-document", "/spec/from"),
    (changed(BLACK_FRIDAY, until="2026-11-27T00:00"), 422, "invalid-document", "/spec/until"),
    (changed(BLACK_FRIDAY, until="2026-13-01T00:00"), 422, "invalid-document", "/spec/until"),
    (changed(BLACK_FRIDAY, until="99999-01-01T00:00"), 422, "invalid-document", "/spec/until"),
    (changed(BLACK_FRIDAY, reason=" "), 422, "invalid-document", "/spec/reason"),
    (changed(BLACK_FRIDAY, reason="a\nApproved-by: me"), 422, "invalid-document", "/spec/reason"),
    (changed(BLACK_FRIDAY, reason="x" * 1_001), 422, "invalid-document", "/spec/reason"),
    (changed(BLACK_FRIDAY, owner=None), 422, "invalid-document", "/spec/owner"),
    (changed(BLACK_FRIDAY, new_clusters="held"), 422, "invalid-document", "/spec/new_clusters"),
    (changed(BLACK_FRIDAY, clusters="none and"), 422, "invalid-expression", "/spec/clusters"),
    (changed(BLACK_FRIDAY, signoff="x"), 409, "unknown-reference", "/spec/signoff"),
    # law
    (changed(NO_LOTTERY, forbid={}), 422, "invalid-document", "/spec/forbid/applications"),
    (changed(NO_LOTTERY, forbid={"applications": []}), 422, "invalid-document", "/spec/forbid/applications"),
    (
        changed(NO_LOTTERY, forbid={"applications": ["loterry"]}),
        409,
        "unknown-reference",
        "/spec/forbid/applications/0",
    ),
    (changed(NO_LOTTERY, basis=None), 422, "invalid-document", "/spec/basis"),
    (changed(NO_LOTTERY, basis=""), 422, "invalid-document", "/spec/basis"),
    (changed(NO_LOTTERY, from_="2026-01-01T00:00"), 422, "invalid-document", "/spec/from"),
    (changed(NO_LOTTERY, until="2025-01-01T00:00:00Z"), 422, "invalid-document", "/spec/until"),
    (changed(NO_LOTTERY, until="9999-12-31T23:59:59-14:00"), 422, "invalid-document", "/spec/until"),
    (changed(NO_LOTTERY, enforcement="imediate"), 422, "invalid-document", "/spec/enforcement"),
    (changed(NO_LOTTERY, on_conflict="deny"), 422, "invalid-document", "/spec/on_conflict"),
    (changed(NO_LOTTERY, clusters="/c/*"), 409, "law-leaves-nothing", "/spec/forbid/applications/0"),
    # sign-off
    (changed(OVERRIDING, stages=[]), 422, "invalid-document", "/spec/stages"),
    (stage(quorum=0), 422, "invalid-document", "/spec/stages/0/quorum"),
    (stage(quorum=True), 422, "invalid-document", "/spec/stages/0/quorum"),
    (stage(roles=[]), 422, "invalid-document", "/spec/stages/0/roles"),
    (stage(roles=["operation"]), 409, "unknown-reference", "/spec/stages/0/roles/0"),
    (stage(roles=["viewer"]), 409, "unknown-reference", "/spec/stages/0/roles/0"),
    (changed(OVERRIDING, expires_hours=0), 422, "invalid-document", "/spec/expires_hours"),
    (changed(OVERRIDING, expires_hours=8_761), 422, "invalid-document", "/spec/expires_hours"),
    (changed(OVERRIDING, count=["requestor"]), 422, "invalid-document", "/spec/count/0"),
    (changed(OVERRIDING, count=["requester"] * 2), 422, "invalid-document", "/spec/count/1"),
    # roles
    (document("Role", "admin", rules=OPERATIONS["spec"]["rules"]), 409, "role-reserved", "/metadata/name"),
    (document("Role", "relay", rules=OPERATIONS["spec"]["rules"]), 409, "role-reserved", "/metadata/name"),
    (rules(verbs=["aply"]), 422, "invalid-document", "/spec/rules/0/verbs/0"),
    (rules(verbs=["declare"]), 422, "invalid-document", "/spec/rules/0/verbs/0"),
    (rules(kinds=["Freezes"]), 422, "invalid-document", "/spec/rules/0/kinds/0"),
    (rules(kinds=[]), 422, "invalid-document", "/spec/rules/0/kinds"),
    # bindings
    (changed(OPS_EAST, role="operation"), 409, "unknown-reference", "/spec/role"),
    (changed(OPS_EAST, role="relay"), 409, "unknown-reference", "/spec/role"),
    (changed(OPS_EAST, namespaces=["poss"]), 409, "unknown-reference", "/spec/namespaces/0"),
    (changed(OPS_EAST, clusters="/g/geo/eats"), 409, "unknown-reference", "/spec/clusters"),
    (changed(OPS_EAST, expires="2030-01-01T00:00"), 422, "invalid-document", "/spec/expires"),
    (changed(OPS_EAST, subjects=[]), 422, "invalid-document", "/spec/subjects"),
    (subject(), 422, "invalid-document", "/spec/subjects/0"),
    (subject(user="ana", group="ops"), 422, "invalid-document", "/spec/subjects/0"),
    (subject(user="ana\tlyst"), 422, "invalid-document", "/spec/subjects/0/user"),
    (subject(user="resedge/rendering"), 422, "invalid-document", "/spec/subjects/0/user"),
    (subject(user="a" * 300), 422, "invalid-document", "/spec/subjects/0/user"),
    (subject(group="a\tb"), 422, "invalid-document", "/spec/subjects/0/group"),
    (subject(service_account="Deployer"), 422, "invalid-document", "/spec/subjects/0/service_account"),
    (
        changed(OPS_EAST, subjects=[{"user": "Ana@a.b"}, {"user": "ana@a.b"}]),
        422,
        "invalid-document",
        "/spec/subjects/1",
    ),
)


async def test_a_refusal_says_where_and_appends_nothing(policy: Server) -> None:
    before = policy.embedded.log.head().position
    for one, status, code, pointer in REFUSED:
        answer = await policy.declare(one)
        problem = answer.json() if answer.content else {}
        assert (answer.status_code, problem.get("code"), problem.get("pointer")) == (status, code, pointer), one
    assert policy.embedded.log.head().position == before


TYPOS: tuple[tuple[dict[str, Any], str], ...] = (
    (changed(NIGHT, signoff="freeze-overide"), "freeze-override"),
    (changed(NIGHT, applications=["lotery"]), "lottery"),
    (weekly(days=["Mon"]), "mon"),
    (rule("FREQ=WEEKLI"), "WEEKLY"),
    (rule("FREQ=WEEKLY;BYDAI=SU"), "BYDAY"),
    (changed(BLACK_FRIDAY, new_clusters="passes"), "pass"),
    (changed(NO_LOTTERY, enforcement="imediate"), "immediate"),
    (stage(roles=["operation"]), "operations"),
    (changed(OVERRIDING, count=["requestor"]), "requester"),
    (rules(verbs=["aply"]), "apply"),
    (rules(kinds=["Calender"]), "Calendar"),
    (changed(OPS_EAST, role="viewr"), "viewer"),
)


async def test_a_typo_is_told_what_was_meant(policy: Server) -> None:
    for one, nearest in TYPOS:
        problem = (await policy.declare(one)).json()
        assert problem["nearest"] == nearest, one
        assert nearest in problem["fix"]


async def test_what_is_referred_to_cannot_be_deleted(policy: Server) -> None:
    for path, referrers in (
        ("signoffs/freeze-override", ["freeze black-friday"]),
        ("roles/operations", ["role binding ops-east", "sign-off freeze-override"]),
        ("applications/lottery", ["placement policy no-lottery-in-utah"]),
        ("namespaces/pos", ["application lottery", "role binding ops-east"]),
        ("clusters/tx-1", ["role binding ops-east"]),
    ):
        answer = await policy.client.delete(f"/v1/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "still-referenced"), answer.text
        assert answer.json()["referrers"] == referrers


async def test_all_are_deleted_in_the_opposite_order(policy: Server) -> None:
    for one in reversed(ALL):
        answer = await policy.client.delete(place(one), params={"position": await policy.settled()})
        if one in (OVERRIDING, OPERATIONS):  # the deletion of the freeze waits for this sign-off, which names this role
            assert (answer.status_code, answer.json()["code"]) == (409, "still-referenced")
            continue
        assert answer.status_code == 200, answer.text
        assert (await policy.client.delete(place(one))).status_code == 404


async def test_an_instant_is_kept_in_utc_and_a_whole_day_ends_at_24(policy: Server) -> None:
    freeze = changed(BLACK_FRIDAY, at=None, from_="2026-11-27T00:00:00-06:00", until="2026-11-28T00:00Z")
    assert (await policy.declare(freeze)).status_code == 200
    whole = windows({"days": ["sun", "sat"], "from": "00:00", "to": "24:00"})
    assert (await policy.declare(whole)).status_code == 200

    read = (await policy.get("/v1/freezes/black-friday"))["spec"]
    assert (read["from"], read["until"], "at" in read) == ("2026-11-27T06:00:00Z", "2026-11-28T00:00:00Z", False)
    windows_read = (await policy.get("/v1/calendars/night"))["spec"]["windows"]
    assert windows_read == [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}]


async def test_what_never_opens_and_what_is_over_is_warned_of(policy: Server) -> None:
    never = await policy.declare(windows({"closed": {}}))
    over = await policy.declare(changed(BLACK_FRIDAY, from_="2020-01-01T00:00", until="2020-01-02T00:00"))
    expired = await policy.declare(changed(OPS_EAST, expires="2020-01-01T00:00:00Z"))

    assert "2 of 2 clusters never open, e.g. tx-1" in never.json()["warnings"][0]
    assert "has already ended" in over.json()["warnings"][0]
    assert "expired already" in expired.json()["warnings"][0]


async def test_a_namespace_and_an_application_name_a_sign_off_that_exists(policy: Server) -> None:
    for kind, plural, name, spec in (
        ("Namespace", "namespaces", "pos", {"expression": "/c/*"}),
        ("Application", "applications", "lottery", {"namespace": "pos"}),
    ):
        asked = document(kind, name, **spec, signoff="freeze-overrid")
        refused = (await policy.declare(asked)).json()
        assert (refused["code"], refused["pointer"], refused["nearest"]) == (
            "unknown-reference",
            "/spec/signoff",
            "freeze-override",
        )
        assert (await policy.declare(document(kind, name, **spec, signoff="freeze-override"))).status_code == 200
        assert (await policy.get(f"/v1/{plural}/{name}"))["spec"]["signoff"] == "freeze-override"
    assert (await policy.client.delete("/v1/signoffs/freeze-override")).json()["referrers"] == [
        "application lottery",
        "freeze black-friday",
        "namespace pos",
    ]
