"""Dead letters: tried again as they came, or passed over, by somebody and for a reason."""

from __future__ import annotations

from typing import Any

import pytest

from libs.contracts import ConsumerHalted, EventRefused, LetterRetried, LetterSettled, LetterSkipped, encode, type_name
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid
from libs.eventlog import NewEvent, Submission
from services.relay.domain.letters import (
    ClosedLetter,
    LetterClosed,
    OpenLetter,
    RetryLetter,
    SettleLetter,
    SkipLetter,
    State,
    decide,
    evolve,
)
from tests.relay.conftest import ACCOUNT, SOURCE, Outside, event

AUSTIN = {"name": "tx-austin-0042", "timezone": "America/Chicago"}
REFUSED = EventRefused("l1", SOURCE, "e-1", "t", "invalid-data", "why", "{}")
HALTED = ConsumerHalted("inventory.documents@7", "inventory", "inventory.documents", 7, "t", "why")


def after(*events: Any) -> Any:
    state: State = Absent()
    for each in events:
        state = evolve(state, each)
    return state


def test_a_retry_and_a_skip_are_facts_with_the_reason() -> None:
    assert decide(RetryLetter("l1", "fixed"), after(REFUSED)) == [LetterRetried("l1", "fixed")]
    assert decide(SkipLetter("l1", "a test"), after(REFUSED)) == [LetterSkipped("l1", "a test")]


def test_a_consumer_is_told_after_which_event_it_goes_on() -> None:
    (skipped,) = decide(SkipLetter(HALTED.letter, "known"), after(HALTED))
    assert skipped == LetterSkipped(HALTED.letter, "known", "inventory.documents", 7)


def test_skipping_twice_and_settling_twice_add_nothing() -> None:
    assert decide(SkipLetter("l1", "again"), after(REFUSED, LetterSkipped("l1", "x"))) == []
    assert decide(SettleLetter("l1", "accepted"), after(REFUSED, LetterSettled("l1", "accepted"))) == []


@pytest.mark.parametrize("last", [LetterSkipped("l1", "x"), LetterSettled("l1", "accepted")])
def test_what_is_closed_is_not_tried_again(last: Any) -> None:
    with pytest.raises(LetterClosed):
        decide(RetryLetter("l1", "again"), after(REFUSED, last))


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1_001])
def test_nothing_is_decided_without_a_reason(reason: str) -> None:
    for command in (RetryLetter("l1", reason), SkipLetter("l1", reason)):
        with pytest.raises(Invalid):
            decide(command, after(REFUSED))


def test_a_letter_that_is_refused_again_is_open_again() -> None:
    assert after(REFUSED, LetterRetried("l1", "x"), REFUSED) == OpenLetter(REFUSED)
    assert after(REFUSED, LetterRetried("l1", "x")) == OpenLetter(REFUSED, tried=True)
    assert after(LetterRetried("l1", "x")) == Absent()
    assert after(REFUSED, LetterRetried("l1", "x"), LetterSettled("l1", "accepted")) == ClosedLetter(
        REFUSED, skipped=False
    )


async def test_an_event_that_is_right_now_goes_through_when_it_is_tried_again(outside: Outside) -> None:
    await outside.register(types=["dev.resedge.inbox.StoreClosed.v1"])
    said = event("StoreOpened", AUSTIN)
    letter = (await outside.send(said)).json()["letter"]

    still = await outside.decide(letter, "retry")
    assert (still.status_code, still.json()["code"], still.json()["letter"]) == (409, "type-not-allowed", letter)
    (open_now,) = await outside.letters(state="open")
    assert (open_now["attempts"], open_now["decision"]) == (1, "it is right now")

    await outside.register()
    answer = await outside.decide(letter, "retry", "the source may send openings now")

    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == "accepted"
    assert (await outside.get("/v1/stores/tx-austin-0042"))["spec"]["timezone"] == "America/Chicago"
    store = next(each for each in outside.facts() if each.stream == "store-tx-austin-0042")
    assert store.actor == ACCOUNT
    (settled,) = await outside.letters()
    assert (settled["state"], settled["changed_by"], settled["attempts"]) == ("settled", "admin", 2)
    assert [each["outcome"] for each in await outside.inbox()] == ["accepted"]
    assert (await outside.decide(letter, "retry")).json()["code"] == "letter-closed"


async def test_an_event_of_a_source_that_is_registered_later_goes_through_and_keeps_its_id(outside: Outside) -> None:
    said = event("StoreOpened", AUSTIN)
    letter = (await outside.send(said)).json()["letter"]
    await outside.register()

    assert (await outside.decide(letter, "retry")).json()["outcome"] == "accepted"

    again = await outside.send(said)
    assert again.json()["outcome"] == "accepted"
    assert [each.stream for each in outside.facts()].count("store-tx-austin-0042") == 1
    assert (await outside.letters(state="open")) == []


