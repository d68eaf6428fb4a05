"""A short journey over HTTP: a few stores, one application, one release, everything rendered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: pos-api}
data:
  store: "${edge.store.name}"
  size: ${edge.labels.size:-unknown}
  level: ${edge.config.level:-info}
"""


async def ask(server: Any, method: str, path: str, **more: Any) -> Any:
    """Ask, having seen all that was written before, insist on success, and return the body."""
    head = server.embedded.log.head().position
    answer = await server.client.request(method, path, headers={"Resedge-Position": str(head)}, **more)
    assert answer.status_code < 300, f"{method} {path}: {answer.text}"
    return answer.json() if answer.content else None


def told(server: Any, words: str) -> Callable[[], Awaitable[bool]]:
    """Whether the process is not ready and says why."""

    async def tells() -> bool:
        answer = await server.client.get("/readyz", params={"verbose": ""})
        return answer.status_code != 200 and words in answer.text

    return tells


async def settled(server: Any) -> str:
    """Wait until all is rendered; return the branch's commit."""
    answer = await ask(server, "GET", "/v1/rendering:settled", params={"timeout_seconds": 20})
    commit: str = answer["commit"]
    return commit


async def declare(server: Any, *documents: dict[str, Any]) -> None:
    """Declare documents in order."""
    await ask(server, "POST", "/v1/documents", json={"documents": list(documents)})


def store(name: str, **labels: str) -> dict[str, Any]:
    """A store with one cluster of its name."""
    return {"kind": "Store", "metadata": {"name": name, "labels": labels}, "spec": {"timezone": "America/Chicago"}}


def application(expression: str | None = None) -> dict[str, Any]:
    """The journey's application, perhaps narrowed."""
    spec = {"namespace": "pos"} | ({} if expression is None else {"expression": expression})
    return {"kind": "Application", "metadata": {"name": "pos-api"}, "spec": spec}


async def publish(server: Any, version: str, manifests: str = MANIFEST) -> None:
    """Publish a release of the journey's application."""
    await ask(server, "PUT", f"/v1/applications/pos-api/releases/{version}", json={"manifests": manifests})


async def choose(server: Any, version: str, expression: str | None = None) -> None:
    """Choose a release of the journey's application."""
    body = {"version": version, "expression": expression}
    await ask(server, "POST", "/v1/applications/pos-api/release-choices:set", json=body)


async def begin(server: Any, stores: int = 3) -> str:
    """Declare, publish, choose, render; return the commit."""
    await declare(server, *(store(f"store-{number:02d}") for number in range(stores)))
    await declare(
        server, {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}}, application()
    )
    await publish(server, "1.0.0")
    await choose(server, "1.0.0")
    return await settled(server)
