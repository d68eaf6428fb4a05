"""What the registered kinds say of themselves holds on a running server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cli.embedded import SERVICES
from libs.kinds import DECLARED_KINDS, KINDS, understood
from tests.architecture.test_architecture_kinds import documents_of
from tests.flow.conftest import Server

PAGE = Path(__file__).parents[2] / "docs/reference/kinds.md"


async def test_all_examples_together_are_one_change(quiet_server: Server) -> None:
    documents = [documents_of(kind) for kind in DECLARED_KINDS]
    answer = await quiet_server.client.post("/v1/documents", json={"documents": documents})

    assert answer.status_code == 200, answer.text
    assert {each["result"] for each in answer.json()["results"]} == {"created"}
    seen = {"Resedge-Position": answer.headers["Resedge-Position"]}
    for kind, document in zip(DECLARED_KINDS, documents, strict=True):
        read = await quiet_server.client.get(f"/v1/{kind.plural}/{kind.key_of(document)}", headers=seen)
        assert read.status_code == 200, kind.document


def examples_on_the_page() -> list[dict[str, Any]]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)]


async def test_what_the_page_of_kinds_shows_can_be_applied_exported_and_applied_again(quiet_server: Server) -> None:
    examples = examples_on_the_page()
    assert [each["kind"] for each in examples] == [kind.document for kind in DECLARED_KINDS]

    exported = []
    for kind, example in zip(DECLARED_KINDS, examples, strict=True):
        route = f"/v1/{kind.plural}/{kind.key_of(example)}"
        put = await quiet_server.client.put(route, json=example)
        assert put.status_code == 201, put.text
        seen = {"Resedge-Position": put.headers["Resedge-Position"]}
        exported.append((await quiet_server.client.get(route, headers=seen)).json())
        assert within(example, exported[-1]), (example, exported[-1])

    again = await quiet_server.client.post("/v1/documents", json={"documents": exported})
    assert {each["result"] for each in again.json()["results"]} == {"unchanged"}


def within(said: Any, back: Any) -> bool:
    """Tell whether all that was said came back; what was left out may be there with its default."""
    if isinstance(said, dict):
        return isinstance(back, dict) and all(name in back and within(each, back[name]) for name, each in said.items())
    if isinstance(said, list):
        return isinstance(back, list) and len(said) == len(back) and all(map(within, said, back))
    return bool(said == back)


def test_the_page_of_kinds_has_every_kind_with_its_routes_and_words() -> None:
    page = PAGE.read_text("utf-8")
    for kind in KINDS:
        section = page.partition(f"\n## {kind.document or kind.singular}\n")[2].partition("\n## ")[0]
        assert kind.about in section
        assert "| `GET /v1/" in section, kind.singular
        assert all(f"`{word}`" in section for word in kind.words)


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
    assert built.keys() == {kind.document for kind in DECLARED_KINDS}
