"""What the how-to tells people to write works as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from libs.contracts.inbox import external_types
from libs.web.auth import ROLES
from services.relay.documents import parse_source
from tests.relay.conftest import Outside

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/send-events-from-outside.md").read_text("utf-8")
REFERENCE = (ROOT / "docs/reference/inbox.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}[^\n]*\n(.+?)```", PAGE, re.DOTALL)


async def test_the_event_of_the_page_is_accepted_from_the_source_of_the_page(outside: Outside) -> None:
    document = yaml.safe_load(blocks("yaml")[0])
    (said,) = (json.loads(each) for each in blocks("json"))
    assert (await outside.admin.put("/v1/sources/store-registry", json=document)).status_code == 201

    answer = await outside.send(said)

    assert answer.json()["outcome"] == "accepted", answer.text
    assert "resedge auth issue store-registry --role source" in PAGE
    assert "source" in ROLES


def test_the_documents_of_the_page_fit_and_its_keys_are_keys() -> None:
    space: dict[str, Any] = {}
    exec(blocks("python")[0], space)  # noqa: S102 - the page's own lines
    for block in blocks("yaml"):
        document = yaml.safe_load(block)
        document["spec"]["publicKey"] = space["public_key"]
        assert parse_source(document, None)[0] == document["metadata"]["name"]


def test_the_reference_tells_of_every_type() -> None:
    for name in external_types():
        assert f"`{name}`" in REFERENCE
