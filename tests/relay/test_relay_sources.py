"""Sources: what a document may say, and that it comes back as it was declared."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.fleet.snapshots import dump_fleet, load_fleet
from services.relay.api import SOURCE
from services.relay.documents import parse_source, source_document
from services.relay.domain.sources import RemoveSource, SourceTaken, decide
from tests.relay.conftest import TYPES, Outside, public_key, source

AT = datetime(2026, 11, 24, tzinfo=UTC)
MAPPING = {"foreign": "com.example.Site", "type": TYPES[0], "fields": {"name": "/site/code"}}


def declared(document: dict[str, Any], facts: Fleet | None = None, state: Any = None) -> Any:
    _, make = parse_source(document, None)
    return decide(make("ada", AT), state or Absent(), facts or Fleet())


def full() -> dict[str, Any]:
    return source(
        names=["tx-*"],
        publicKey=public_key(Ed25519PrivateKey.generate()),
        manifests="https://releases.example.com/stores/",
        mappings=[MAPPING],
    )


def test_a_document_comes_back_as_it_was_declared_and_again_adds_nothing() -> None:
    document = full()
    (event,) = declared(document)

    assert source_document(event, Fleet()) == document
    assert declared(document, state=event) == []


def test_a_source_uri_is_free_once_its_source_is_removed() -> None:
    (event,) = declared(source())
    facts = Fleet()
    facts.assume(event)
    with pytest.raises(SourceTaken):
        declared(source("other"), facts)

    (removed,) = decide(RemoveSource("registry", "ada", AT), event, facts)
    facts.assume(removed)

    assert SOURCE.evolve(event, removed) == Absent()
    assert decide(RemoveSource("registry", "ada", AT), Absent(), facts) == []
    assert declared(source("other"), facts)


def test_a_fleet_keeps_sources_in_its_snapshot_and_its_forks_apart() -> None:
    facts, twin = Fleet(), Fleet()
    facts.assume(declared(source())[0])

    load_fleet(twin, dump_fleet(facts))
    fork = facts.fork()
    fork.sources.clear()

    assert twin.sources == facts.sources
    assert list(facts.sources) == ["registry"]


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"source": "two words"}, "/spec/source"),
        ({"source": "x" * 161}, "/spec/source"),
        ({"serviceAccount": "Store Registry"}, "/spec/serviceAccount"),
        ({"types": []}, "/spec/types"),
        ({"types": ["dev.resedge.inbox.StoreOpend.v1"]}, "/spec/types/0"),
        ({"types": [TYPES[0], TYPES[0]]}, "/spec/types"),
        ({"names": ["tx-*", "../*"]}, "/spec/names/1"),
        ({"publicKey": base64.b64encode(b"short").decode()}, "/spec/publicKey"),
        ({"publicKey": "-----BEGIN PUBLIC KEY-----"}, "/spec/publicKey"),
        ({"manifests": "http://releases.example.com/"}, "/spec/manifests"),
        ({"manifests": "https://releases.example.com"}, "/spec/manifests"),
        ({"manifests": "https://user:word@releases.example.com/"}, "/spec/manifests"),
        ({"manifests": "https://releases.example.com/../"}, "/spec/manifests"),
        ({"manifests": "file:///etc/"}, "/spec/manifests"),
        ({"manifests": "https://[::1/"}, "/spec/manifests"),
        ({"mappings": [MAPPING | {"foreign": TYPES[0]}]}, "/spec/mappings/0/foreign"),
        ({"mappings": [MAPPING, MAPPING]}, "/spec/mappings/1/foreign"),
        ({"mappings": [MAPPING | {"type": "x"}]}, "/spec/mappings/0/type"),
        ({"mappings": [MAPPING | {"fields": {"nam": "/a"}}]}, "/spec/mappings/0/fields/nam"),
        ({"mappings": [MAPPING | {"fields": {"name": "a/b"}}]}, "/spec/mappings/0/fields/name"),
        ({"servceAccount": "x"}, "/spec/servceAccount"),
    ],
)
def test_what_could_never_work_is_refused_with_its_place(spec: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_source(source(**spec), None)
    assert refusal.value.pointer == pointer


async def test_sources_are_declared_listed_and_removed_like_every_kind(outside: Outside) -> None:
    document = full()
    path = "/v1/sources/registry"

    assert (await outside.admin.put(path, json=document)).status_code == 201
    assert (await outside.admin.put(path, json=document)).status_code == 204
    tried = await outside.admin.put(path, json=source(), params={"dry_run": "true"})
    assert tried.json()["events"][0]["type"] == "dev.resedge.relay.SourceDeclared.v1"
    assert (await outside.get("/v1/sources"))["items"] == [document]
    assert (await outside.get(path)) == document
    assert (
        await outside.admin.post("/v1/documents", json={"documents": [source("b", source="urn:b")]})
    ).status_code == 200
    assert (await outside.get("/v1/sources:count")) == {"count": 2}
    assert (await outside.admin.delete(path)).status_code == 200
    await outside.server.settled()
    assert (await outside.admin.get(path)).status_code == 404
