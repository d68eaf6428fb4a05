"""A process of its own that runs the embedded server and admits a release; tests kill it at crash points.

`python -m tests.support.admitting DATA_DIR begin|move|wait`: prints the branch's commit when all is rendered.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from httpx2 import ASGITransport, AsyncClient, Response

from cli.embedded import SERVICES
from libs.runtime.embedded import Embedded

MANIFEST = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pos-api}\ndata: {store: '${edge.store.name}', it: 'VERSION'}\n"
)
STORES = 20


def documents() -> list[dict[str, Any]]:
    stores = [
        {"kind": "Store", "metadata": {"name": f"store-{number:02d}"}, "spec": {"timezone": "UTC"}}
        for number in range(STORES)
    ]
    return [
        *stores,
        {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}},
        {"kind": "Application", "metadata": {"name": "pos-api"}, "spec": {"namespace": "pos"}},
    ]


async def _asked(client: AsyncClient, method: str, path: str, **more: Any) -> Response:
    """Ask, build the next request on what this one wrote, and insist on success."""
    answer = await client.request(method, path, **more)
    assert answer.status_code < 300, answer.text
    if "Resedge-Position" in answer.headers:
        client.headers["Resedge-Position"] = answer.headers["Resedge-Position"]
    return answer


async def _publish(client: AsyncClient, version: str) -> None:
    body = {"manifests": MANIFEST.replace("VERSION", version)}
    await _asked(client, "PUT", f"/v1/applications/pos-api/releases/{version}", json=body)


async def _choose(client: AsyncClient, version: str) -> None:
    await _asked(client, "POST", "/v1/applications/pos-api/release-choices:set", json={"version": version})


async def run(data_dir: Path, what: str) -> str:
    embedded = Embedded(data_dir, SERVICES)
    token = embedded.tokens.issue("admin", frozenset({"admin"}))
    async with embedded.running() as app:
        client = AsyncClient(
            transport=ASGITransport(app), base_url="http://test", headers={"Authorization": f"Bearer {token}"}
        )
        if what == "begin":
            await _asked(client, "POST", "/v1/documents", json={"documents": documents()})
            for version in ("1.0.0", "2.0.0"):
                await _publish(client, version)
            await _choose(client, "1.0.0")
        if what == "move":
            await _choose(client, "2.0.0")
        answer = await _asked(client, "GET", "/v1/rendering:settled", params={"timeout_seconds": 30})
        commit: str = answer.json()["commit"]
        return commit


if __name__ == "__main__":
    print(asyncio.run(run(Path(sys.argv[1]), sys.argv[2])))
