"""Tokens on a running server: every bad one is refused by its reason, a revocation counts without any event."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from prometheus_client import REGISTRY

from libs.access import freshness
from libs.runtime.embedded import Embedded
from libs.runtime.settings import ProcessSettings
from libs.runtime.standalone import run_service
from libs.runtime.wiring import Wiring
from libs.web.auth import Principal
from services.audit.app import build as audit
from services.inventory.app import build as inventory
from tests.support.tokens import ANA, CLIENT, REASONS, Issuer, bad_tokens, issuing, local_token, revoke
from tests.support.waiting import eventually


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


class Served:
    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        transport = ASGITransport(embedded.app, raise_app_exceptions=False)
        self.client = AsyncClient(transport=transport, base_url="http://resedge.test")

    async def whoami(self, token: str | None) -> Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.client.get("/v1/whoami", headers=headers)


@asynccontextmanager
async def serving(data: Path, wiring: Wiring) -> AsyncIterator[Served]:
    embedded = Embedded(data, [inventory, audit], wiring=wiring)
    async with embedded.running():
        yield Served(embedded)


@pytest.fixture
async def served(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", Wiring(provider=issuer.provider)) as made:
        yield made


def failures(reason: str) -> float:
    found = REGISTRY.get_sample_value("resedge_authentication_failures_total", {"reason": reason})
    return found or 0.0


async def test_every_bad_token_is_refused_by_its_reason_and_counted_without_a_name(
    served: Served, issuer: Issuer
) -> None:
    bad = bad_tokens(issuer, served.embedded)
    await served.embedded.settled()
    assert bad.keys() == REASONS.keys()
    for name, token in bad.items():
        before = failures(REASONS[name])
        refused = await served.whoami(token)
        document = refused.json()
        assert (refused.status_code, document["code"], document["reason"]) == (401, "unauthenticated", REASONS[name])
        assert failures(REASONS[name]) == before + 1, name
        assert token is None or token not in refused.text
        assert ANA not in refused.text


async def test_a_person_sees_who_they_are_taken_for_whatever_they_may(served: Served, issuer: Issuer) -> None:
    body = (await served.whoami(issuer.token(jti="j-1"))).json()
    assert body.pop("expires").endswith("+00:00")
    assert body == {"actor": ANA, "roles": [], "groups": ["ops-east"], "token": "oidc-j-1"}

    headers = {"Authorization": f"Bearer {issuer.token()}"}
    assert (await served.client.get("/v1/stores", headers=headers)).status_code == 403


async def test_nobody_comes_from_the_provider_as_a_service_account(served: Served, issuer: Issuer) -> None:
    served.embedded.tokens.issue("registry", frozenset({"source"}))
    local_token(served.embedded.log, "deployer", id="t-9", service_account=True)
    await served.embedded.settled()

    for name in ("registry", "deployer"):
        answer = await served.whoami(issuer.token(email=None, sub=name))
        assert answer.json()["reason"] == "reserved-name"
    assert (await served.whoami(issuer.token(email=None, sub="ana"))).status_code == 200


async def test_a_local_token_counts_as_soon_as_the_log_has_it_and_ends_with_its_revocation(served: Served) -> None:
    token = local_token(served.embedded.log)
    body = (await served.whoami(token)).json()
    assert (body["actor"], body["token"]) == (ANA, "t-1")

    revoke(served.embedded.log)
    await served.embedded.settled()
    refused = await served.whoami(token)
    assert (refused.status_code, refused.json()["reason"]) == (401, "revoked")


async def test_a_revocation_counts_while_kafka_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "CHECK_SECONDS", 0.1)
    async with serving(tmp_path / "data", Wiring(kafka_servers="127.0.0.1:9")) as served:
        token = local_token(served.embedded.log)
        assert (await served.whoami(token)).status_code == 200

        revoke(served.embedded.log)

        async def refused() -> Response | None:
            answer = await served.whoami(token)
            return answer if answer.status_code != 200 else None

        answer = await eventually(refused)
        assert answer is not None
        assert answer.json()["reason"] == "revoked"


async def test_a_restart_from_an_older_snapshot_does_not_revive_a_revoked_token(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data, Wiring()) as first:
        token = local_token(first.embedded.log)
        await first.embedded.settled()
        assert (await first.whoami(token)).status_code == 200
    kept = {path: path.read_bytes() for path in (data / "snapshots").rglob("*") if path.is_file()}
    async with serving(data, Wiring()) as second:
        revoke(second.embedded.log)
        await second.embedded.settled()
    for path, content in kept.items():
        path.write_bytes(content)

    async with serving(data, Wiring()) as third:
        answer = await third.whoami(token)
    assert kept
    assert (answer.status_code, answer.json()["reason"]) == (401, "revoked")


async def test_a_virtual_clock_expires_tokens_too(tmp_path: Path) -> None:
    at = datetime(2031, 1, 1, tzinfo=UTC)
    embedded = Embedded(tmp_path / "data", [inventory], clock=lambda: at)
    async with embedded.running():
        served = Served(embedded)
        token = local_token(embedded.log, expires_at=at)
        other = local_token(embedded.log, id="t-2", expires_at=at + timedelta(microseconds=1))
        await embedded.settled()
        assert (await served.whoami(token)).json()["reason"] == "expired"
        assert (await served.whoami(other)).status_code == 200


class AsAdministrator:
    """Takes every token for the one of a person who comes by the identity provider and may do everything."""

    async def verify(self, token: str) -> Principal:
        return Principal(token, frozenset({"admin"}), token_id="oidc-1")


async def test_an_e_mail_address_is_an_actor_everywhere(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", Wiring()) as served:
        served.embedded.app.state.tokens = AsAdministrator()
        document = {"kind": "Store", "metadata": {"name": "tx-1"}, "spec": {"timezone": "America/Chicago"}}
        headers = {"Authorization": f"Bearer {ANA}", "Idempotency-Key": "k"}
        declared = await served.client.put("/v1/stores/tx-1", json=document, headers=headers)
        again = await served.client.put("/v1/stores/tx-1", json=document, headers=headers)
        assert (declared.status_code, again.status_code) == (201, 201)
        await served.embedded.settled()

        (event,) = served.embedded.log.read_recorded(0)
        assert event.actor == ANA
        trail = await served.client.get("/v1/audit", params={"actor": ANA}, headers=headers)
        assert [entry["actor"] for entry in trail.json()["items"]] == [ANA]


def test_the_settings_name_the_provider() -> None:
    settings = ProcessSettings(
        oidc_issuer="https://accounts.example.com", oidc_client_id=CLIENT, oidc_algorithms="RS256, ES256"
    )
    provider = Wiring.of(settings).provider
    assert provider is not None
    assert (provider.audience, provider.algorithms) == (CLIENT, ("RS256", "ES256"))
    assert Wiring.of(ProcessSettings()).provider is None


def test_a_provider_that_cannot_be_trusted_is_said_before_anything_starts(tmp_path: Path) -> None:
    settings = ProcessSettings(oidc_issuer="http://accounts.example.com", oidc_audience="us", data_dir=tmp_path)
    with pytest.raises(SystemExit, match="RESEDGE_OIDC_ISSUER"):
        run_service("inventory", inventory, settings)
