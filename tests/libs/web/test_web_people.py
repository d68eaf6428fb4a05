"""What people may be called: whoever has a name keeps it through everything that carries it, and it is theirs alone."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.output import text as shown
from libs.bus.messages import to_message
from libs.commands.intents import RELAYED_SCOPE, actor_scope
from libs.contracts import StoreRemoved, encode, stream_id
from libs.contracts.people import PERSON_BYTES_MAX, address_name, claimed_name, looks_like_any, normal, person_name
from libs.eventlog import NewEvent, Submission
from libs.eventlog.envelope import Envelope, encode_envelope
from libs.eventlog.prepare import prepare
from libs.gittree.commits import Trailer, decode_commit, encode_commit
from libs.web.intents import IDEMPOTENCY_KEY_CHARACTERS_MAX
from tests.support.people import ADDRESSES, NAMES, NOBODY

AT = datetime(2026, 11, 24, tzinfo=UTC)
LETTERS = st.characters(categories=["L", "M", "N", "P", "S", "Z", "Cc", "Cf"])
TEXTS = (
    st.text(LETTERS, max_size=24)
    | st.text("a\u0410\u0301é'@:/|-_.~ K\u212aİ\u0307", max_size=12)
    | st.sampled_from(NAMES)
)
PEOPLE = TEXTS.filter(lambda text: person_name(text) is not None)


@pytest.mark.parametrize("text", NAMES)
def test_what_providers_call_people_is_their_name(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert person_name(unicodedata.normalize(form, text)) == text
    assert claimed_name(text, "sub") == text


@pytest.mark.parametrize(("text", "name"), ADDRESSES.items())
def test_an_address_is_a_name_once_it_was_verified_and_nobody_s_otherwise(text: str, name: str) -> None:
    assert person_name(text) == address_name(text) == name
    assert claimed_name(text, "sub") == f"sub:{text}"


@pytest.mark.parametrize("text", NOBODY)
def test_what_is_nobody_s_name(text: str) -> None:
    assert person_name(text) is None
    assert claimed_name(text, "sub") is None
    assert address_name(text) is None


@given(TEXTS)
@example("İ@example.com")
def test_for_every_name_reading_it_again_changes_nothing(text: str) -> None:
    name = person_name(text)
    if name is not None:
        assert person_name(name) == name == normal(name)
        assert name.isprintable()
        assert name == name.strip()
        assert len(name.encode()) <= PERSON_BYTES_MAX


@given(TEXTS, TEXTS)
def test_for_every_two_people_of_a_provider_there_are_two_names(one: str, other: str) -> None:
    names = claimed_name(one, "sub"), claimed_name(other, "sub")
    if None not in names and normal(one) != normal(other):
        assert names[0] != names[1]


@given(TEXTS, TEXTS, st.sampled_from(["sub", "upn", "preferred_username"]))
def test_for_every_address_no_other_claim_lends_it(address: str, said: str, claim: str) -> None:
    for text in (address, f"{address}@example.com"):
        name = address_name(text)
        for each in (said, text, f"{claim}:{text}"):
            assert name is None or claimed_name(each, claim) != name


@given(PEOPLE)
def test_for_every_letter_that_is_not_ascii_no_name_becomes_ascii(text: str) -> None:
    name = person_name(text)
    assert name is not None
    assert name.isascii() == text.isascii()


def test_no_single_letter_becomes_ascii() -> None:
    for code in range(0x80, 0x11_0000):
        name = person_name(f"an{chr(code)}@example.com")
        assert name is None or not name.isascii(), hex(code)


@given(PEOPLE)
def test_for_every_name_a_commit_names_that_person_and_nobody_else(text: str) -> None:
    name = str(person_name(text))
    trailer = Trailer("Approved-by", name)
    assert trailer.value == name

    commit = encode_commit("0" * 40, [], f"Subject\n\n{name}", AT, trailers=[trailer, Trailer("Actor", name)])

    found = decode_commit("0" * 40, commit)
    assert [(each.key, each.value) for each in found.trailers] == [("Approved-by", name), ("Actor", name)]


@given(PEOPLE, PEOPLE, st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1))
def test_for_every_two_people_the_log_keeps_their_keys_and_streams_apart(one: str, other: str, key: str) -> None:
    names = [str(person_name(each)) for each in (one, other)]
    event = NewEvent(stream_id("denial", names[0]), "t", b"{}")
    longest = (key + "k" * IDEMPOTENCY_KEY_CHARACTERS_MAX)[:IDEMPOTENCY_KEY_CHARACTERS_MAX].rstrip() or "k"
    for name in names:
        prepare(Submission([event], actor=name, key=f"{actor_scope(name)}:{longest}"), "t")
    scopes = [actor_scope(name) for name in names]
    assert (scopes[0] == scopes[1]) == (names[0] == names[1])
    assert RELAYED_SCOPE not in scopes
    assert not any(":" in scope for scope in scopes)


@given(PEOPLE)
def test_for_every_name_json_kafka_and_tables_carry_it(text: str) -> None:
    name = str(person_name(text))
    data = encode(StoreRemoved("tx-1"))
    envelope = encode_envelope(Envelope(1, "e", "store-tx-1", 1, "dev.resedge.inventory.StoreRemoved.v1", AT, name))
    headers = dict(to_message((envelope, data, b"h"), b"p").headers)
    assert headers["ce_actor"].decode() == name
    assert json.loads(json.dumps({"actor": name}))["actor"] == name
    assert shown(name) == name


@pytest.mark.parametrize("name", ["Deployer", "DEPLOYER", "d\N{CYRILLIC SMALL LETTER IE}ployer", "deployer"])
def test_what_looks_like_a_service_account_is_found(name: str) -> None:
    assert looks_like_any(name, {"registry", "deployer"})
    assert not looks_like_any("ana", {"registry", "deployer"})
