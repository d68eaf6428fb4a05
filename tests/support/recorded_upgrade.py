"""What is recorded of a fallback, and of a branch that is moved from the first layout to the newest."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from tests.support.journeys import ask, declare, settled, store
from tests.support.recorded_growth import load, release, soon
from tests.support.shop import Shop, named
from tests.support.waiting import eventually

UNRESOLVED = (
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME-of-grill}\ndata: {g: '${edge.labels.grill}'}\n"
)
LOOKS_MAX = 200
STEPS_MAX = 5
HOURS_MAX = 24 * 8


async def fall_back(server: Shop) -> None:
    """Choose a release that most clusters cannot have; then one of them can, and one comes that never could."""
    spec = {"namespace": "pos", "fallback": "previous", "expression": "size = large"}
    await declare(server, named("Application", "till", **spec))
    await release(server, "till", "1.0.0")
    await settled(server)
    await release(server, "till", "2.0.0", UNRESOLVED)
    await settled(server)
    await ask(server, "POST", "/v1/stores:label", json={"where": "/c/a-00", "set": {"grill": "A"}})
    await settled(server)
    await declare(server, store("f-00", state="tx", size="large"))
    await settled(server)


async def upgrade(server: Shop) -> None:
    """Move the branch to the newest layout, step by step, while clusters come, change and go."""
    await _removals_wait(server)
    await soon(server)
    for number in range(STEPS_MAX):
        if await _step(server) == "unchanged":
            break
        await load(server, f"u{number}", 3)
        await ask(server, "POST", "/v1/stores:label", json={"where": f"/c/u{number}-00", "set": {"size": "small"}})
        await soon(server)
        await ask(server, "DELETE", f"/v1/stores/u{number}-01")
        await soon(server)
        await server.go(server.hands.at + timedelta(hours=25))
    else:
        raise RuntimeError(f"the branch has not got the newest layout after {STEPS_MAX} steps")
    await ask(server, "DELETE", "/v1/stores/u0-02")
    await soon(server)
    await ask(server, "DELETE", "/v1/retired-clusters/u0-02", json={"reason": "its hardware is sold"})
    await settled(server)
    await server.go(server.hands.at + timedelta(days=8))


async def _removals_wait(server: Shop) -> None:
    """Return once what is to be removed is seen to be wanted: it has to be so for a while, by the server's clock."""

    async def waits() -> bool:
        blocked = await ask(server, "GET", "/v1/blocked", params={"limit": 1000})
        return any(each["gate"] == "settled" for each in blocked["items"])

    await eventually(waits, what="something is about to be removed")


async def _step(server: Shop) -> str:
    """Ask for the next step, every hour until the gates have let every cluster take the one before."""
    for _ in range(HOURS_MAX):
        answer = await server.client.post("/v1/gitops:upgrade-layout", json={"reason": "a newer layout"})
        if answer.status_code == HTTPStatus.OK:
            return str(answer.json()["result"])
        await server.go(server.hands.at + timedelta(hours=1))
    raise RuntimeError(f"some clusters have not taken a step of the layout after {HOURS_MAX} hours")
