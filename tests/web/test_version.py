"""Every process tells its version: in every answer, in health, in its description and in the line at its start."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
import structlog

from libs.access.principals import Principal
from libs.access.tokens import BadToken
from libs.runtime.embedded import Embedded
from libs.version import VERSION, VERSION_HEADER, understand
from libs.web.application import Readiness, web_application
from services.inventory.app import build as inventory


class NobodyIsKnown:
    async def verify(self, token: str) -> Principal:
        raise BadToken(f"unknown {len(token)}")


async def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("ok", [True, False])
async def test_every_answer_has_the_version_once_and_health_says_it_to_everybody(ok: bool) -> None:
    async def check() -> Readiness:
        return Readiness("disk", ok, "/var/lib/secret")

    app = web_application(title="t", tokens=NobodyIsKnown(), new_id=lambda: "r-1", checks=[check])
    app.add_api_route("/fail", fail)
    status = 200 if ok else 503
    expected = {
        "/livez": 200,
        "/readyz": status,
        "/readyz?verbose": status,
        "/v1/whoami": 401,
        "/no": 404,
        "/fail": 500,
    }
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://resedge.test") as client:
        answers = {path: await client.get(path) for path in expected}
        assert (await client.head("/readyz")).headers.get_list(VERSION_HEADER) == [VERSION]
    assert {path: answer.status_code for path, answer in answers.items()} == expected
    assert all(answer.headers.get_list(VERSION_HEADER) == [VERSION] for answer in answers.values())
    told = answers["/readyz?verbose"].json()
    assert told == {"ready": ok, "version": VERSION, "checks": [{"check": "disk", "ok": ok}]}


async def test_a_process_says_its_version_when_it_starts_and_in_its_description(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path, [inventory])
    assert embedded.app.openapi()["info"]["version"] == VERSION
    with structlog.testing.capture_logs() as lines:
        async with embedded.running():
            pass
    assert [line["version"] for line in lines if line["event"] == "started"] == [VERSION]


@pytest.mark.parametrize(
    ("client", "server", "fits"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.0", "0.1.9", True),
        ("0.1.9", "0.1.0", True),
        ("0.1.0", "0.2.0", False),
        ("0.2.0", "0.1.0", False),
        ("0.9.0", "0.10.0", False),
        ("0.9.0", "1.0.0", False),
        ("1.2.0", "1.2.5", True),
        ("1.2.0", "1.10.0", True),
        ("1.10.0", "1.2.0", False),
        ("2.0.0", "1.9.0", False),
        ("1.2.0rc1", "1.2.0", True),
        ("1.2.0", "1.2.0+local.1", True),
        ("1.2.0", "nightly", True),
        ("1.2.0", "2", True),
        ("1.2.0", "", True),
        ("1.2.0", "2.0 \x1b[2J", True),
        ("1.2.0", "9" * 5000 + ".1", True),
    ],
)
def test_a_client_can_rely_on_a_server_by_semantic_versioning(client: str, server: str, fits: bool) -> None:
    assert understand(client, server) is fits
