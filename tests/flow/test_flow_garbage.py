"""What a server does for every change leaves nothing that only the collector frees.

The collector runs seldom, since walking a fleet stops every answer: circles would pile up meanwhile, some MB a minute.
"""

from __future__ import annotations

import gc

from tests.flow.conftest import Server
from tests.support.journeys import application, ask, choose, declare, publish, settled, store

CHANGES = 40
CIRCULAR_OBJECTS_MAX = 3
"""For each change, its commit, and what is asked about it."""


async def change(server: Server, number: int) -> None:
    labels = {"where": "/c/store-00", "set": {"size": f"size-{number % 3}"}}
    await ask(server, "POST", "/v1/stores:label", json=labels)
    await settled(server)


async def test_a_change_leaves_no_circles(server: Server) -> None:
    await declare(server, store("store-00", size="small"))
    await declare(server, {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}})
    await declare(server, application())
    await publish(server, "1.0.0")
    await choose(server, "1.0.0")
    for number in range(20):  # what is remembered from now on is made
        await change(server, number)
    gc.collect()
    gc.disable()
    try:
        for number in range(CHANGES):
            await change(server, number)
        found = gc.collect()
    finally:
        gc.enable()
    commits = len((await ask(server, "GET", "/v1/audit", params={"type": "AdmissionWritten", "limit": 1000}))["items"])

    assert commits > CHANGES
    assert found <= CIRCULAR_OBJECTS_MAX * CHANGES