async def test_a_retry_with_the_same_key_is_one_attempt(outside: Outside) -> None:
    await outside.register(types=["dev.resedge.inbox.StoreClosed.v1"])
    letter = (await outside.send(event("StoreOpened", AUSTIN))).json()["letter"]
    path, headers = f"/v1/dead-letters/{letter}:retry", {"Idempotency-Key": "k-1"}

    answers = [await outside.admin.post(path, json={"reason": "try"}, headers=headers) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {409}
    assert (await outside.letters())[0]["attempts"] == 1


async def test_a_skipped_event_is_closed_and_nothing_comes_of_it(outside: Outside) -> None:
    await outside.register()
    letter = (await outside.send(event("StoreOpened", {"name": "x"}))).json()["letter"]

    assert (await outside.decide(letter, "skip", "")).status_code == 422
    answer = await outside.decide(letter, "skip", "sent by mistake")

    assert answer.status_code == 200
    assert (await outside.decide(letter, "skip", "again")).status_code == 204
    (closed,) = await outside.letters()
    assert (closed["state"], closed["decision"], closed["changed_by"]) == ("skipped", "sent by mistake", "admin")


async def test_a_letter_that_is_not_there_is_not_found(outside: Outside) -> None:
    await outside.register()
    letter = (await outside.send(event("StoreOpened", {"name": "x"}))).json()["letter"]

    await outside.server.settled()

    answer = await outside.admin.get(f"/v1/dead-letters/{letter[:-1]}")

    assert answer.status_code == 404
    assert letter in answer.json()["fix"]


async def test_only_an_administrator_decides(outside: Outside) -> None:
    await outside.register()
    letter = (await outside.send(event("StoreOpened", {"name": "x"}))).json()["letter"]

    for verb in ("retry", "skip"):
        answer = await outside.sender.post(f"/v1/dead-letters/{letter}:{verb}", json={"reason": "mine"})
        assert answer.status_code == 403


async def test_a_halted_consumer_is_a_letter_whose_decision_its_feed_reads(outside: Outside) -> None:
    halted = NewEvent(f"letter-{HALTED.letter}", type_name(HALTED), encode(HALTED))
    await outside.server.embedded.log.append_async(Submission([halted], "resedge/inventory"))

    (shown,) = await outside.letters(kind="consumer")
    assert (shown["letter"], shown["stopped_at"], shown["state"]) == (HALTED.letter, 7, "open")
    assert (await outside.decide(HALTED.letter, "retry", "a fix is deployed")).json()["result"] == "retried"
    assert (await outside.letters(state="retried"))[0]["letter"] == HALTED.letter
    assert (await outside.decide(HALTED.letter, "skip", "known to be harmless")).status_code == 200

    last = outside.facts()[-1].decoded().event
    assert last == LetterSkipped(HALTED.letter, "known to be harmless", "inventory.documents", 7)


async def test_lists_are_paged_newest_first(outside: Outside) -> None:
    await outside.register()
    sent = [(await outside.send(event("StoreOpened", {"name": f"x{n}"}))).json()["letter"] for n in range(5)]

    seen: list[str] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = await outside.get("/v1/dead-letters", limit=2, **({"cursor": page["next"]} if page["next"] else {}))
        seen += [each["letter"] for each in page["items"]]

    assert seen == sent[::-1]
    assert (await outside.admin.get("/v1/dead-letters?state=lost")).status_code == 422
    assert (await outside.admin.get("/v1/inbox?cursor=YQ")).status_code == 422


async def test_the_open_ones_are_a_figure(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", {"name": "x"}))
    await outside.server.settled()

    counts = await _view(outside).open_counts()

    assert counts == {"inbox": 1, "consumer": 0}
    assert "resedge_dead_letters" in (await outside.admin.get("/metrics")).text


def _view(outside: Outside) -> Any:
    relay = next(each for each in outside.server.embedded.services if each.name == "relay")
    return next(each for each in relay.consumers if each.name == "relay.letters")


async def test_a_body_that_is_no_text_is_kept_whole_and_tried_again_as_it_came(outside: Outside) -> None:
    await outside.register()
    body = b"\xff\xfe" + b"\x01" * 200_000
    headers = {"Content-Type": "application/cloudevents+json"}

    answer = await outside.sender.post("/v1/events", content=body, headers=headers)

    assert answer.json()["code"] == "malformed-event"
    letter = answer.json()["letter"]
    shown = await outside.get(f"/v1/dead-letters/{letter}")
    assert outside.server.embedded.log.blob(shown["blob"]) == body
    assert (await outside.decide(letter, "retry")).json()["code"] == "malformed-event"
    assert (await outside.letters(state="open"))[0]["attempts"] == 1
