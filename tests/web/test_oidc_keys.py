"""The provider's keys: rotation, removal, outages, and what it may not make us do."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from libs.access.signing_keys import (
    DOCUMENT_BYTES_MAX,
    FRESH_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS_MAX,
    FetchFailed,
    SigningKeys,
    fetching,
    usable,
)
from libs.contracts.problems import Problem
from tests.support.tokens import Issuer, a_key, issuing


class Time:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Kept:
    """A provider in this process that counts how often it is asked."""

    def __init__(self, *kids: str) -> None:
        self.kids = list(kids)
        self.asked = 0
        self.down = False

    async def fetch(self) -> list[Any]:
        self.asked += 1
        await asyncio.sleep(0)  # others run while it is fetched
        if self.down:
            raise FetchFailed("it is down")
        return [a_key(kid).as_dict(private=False) for kid in self.kids]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


def keys(provider: Kept, time: Time) -> SigningKeys:
    return SigningKeys("https://accounts.example.com", provider.fetch, time)


async def test_keys_are_fetched_once_while_they_are_fresh() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)

    await asyncio.gather(*(found.find("first", "RSA") for _ in range(20)))
    time.seconds += FRESH_SECONDS
    await found.find("first", "RSA")

    assert provider.asked == 1


async def test_a_new_key_is_found_as_soon_as_somebody_uses_it() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)
    await found.find("first", "RSA")

    provider.kids = ["second", "first"]
    time.seconds += RETRY_SECONDS
    assert await found.find("second", "RSA") is not None
    assert await found.find("first", "RSA") is not None


async def test_garbage_cannot_make_us_hammer_the_provider() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)
    for index in range(1_000):
        assert await found.find(f"garbage-{index}", "RSA") is None
        time.seconds += 0.1
    assert provider.asked <= 1 + 1_000 * 0.1 / RETRY_SECONDS


async def test_a_key_that_was_taken_back_ends_with_the_cache() -> None:
    provider, time = Kept("first", "second"), Time()
    found = keys(provider, time)
    assert await found.find("first", "RSA") is not None

    provider.kids = ["second"]
    assert await found.find("first", "RSA") is not None
    time.seconds += FRESH_SECONDS + 1
    assert await found.find("first", "RSA") is None


async def test_known_keys_outlive_an_outage_for_an_hour() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)
    await found.find("first", "RSA")

    provider.down = True
    while time.seconds < 1_000 + STALE_SECONDS_MAX:
        assert await found.find("first", "RSA") is not None
        time.seconds += 60
    time.seconds += 1
    with pytest.raises(Problem) as problem:
        await found.find("first", "RSA")
    assert problem.value.code == "issuer-unavailable"

    provider.down = False
    time.seconds += RETRY_SECONDS
    assert await found.find("first", "RSA") is not None


async def test_in_an_outage_only_the_first_waits_for_the_provider() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)
    await found.find("first", "RSA")
    provider.down = True
    time.seconds += FRESH_SECONDS + 1
    await found.find("first", "RSA")

    hanging = asyncio.Event()

    async def hang() -> list[Any]:
        await hanging.wait()
        raise FetchFailed("at last")

    found._fetch = hang
    time.seconds += RETRY_SECONDS
    assert await asyncio.wait_for(found.find("first", "RSA"), 1) is not None
    hanging.set()
    await asyncio.sleep(0)  # the fetch that hung ends, inside this test


async def test_a_key_that_nobody_knows_is_not_refused_for_good_in_an_outage() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)
    await found.find("first", "RSA")
    provider.down = True
    time.seconds += RETRY_SECONDS
    with pytest.raises(Problem):
        await found.find("second", "RSA")


async def test_without_an_id_there_must_be_one_key_of_the_kind() -> None:
    provider, time = Kept("first"), Time()
    found = keys(provider, time)
    assert await found.find(None, "RSA") is not None
    assert await found.find(None, "EC") is None
    assert await keys(Kept("first", "second"), time).find(None, "RSA") is None


def test_only_strong_public_signing_keys_are_used() -> None:
    public = dict(a_key("first").as_dict(private=False))
    weak = {**public, "n": "AQAB"}
    assert [key.kid for key in usable([public])] == ["first"]
    for bad in (
        {**public, "use": "enc"},
        {**public, "key_ops": ["encrypt"]},
        {**public, "key_ops": 3},
        dict(a_key("first").as_dict(private=True)),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "first"},
        {**public, "kty": "AKP"},
        {**public, "e": "!"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "e"},
        weak,
        "key",
    ):
        assert usable([bad]) == []
    assert [key.kid for key in usable([weak, public])] == ["first"]


async def test_the_discovery_document_must_name_this_issuer(issuer: Issuer) -> None:
    assert len(await fetching(issuer.url)()) == 1
    issuer.says_issuer = issuer.url + "/"
    with pytest.raises(FetchFailed, match="another issuer"):
        await fetching(issuer.url)()


async def test_redirects_are_not_followed(issuer: Issuer) -> None:
    with issuing() as other:
        issuer.moved = other.url
        with pytest.raises(FetchFailed, match="302"):
            await fetching(issuer.url)()
        assert other.asked == []


async def test_an_answer_is_bounded(issuer: Issuer) -> None:
    issuer.padding = DOCUMENT_BYTES_MAX
    with pytest.raises(FetchFailed, match="over"):
        await fetching(issuer.url)()


async def test_nobody_there_is_a_failure_and_no_crash() -> None:
    with pytest.raises(FetchFailed, match="does not answer"):
        await fetching("http://127.0.0.1:9")()
