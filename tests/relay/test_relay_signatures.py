"""What a signature covers, and that a sender can make one with nothing of ours (the how-to's own lines are run)."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.relay.inbox_events import kafka_headers
from services.relay.signatures import SIGNED, sign, signed_bytes, verified
from tests.relay.conftest import public_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EVENT = {
    "id": "e-1",
    "source": "urn:x",
    "type": "t",
    "time": "2026-11-24T12:00:00Z",
    "datacontenttype": "application/json",
}
VALUE = b'{"name":"tx-austin-0042"}'
HOWTO = Path(__file__).parents[2] / "docs/how-to/send-events-from-outside.md"


def test_a_signed_event_verifies() -> None:
    assert verified(public_key(KEY), sign(KEY, EVENT, VALUE), EVENT, VALUE)


@pytest.mark.parametrize("name", SIGNED)
def test_no_attribute_that_names_the_event_can_be_changed(name: str) -> None:
    assert not verified(public_key(KEY), sign(KEY, EVENT, VALUE), EVENT | {name: "other"}, VALUE)


def test_neither_the_value_nor_the_key_can_be_changed() -> None:
    signature = sign(KEY, EVENT, VALUE)
    assert not verified(public_key(KEY), signature, EVENT, VALUE + b" ")
    assert not verified(public_key(Ed25519PrivateKey.generate()), signature, EVENT, VALUE)


def test_what_was_signed_in_one_mode_does_not_verify_in_the_other() -> None:
    for structured in (True, False):
        signature = sign(KEY, EVENT, VALUE, structured=structured)
        assert verified(public_key(KEY), signature, EVENT, VALUE, structured=structured)
        assert not verified(public_key(KEY), signature, EVENT, VALUE, structured=not structured)


@pytest.mark.parametrize("signature", ["", "!", "AAAA", base64.b64encode(bytes(64)).decode()])
def test_what_is_no_signature_does_not_verify(signature: str) -> None:
    assert not verified(public_key(KEY), signature, EVENT, VALUE)
    assert not verified("no key", sign(KEY, EVENT, VALUE), EVENT, VALUE)


TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), max_size=8)
ATTRIBUTES = st.dictionaries(st.sampled_from(SIGNED), TEXT)


@given(ATTRIBUTES, ATTRIBUTES, st.binary(max_size=8), st.binary(max_size=8))
def test_for_every_two_events_equal_signed_bytes_mean_equal_events(
    one: dict[str, str], other: dict[str, str], value: bytes, another: bytes
) -> None:
    def named(event: dict[str, str]) -> list[str]:
        return [event.get(name, "") for name in SIGNED]

    same = named(one) == named(other) and value == another
    assert (signed_bytes(one, value) == signed_bytes(other, another)) == same


def test_the_lines_of_the_howto_sign_what_the_relay_verifies() -> None:
    block = next(
        each for each in re.findall(r"```python\n(.+?)```", HOWTO.read_text(), re.DOTALL) if "def signed" in each
    )
    space: dict[str, Any] = {}
    exec(block, space)  # noqa: S102 - the page's own lines
    data = {"name": "tx-austin-0042", "timezone": "America/Chicago"}

    value, headers = space["signed"](KEY, {k: v for k, v in EVENT.items() if k != "datacontenttype"}, data)

    received = kafka_headers(headers)
    attributes = {name[3:]: text for name, text in received.items() if name.startswith("ce-")}
    attributes["datacontenttype"] = received["content-type"]
    assert json.loads(value) == data
    assert verified(public_key(KEY), received["ce-signature"], attributes, value)
