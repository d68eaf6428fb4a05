"""What the registered kinds say of themselves holds on a running server."""

from __future__ import annotations

from cli.embedded import SERVICES
from libs.kinds import DECLARED, KINDS, understood
from tests.architecture.test_architecture_kinds import documents_of
from tests.flow.conftest import Server


async def test_all_examples_together_are_one_change(quiet_server: Server) -> None:
    documents = [documents_of(kind) for kind in DECLARED]
    answer = await quiet_server.client.post("/v1/documents", json={"documents": documents})

    assert answer.status_code == 200, answer.text
    assert {each["result"] for each in answer.json()["results"]} == {"created"}
    seen = {"Resedge-Position": answer.headers["Resedge-Position"]}
    for kind, document in zip(DECLARED, documents, strict=True):
        read = await quiet_server.client.get(f"/v1/{kind.plural}/{kind.key_of(document)}", headers=seen)
        assert read.status_code == 200, kind.document


async def test_whoever_has_a_token_may_read_which_kinds_there_are(quiet_server: Server) -> None:
    token = quiet_server.embedded.tokens.issue("erp", frozenset({"source"}))
    async with quiet_server.client_for(token) as client:
        answer = await client.get("/v1/kinds")
    body = answer.json()

    assert answer.status_code == 200
    assert answer.headers["Resedge-Kinds"] == body["version"]
    assert [understood(each).singular for each in body["items"]] == [kind.singular for kind in KINDS]
    async with quiet_server.client_for("no-token-of-ours") as client:
        assert (await client.get("/v1/kinds")).status_code == 401


def test_every_service_that_declares_is_in_the_registry(quiet_server: Server) -> None:
    assert {kind.service for kind in KINDS} <= {build.__module__.split(".")[1] for build in SERVICES}
    built = {kind.kind: kind for service in quiet_server.embedded.services for kind in service.kinds}
    assert built.keys() == {kind.document for kind in DECLARED}
