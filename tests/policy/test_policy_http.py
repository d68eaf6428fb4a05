"""The documents of policy over HTTP: declared, read back, refused with code and pointer, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.policy.policy_words import BLACK_FRIDAY, NIGHT

if TYPE_CHECKING:
    from tests.flow.conftest import Server


async def test_what_is_exported_and_applied_again_is_unchanged(fleet: Server) -> None:
    for one, path in ((NIGHT, "calendars/night"), (BLACK_FRIDAY, "freezes/black-friday")):
        assert (await fleet.declare(one)).status_code == 201
        await fleet.settled()
        read = await fleet.client.get(f"/v1/{path}")
        assert (read.status_code, read.headers["etag"]) == (200, '"1"')
        assert (await fleet.declare(read.json())).status_code == 204
        assert (await fleet.declare(one)).status_code == 204
    assert (await fleet.get("/v1/calendars/night"))["spec"] == NIGHT["spec"]
