"""The second half of a recorded journey: what is allowed when, after whose approval, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from libs.contracts import ApprovalSuperseded, encode, type_name
from libs.eventlog import NewEvent, Submission
from tests.support.journeys import ask, choose, declare, publish, settled, store
from tests.support.recorded_growth import FEW, confirm, load, manifest, namespace, narrow, soon
from tests.support.shop import Shop, named

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
VOTER = {"verbs": ["get", "approve"], "kinds": ["*"]}
STAGES = [{"roles": ["release-manager"], "quorum": 1}, {"roles": ["operations"], "quorum": 2}]
ORGANISATION = (
    named("Role", "release-manager", rules=[VOTER, {"verbs": ["request"], "kinds": ["Override"]}]),
    named("Role", "operations", rules=[VOTER]),
    named("Role", "firefighter", rules=[{"verbs": ["get", "request", "break-glass"], "kinds": ["*"]}]),
    named("Role", "team", rules=[{"verbs": ["get", "apply", "delete", "choose", "publish"], "kinds": ["*"]}]),
    named("SignOff", "freeze-override", expires_hours=24, stages=STAGES),
    named("SignOff", "two-eyes", expires_hours=24 * 30, stages=STAGES[:1]),
    named("RoleBinding", "managers", role="release-manager", subjects=[{"user": "rita"}, {"user": "max"}]),
    named("RoleBinding", "ops", role="operations", subjects=[{"user": "ana"}, {"user": "omar"}]),
    named("RoleBinding", "ops-tx", role="operations", subjects=[{"user": "tess"}], clusters="state = tx"),
    named("RoleBinding", "fire", role="firefighter", subjects=[{"user": "finn"}]),
    named("RoleBinding", "team", role="team", subjects=[{"user": "bob"}]),
    named("RoleBinding", "texas", role="team", subjects=[{"user": "kim"}], clusters="state = tx"),
)
NIGHT = named(
    "Calendar", "night", clusters="state = ut", signoff="freeze-override",
    windows=[{"days": DAYS, "from": "01:00", "to": "05:00"}], exclude=[{"date": "2026-12-24"}],
)  # fmt: skip
BLACK_FRIDAY = named(
    "Freeze", "black-friday", **{"from": "2026-11-27T00:00", "until": "2026-12-01T00:00"}, at="store", clusters="/c/*",
    reason="Black Friday", owner="operations", signoff="freeze-override",
)  # fmt: skip
STOCKTAKING = named(
    "Freeze", "stocktaking", **{"from": "2026-12-02T00:00:00Z", "until": "2026-12-03T00:00:00Z"}, clusters="/c/*",
    reason="everything is counted", owner="operations",
)  # fmt: skip
NO_SIGNS = named(
    "PlacementPolicy", "no-signs-in-utah", forbid={"applications": ["signs"]}, clusters="state = ut",
    basis="Utah Code 1-2", enforcement="immediate", **{"from": "2026-11-28T06:00:00Z"},
)  # fmt: skip
NO_MENU = named(
    "PlacementPolicy", "no-menu-there", forbid={"applications": ["menu"]}, clusters="/c/b-12",
    basis="a contract", **{"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
)  # fmt: skip


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


async def said(server: Shop, person: str, path: str, body: dict[str, Any]) -> Any:
    status, answer = await server.by(person, "POST", path, body)
    assert status < 300, (person, path, answer)
    return answer


async def govern(server: Shop) -> None:
    """Let every rule of policy be declared, bind, be lifted and be removed."""
    await declare(server, *ORGANISATION)
    await server.enter("rita", "max", "ana", "omar", "tess", "finn", "bob", "kim")
    await _windows(server)
    await _freezes(server)
    await _law(server)
    await _loosenings(server)
    await _changes_that_are_approved(server)
    await _confirmations_that_wait(server)
    await _what_is_removed(server)


async def _windows(server: Shop) -> None:
    await declare(server, NIGHT)
    await publish(server, "2.0.0")
    await choose(server, "2.0.0")
    await settled(server)
    broken = {"calendar": "night", "expression": "/c/b-06", "minutes": 60, "reason": "a till is down"}
    await said(server, "finn", "/v1/overrides", {**broken, "break_glass": True})
    await settled(server)
    await server.go(at(27, 5, 0))  # 22:00 in Utah
    await server.go(at(27, 8, 30))  # 01:30 in Utah, and midnight has passed everywhere


async def _override(server: Shop, expression: str, *people: str) -> dict[str, Any]:
    body = {"freeze": "black-friday", "expression": expression, "minutes": 240, "reason": "down", "ticket": "OPS-1"}
    override: dict[str, Any] = await said(server, "rita", "/v1/overrides", body)
    for person in people:
        grant = {"reason": "seen", "ticket": "OPS-1"}
        await said(server, person, f"/v1/approvals/{override['approval']}/grant", grant)
    await settled(server)
    return override


async def _freezes(server: Shop) -> None:
    await declare(server, BLACK_FRIDAY)
    await publish(server, "3.0.0")
    await choose(server, "3.0.0")
    await server.go(at(27, 18))
    await _override(server, "/c/b-12", "max", "ana", "tess")
    revoked = await _override(server, "/c/b-24", "max", "ana", "omar")
    await said(server, "rita", f"/v1/overrides/{revoked['id']}/revoke", {"reason": "solved"})
    refused = await _override(server, "/c/b-48", "max")
    await said(server, "ana", f"/v1/approvals/{refused['approval']}/refuse", {"reason": "not on this day"})
    withdrawn = await _override(server, "/c/b-48")
    await said(server, "rita", f"/v1/approvals/{withdrawn['approval']}/withdraw", {"reason": "a mistake"})
    other = await _override(server, "/c/b-48")
    # Nothing of this version supersedes an approval; the type is published, so a log may hold it.
    over = ApprovalSuperseded(other["approval"], "another one is asked for")
    new = NewEvent(f"approval-{other['approval']}", type_name(over), encode(over))
    await server.embedded.log.append_async(Submission([new], "resedge/rendering"))
    await settled(server)


async def _law(server: Shop) -> None:
    await declare(server, NO_SIGNS, NO_MENU)
    await soon(server)
    await server.go(at(28, 5, 59))
    await server.go(at(28, 6, 1))
    await soon(server)
    await server.go(at(1, 9, month=12))  # the freeze is over, and it is 02:00 in Utah


async def _loosenings(server: Shop) -> None:
    for name in ("b-30", "b-42", "c-06"):
        status, answer = await server.by("bob", "PUT", f"/v1/stores/{name}", store(name, state="tx", size="large"))
        assert status == 200, answer
        assert answer["warnings"]
    await settled(server)
    waiting = (await ask(server, "GET", "/v1/withheld"))["items"]
    await ask(server, "POST", f"/v1/withheld/{waiting[0]['id']}/confirm", json={"reason": "they moved"})
    await settled(server)
    for name in ("b-06", "b-18"):
        status, _ = await server.by("kim", "DELETE", f"/v1/stores/{name}")
        assert status == 403


async def _vote(server: Shop, how: str, reason: str) -> None:
    query = "/v1/approvals?state=running&subject=menu"
    (found,) = (await ask(server, "GET", query))["items"]
    await said(server, "max", f"/v1/approvals/{found['id']}/{how}", {"reason": reason})
    await settled(server)


async def _release_of_bob(server: Shop, version: str) -> None:
    manifests = {"manifests": manifest("menu")}
    assert (await server.by("bob", "PUT", f"/v1/applications/menu/releases/{version}", manifests))[0] == 201
    await said(server, "bob", "/v1/applications/menu/release-choices:set", {"version": version, "expression": None})
    await settled(server)


async def _changes_that_are_approved(server: Shop) -> None:
    await declare(server, named("Application", "menu", namespace="pos-api", signoff="two-eyes"))
    await settled(server)
    for version, how in (("2.0.0", "grant"), ("3.0.0", "refuse"), ("4.0.0", "grant")):
        await _release_of_bob(server, version)
        await _vote(server, how, f"menu {version}")
    await load(server, "d", 20)
    await settled(server)
    await _release_of_bob(server, "5.0.0")


async def _confirmations_that_wait(server: Shop) -> None:
    """A confirmed plan waits for a freeze to end; then what it removes is wanted again."""
    await declare(server, STOCKTAKING)
    await server.go(at(2, 12, month=12))
    await narrow(server, FEW)
    await confirm(server)
    await narrow(server, None)


async def _what_is_removed(server: Shop) -> None:
    away = (
        named("Role", "gone", rules=[VOTER]),
        named("SignOff", "gone", stages=[{"roles": ["gone"], "quorum": 1}]),
        named("RoleBinding", "gone", role="gone", subjects=[{"user": "gus"}]),
        {**NIGHT, "metadata": {"name": "gone"}, "spec": {**NIGHT["spec"], "signoff": "gone"}},
        {**BLACK_FRIDAY, "metadata": {"name": "gone"}},
        {**NO_SIGNS, "metadata": {"name": "gone"}},
    )
    await declare(server, *away)
    for kind in ("placementpolicies", "freezes", "calendars", "rolebindings", "signoffs", "roles"):
        await ask(server, "DELETE", f"/v1/{kind}/gone")
    token = (await ask(server, "POST", "/v1/tokens", json={"user": "gus", "hours": 1, "reason": "a visit"}))["id"]
    await ask(server, "DELETE", f"/v1/tokens/{token}", json={"reason": "it was left in a train"})
    await settled(server)


async def end(server: Shop) -> None:
    """Go on after a restart, in another epoch; leave something held, withheld, blocked and refused."""
    server.embedded.log.new_epoch("admin", "recorded")
    await declare(server, store("store-07", home="shop"), namespace("pos-x", "size = large or home = shop"))
    await server.go(at(3, 9, month=12))  # 02:00 in Utah
    await load(server, "e", 50)
    await settled(server)
    await publish(server, "4.0.0")
    await server.go(at(3, 20, month=12))  # 13:00 in Utah
    await choose(server, "4.0.0")
    await settled(server)
    await narrow(server, FEW)
