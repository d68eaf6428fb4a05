"""People by their provider's names: they sign in, are bound, and stand under that name everywhere."""

from __future__ import annotations

import unicodedata
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from httpx2 import ASGITransport, AsyncClient

from libs.runtime.embedded import Embedded
from libs.runtime.wiring import Wiring
from services.audit.app import build as audit
from services.catalog.app import build as catalog
from services.grouping.app import build as grouping
from services.inventory.app import build as inventory
from services.policy.app import build as policy
from tests.support.people import ADDRESSES, NAMES, NOBODY
from tests.support.tokens import ANA, Issuer, issuing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STORE = {"kind": "Store", "metadata": {"name": "tx-1"}, "spec": {"timezone": "America/Chicago"}}
ENCODABLE = [each for each in NOBODY if each != "\ud800"]


class Company:
    """A server that trusts a provider, and its administrator."""

    def __init__(self, embedded: Embedded, issuer: Issuer) -> None:
        self.embedded, self.issuer = embedded, issuer
        self.token = embedded.tokens.issue("admin", frozenset({"admin"}))

    async def ask(self, method: str, path: str, token: str = "", **more: Any) -> Any:
        transport = ASGITransport(self.embedded.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        async with AsyncClient(transport=transport, base_url="http://resedge.test", headers=headers) as client:
            return await client.request(method, path, **more)

    async def bind(self, *subjects: dict[str, str], name: str = "some", role: str = "admin") -> Any:
        document = {"kind": "RoleBinding", "spec": {"role": role, "subjects": list(subjects)}}
        answer = await self.ask("PUT", f"/v1/rolebindings/{name}", json=document)
        await self.embedded.settled()
        return answer


@asynccontextmanager
async def company(data: Path) -> AsyncIterator[Company]:
    with issuing() as issuer:
        builds = (inventory, grouping, catalog, policy, audit)
        embedded = Embedded(data, builds, wiring=Wiring(provider=issuer.provider))
        async with embedded.running():
            yield Company(embedded, issuer)


async def test_whoever_is_bound_under_their_name_may_and_stands_under_it_in_the_trail(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        subjects = [{"user": unicodedata.normalize("NFD", name)} for name in NAMES]
        answer = await made.bind(*subjects)
        assert answer.status_code == 201, answer.text
        shown = (await made.ask("GET", "/v1/rolebindings/some")).json()["spec"]["subjects"]
        assert shown == [{"user": name} for name in NAMES]

        for number, name in enumerate(NAMES):
            token = made.issuer.token(email=None, sub=name)
            assert (await made.ask("GET", "/v1/whoami", token)).json()["actor"] == name
            store = {**STORE, "metadata": {"name": f"tx-{number}"}}
            for _ in range(2):
                put = await made.ask(
                    "PUT", f"/v1/stores/tx-{number}", token, json=store, headers={"Idempotency-Key": "k"}
                )
                assert put.status_code == 201, put.text
            await made.embedded.settled()
            for asked in (name, unicodedata.normalize("NFD", name)):
                trail = (await made.ask("GET", "/v1/audit", token, params={"actor": asked})).json()["items"]
                assert [(each["actor"], each["subject"]) for each in trail] == [(name, f"store/tx-{number}")]


async def test_a_name_and_a_key_together_are_nobody_else_s(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        await made.bind({"user": "urn"}, {"user": "urn:ana"})
        for number, (name, key) in enumerate((("urn", "ana:k"), ("urn:ana", "k"))):
            store = {**STORE, "metadata": {"name": f"tx-{number}"}}
            token = made.issuer.token(email=None, sub=name)
            headers = {"Idempotency-Key": key}
            put = await made.ask("PUT", f"/v1/stores/tx-{number}", token, json=store, headers=headers)
            assert put.status_code == 201, put.text


async def test_whoever_is_refused_stands_in_the_trail_under_their_name(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        for name in NAMES:
            token = made.issuer.token(email=None, sub=name)
            refused = await made.ask("PUT", "/v1/stores/tx-1", token, json=STORE)
            assert refused.status_code == 403, name
        await made.embedded.settled()
    async with company(tmp_path / "data") as made:
        trail = (await made.ask("GET", "/v1/audit", params={"type": "AccessDenied", "limit": "100"})).json()["items"]
        assert {each["subject"] for each in trail} == {f"denial/{name}" for name in NAMES}


@pytest.mark.parametrize("claim", ["sub", "email-unverified", "email-absent"])
async def test_an_address_that_nobody_verified_has_no_rights_of_its_owner(tmp_path: Path, claim: str) -> None:
    async with company(tmp_path / "data") as made:
        await made.bind({"user": ANA})
        said: dict[str, Any] = {
            "sub": {"email": None, "sub": ANA},
            "email-unverified": {"email_verified": False, "sub": ANA},
            "email-absent": {"email_verified": None, "sub": ANA},
        }
        token = made.issuer.token(**said[claim])
        assert (await made.ask("GET", "/v1/stores", token)).status_code == 403
        assert (await made.ask("GET", "/v1/stores", made.issuer.token())).status_code == 200

        assert (await made.bind({"user": f"sub:{ANA}"}, name="other")).status_code == 201
        assert (await made.ask("GET", "/v1/stores", token)).status_code == 200


async def test_nobody_is_bound_or_given_a_token_under_what_is_no_name(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        for name in ENCODABLE:
            bound = await made.bind({"user": name})
            issued = await made.ask("POST", "/v1/tokens", json={"user": name})
            assert (bound.status_code, bound.json()["pointer"]) == (422, "/spec/subjects/0/user"), ascii(name)
            assert (issued.status_code, issued.json()["pointer"]) == (422, "/user"), ascii(name)


async def test_a_local_token_is_of_the_person_who_signs_in_by_that_name(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        for said, name in {**dict(zip(NAMES, NAMES, strict=True)), **ADDRESSES}.items():
            body = {"user": unicodedata.normalize("NFD", said)}
            issued = await made.ask("POST", "/v1/tokens", json=body)
            assert (issued.status_code, issued.json()["user"]) == (201, name), issued.text
            await made.embedded.settled()
            assert (await made.ask("GET", "/v1/whoami", issued.json()["token"])).json()["actor"] == name


async def test_every_refusal_names_the_groups_that_do_not_count_and_what_to_do(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        await made.bind({"group": "ops-east"})
        await made.bind({"user": ANA}, name="reading", role="viewer")
        overage = made.issuer.token(groups=None, _claim_names={"groups": "src1"})
        for token in (overage, made.issuer.token(groups=None, hasgroups=True)):
            refused = (await made.ask("PUT", "/v1/stores/tx-1", token, json=STORE)).json()
            assert (refused["status"], refused["code"]) == (403, "forbidden")
            assert "group overage" in refused["detail"]
            assert "RESEDGE_OIDC_GROUPS_CLAIM" in refused["fix"]
            assert refused["groups_unknown"] in refused["detail"]
            who = (await made.ask("GET", "/v1/whoami", token)).json()
            assert (who["groups"], who["groups_unknown"]) == ([], refused["groups_unknown"])
            may = (await made.ask("GET", "/v1/can-i", token, params={"verb": "apply", "kind": "Store"})).json()
            assert may["allowed"] is False
            assert "group overage" in may["reason"]
            assert (await made.ask("GET", "/v1/stores", token)).status_code == 200

        assert (await made.ask("PUT", "/v1/stores/tx-1", made.issuer.token(), json=STORE)).status_code == 201
        nobody = await made.ask("PUT", "/v1/stores/tx-1", made.issuer.token(groups=[]), json=STORE)
        assert "group" not in nobody.json()["detail"]


async def test_more_groups_than_a_token_may_have_are_named_over_http(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        many = made.issuer.token(groups=[f"group-{number}" for number in range(1_500)])
        huge = made.issuer.token(groups=[f"group-{number:032}" for number in range(1_500)])
        assert "1,500" in (await made.ask("GET", "/v1/whoami", many)).json()["groups_unknown"]
        refused = await made.ask("GET", "/v1/whoami", huge)
        assert (refused.status_code, refused.json()["reason"]) == (401, "too-large")


async def test_a_group_is_bound_however_its_accents_are_written(tmp_path: Path) -> None:
    async with company(tmp_path / "data") as made:
        composed, decomposed = (unicodedata.normalize(form, "équipe d'été") for form in ("NFC", "NFD"))
        await made.bind({"group": decomposed})
        for said in (composed, decomposed):
            assert (await made.ask("GET", "/v1/stores", made.issuer.token(groups=[said]))).status_code == 200
