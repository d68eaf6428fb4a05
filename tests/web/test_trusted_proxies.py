"""Where a request came from, as facts keep it: the client, told by proxies that are trusted and by nobody else."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, Request
from httpx2 import ASGITransport, AsyncClient

from libs.runtime.connections import Bounds
from libs.runtime.serving import configuration

CLIENT, PROXY, FORGED = "198.51.100.7", "10.1.2.3", "203.0.113.9"


async def seen(trusted: str, sender: str, forwarded: str | None) -> str:
    """Return the address that the application sees."""
    app = FastAPI()

    @app.get("/")
    async def address(request: Request) -> str:
        return "" if request.client is None else request.client.host

    config = configuration(app, trusted, Bounds())
    config.load()
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    transport = ASGITransport(config.loaded_app, client=(sender, 1))
    async with AsyncClient(transport=transport, base_url="http://resedge.test", headers=headers) as client:
        return str((await client.get("/")).json())


@pytest.mark.parametrize(
    ("trusted", "sender", "forwarded", "address"),
    [
        ("", CLIENT, FORGED, CLIENT),
        ("", "127.0.0.1", FORGED, "127.0.0.1"),
        (PROXY, CLIENT, FORGED, CLIENT),
        (PROXY, PROXY, CLIENT, CLIENT),
        ("10.0.0.0/8,192.0.2.1", PROXY, CLIENT, CLIENT),
        ("10.0.0.0/8", PROXY, f"{FORGED}, {CLIENT}", CLIENT),
        (PROXY, PROXY, None, PROXY),
    ],
)
async def test_a_proxy_is_believed_only_where_it_is_trusted(
    trusted: str, sender: str, forwarded: str | None, address: str
) -> None:
    assert await seen(trusted, sender, forwarded) == address
