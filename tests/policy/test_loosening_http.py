"""Over HTTP: a freeze or a law is loosened by people who may affect policy, and by the sign-off that it names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import LooseningConfirmed, meaning_of
from tests.flow.conftest import store
from tests.policy.policy_words import document
from tests.policy.test_rights_reach import FROZEN, HOME, Team, binding, team

if TYPE_CHECKING:
    from libs.fleet import Fleet

__all__ = ["team"]

SIGNED = {**FROZEN, "spec": {**FROZEN["spec"], "clusters": HOME, "signoff": "one"}}
LAW = document("PlacementPolicy", "dry", forbid={"applications": ["pos-api"]}, clusters=HOME, basis="Code 1")
STAGES: list[dict[str, Any]] = [{"roles": ["approver"], "quorum": 1}]


@pytest.fixture
async def signed(team: Team) -> Team:
    for each in (
        document("Role", "approver", rules=[{"verbs": ["get", "approve"], "kinds": ["*"]}]),
        binding("mia", "mia", "approver"),
        binding("max", "max", "approver"),
        binding("omar-affects", "omar", "affecting"),
        binding("omar", "omar", "team"),
        document("SignOff", "one", stages=STAGES),
        SIGNED,
        LAW,
    ):
        answer = await team.server.declare(each)
        assert answer.status_code == 201, answer.text
    return team


def facts(team: Team) -> Fleet:
    return team.server.embedded.facts.fleet


async def run_of(team: Team) -> str:
    await team.server.settled()
    (run,) = (name for name, each in facts(team).policy.approvals.items() if each.state == "running")
    return run


async def test_a_team_does_not_delete_its_states_law(signed: Team) -> None:
    answer = await signed.by("ann", "DELETE", "/v1/placementpolicies/dry")
    assert "Withheld: placement policy dry on 2 clusters" in answer.json()["warnings"][0]
    await signed.server.settled()
    now = datetime(2026, 7, 1, tzinfo=UTC)
    assert len(facts(signed).forbidden("pos-api", now)) == 2
    assert (await signed.put(store("ny-3", state="ny"), "bob")).status_code == 201
    await signed.server.declare(
        {"kind": "Group", "metadata": {"path": "/geo/us/northeast"}, "spec": {"stores": ["ny-1", "ny-2", "ny-3"]}}
    )
    await signed.server.settled()
    assert len(facts(signed).forbidden("pos-api", now)) == 3, "it applies to a store that comes later as well"

    change = next(iter(facts(signed).policy.withheld))
    path = f"/v1/withheld/{change}/confirm"
    assert (await signed.by("ann", "POST", path, {"reason": "please"})).status_code == 403
    assert (await signed.by("omar", "POST", path, {"reason": "right"})).json()["result"] == "confirmed"
    await signed.server.settled()
    assert not facts(signed).forbidden("pos-api", now)


async def test_who_may_affect_policy_needs_the_sign_off_alone(signed: Team) -> None:
    answer = await signed.by("omar", "DELETE", "/v1/freezes/f")
    assert "until sign-off one approves it" in answer.json()["warnings"][0]
    run = await run_of(signed)
    assert (await signed.by("omar", "POST", f"/v1/approvals/{run}/grant", {})).status_code == 403
    (change,) = facts(signed).policy.withheld
    refused = await signed.server.client.post(f"/v1/withheld/{change}/confirm", json={"reason": "now"})
    assert (refused.status_code, refused.json()["code"]) == (409, "sign-off-missing")
    assert (await signed.by("mia", "POST", f"/v1/approvals/{run}/grant", {})).json()["result"] == "approved"
    await signed.server.settled()
    assert not facts(signed).policy.withheld
    events = [each.event for each in signed.server.embedded.log.read_recorded(0)]
    assert any(isinstance(each, LooseningConfirmed) and each.reason == "approved by mia" for each in events)


async def test_an_administrators_token_is_no_way_round_a_sign_off(signed: Team) -> None:
    shorter = {**SIGNED, "spec": {**SIGNED["spec"], "until": "2027-01-01T00:00:00Z"}}
    assert (await signed.server.declare(shorter)).json()["warnings"]
    await signed.server.settled()
    assert list(facts(signed).policy.withheld)
    assert (await signed.server.client.delete("/v1/signoffs/one")).status_code == 409


async def test_a_refused_sign_off_is_asked_again_by_the_confirmation(signed: Team) -> None:
    assert (await signed.by("ann", "DELETE", "/v1/freezes/f")).status_code == 200
    run = await run_of(signed)
    await signed.by("mia", "POST", f"/v1/approvals/{run}/refuse", {"reason": "not now"})
    await signed.server.settled()
    (change,) = facts(signed).policy.withheld
    path = f"/v1/withheld/{change}/confirm"
    assert (await signed.by("omar", "POST", path, {"reason": "again"})).json()["result"] == "requested"
    again = await run_of(signed)
    assert again != run
    assert (await signed.by("max", "POST", f"/v1/approvals/{again}/grant", {})).status_code == 200
    await signed.server.settled()
    assert list(facts(signed).policy.withheld) == [change], "ann may not affect policy, so somebody has to confirm it"
    assert (await signed.by("omar", "POST", path, {"reason": "agreed"})).json()["result"] == "confirmed"


async def test_what_tightens_counts_at_once(signed: Team) -> None:
    longer = {**SIGNED, "spec": {**SIGNED["spec"], "until": "2110-01-01T00:00:00Z"}}
    assert (await signed.put(longer, "ann")).json()["warnings"] == []
    wider = {**LAW, "spec": {**LAW["spec"], "on_conflict": "refuse"}}
    answer = await signed.by("ann", "PUT", "/v1/placementpolicies/dry", wider)
    assert not any("Withheld" in each for each in answer.json()["warnings"])


async def test_a_removal_says_who_removed_it_with_which_token_from_where_and_why(signed: Team) -> None:
    removed = (
        (
            "calendars",
            document("Calendar", "c", clusters=HOME, windows=[{"days": ["mon"], "from": "01:00", "to": "05:00"}]),
        ),
        ("freezes", {**FROZEN, "metadata": {"name": "other"}}),
        ("placementpolicies", {**LAW, "metadata": {"name": "other"}}),
        ("roles", document("Role", "unused", rules=[{"verbs": ["get"], "kinds": ["*"]}])),
        ("signoffs", document("SignOff", "unused", stages=STAGES)),
        ("rolebindings", binding("unused", "zoe")),
        ("configurations", document("Configuration", "unused", expression="/c/*", values={"a": 1})),
        ("applications", document("Application", "unused", namespace="pos")),
        ("namespaces", document("Namespace", "unused", expression="/c/*")),
        ("stores", store("unused")),
    )
    for plural, each in removed:
        name = each["metadata"]["name"]
        assert (await signed.server.declare(each)).status_code == 201, plural
        gone = await signed.by("bob", "DELETE", f"/v1/{plural}/{name}", reason="not needed")
        assert gone.status_code == 200, gone.text
    assert (await signed.by("bob", "DELETE", "/v1/roles/x", reason="a\nb")).status_code == 422
    events = [each.event for each in signed.server.embedded.log.read_recorded(0)]
    told = [each for each in events if type(each).__name__.endswith("Removed")]
    assert len(told) == len(removed)
    for event in told:
        assert (event.by.person, event.reason, bool(event.by.token), bool(event.by.address)) == (
            *("bob", "not needed"),
            *(True, True),
        )
        assert meaning_of(event).said(event).endswith(": not needed")
