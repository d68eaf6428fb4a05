"""Where a token is looked for, and what becomes of one that expired, was revoked or may have been."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.access.freshness import CHECK_SECONDS, RIGHTS_STALE_SECONDS_MAX, Freshness
from libs.access.principals import Principal, person_name
from libs.access.tokens import BadToken, Known, LocalTokens, Tokens, TokenStore, new_token, token_digest
from libs.contracts import By, TokenIssued
from libs.contracts.problems import Problem
from libs.eventlog import EventLog, LogUnavailable
from libs.fleet import FleetModel
from tests.support.tokens import ANA, local_token, revoke

NOW = datetime(2026, 11, 27, 5, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


class Fold:
    """The local tokens of a process, as its fleet holds them."""

    def __init__(self) -> None:
        self.tokens: dict[str, TokenIssued] = {}
        self.coming: dict[str, TokenIssued] = {}
        self.revoked: set[str] = set()
        self.unsettled = False
        self.looked = 0

    def issue(
        self, user: str, *, hours: float = 8, by: str = "admin", service_account: bool = False, creator: str = ""
    ) -> str:
        token = new_token()
        expires = NOW + timedelta(hours=hours)
        event = TokenIssued(
            "t-1", user, token_digest(token), expires, By(by, creator=creator), service_account, ["ops-east"]
        )
        self.tokens[event.sha256] = event
        return token

    def by_digest(self, sha256: str) -> TokenIssued | None:
        return None if sha256 in self.revoked else self.tokens.get(sha256)

    def was_revoked(self, sha256: str) -> bool:
        return sha256 in self.revoked

    async def settled(self) -> None:
        if self.unsettled:
            raise Problem(503, "rights-unknown", "?", "?")

    async def look_again(self) -> None:
        self.looked += 1
        self.tokens |= self.coming


@pytest.fixture
def fold() -> Fold:
    return Fold()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "tokens.json")


@pytest.fixture
def tokens(store: TokenStore, fold: Fold, clock: Clock) -> Tokens:
    def known() -> LocalTokens:
        return fold

    return Tokens(store, Known(known, fold.settled, fold.look_again), clock)


async def reason(tokens: Tokens, token: str) -> str:
    with pytest.raises(BadToken) as bad:
        await tokens.verify(token)
    return bad.value.reason


async def test_a_local_token_is_its_person_without_roles_of_its_own(tokens: Tokens, fold: Fold) -> None:
    principal = await tokens.verify(fold.issue(ANA))

    assert principal == Principal(ANA, frozenset(), frozenset({"ops-east"}))
    assert (principal.token_id, principal.creator, principal.service_account) == ("t-1", "admin", False)
    assert principal.expires == NOW + timedelta(hours=8)


async def test_who_made_their_own_token_has_no_creator(tokens: Tokens, fold: Fold) -> None:
    assert (await tokens.verify(fold.issue(ANA, by=ANA))).creator == ""


async def test_a_token_made_with_one_that_somebody_else_made_has_the_same_creator(tokens: Tokens, fold: Fold) -> None:
    assert (await tokens.verify(fold.issue(ANA, by=ANA, creator="bob"))).creator == "bob"
    assert (await tokens.verify(fold.issue(ANA, by="eve", creator="bob"))).creator == "eve"


async def test_a_local_token_expires_at_its_instant_by_the_log_s_clock(
    tokens: Tokens, fold: Fold, clock: Clock
) -> None:
    token = fold.issue(ANA)
    clock.at = NOW + timedelta(hours=8) - timedelta(microseconds=1)
    await tokens.verify(token)
    clock.at = NOW + timedelta(hours=8)
    assert await reason(tokens, token) == "expired"


async def test_a_revoked_token_is_refused_as_such(tokens: Tokens, fold: Fold) -> None:
    token = fold.issue(ANA)
    fold.revoked.add(token_digest(token))
    assert await reason(tokens, token) == "revoked"
    assert fold.looked == 0


async def test_a_token_that_was_only_just_issued_is_looked_for_in_the_log(tokens: Tokens, fold: Fold) -> None:
    token = fold.issue(ANA)
    fold.coming, fold.tokens = fold.tokens, {}
    assert (await tokens.verify(token)).name == ANA


async def test_a_token_of_the_file_needs_nothing_but_the_file(tokens: Tokens, store: TokenStore, fold: Fold) -> None:
    token = store.issue("admin", frozenset({"admin"}))
    local = fold.issue(ANA)
    fold.unsettled = True

    assert (await tokens.verify(token)).name == "admin"
    for other in (local, "unknown", "a.b.c"):
        with pytest.raises(Problem):
            await tokens.verify(other)


@pytest.mark.parametrize("token", ["a b", "ü", "a\0", "{}", "x" * 20_000])
async def test_what_cannot_be_a_token_is_not_looked_for(tokens: Tokens, fold: Fold, token: str) -> None:
    assert await reason(tokens, token) == "malformed"
    assert fold.looked == 0


async def test_without_a_provider_its_tokens_are_unknown(tokens: Tokens) -> None:
    assert await reason(tokens, "e30.e30.AAAA") == "unknown"


async def test_a_token_of_the_file_may_expire(tokens: Tokens, store: TokenStore, clock: Clock, tmp_path: Path) -> None:
    token = store.issue("ada", frozenset({"viewer"}), expires=NOW + timedelta(hours=1), creator="admin")
    found = await Tokens(TokenStore(tmp_path / "tokens.json"), tokens._known, clock).verify(token)
    assert (found.name, found.creator, found.expires) == ("ada", "admin", NOW + timedelta(hours=1))
    assert found.token_id.startswith("file-")

    clock.at = NOW + timedelta(hours=1)
    assert await reason(tokens, token) == "expired"


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({"tokens": [{"name": "ada", "sha256": token_digest("t"), "roles": ["viewer"]}]}))
    found = TokenStore(file).principal("t")
    assert found == Principal("ada", frozenset({"viewer"}))
    assert (found.expires, found.creator, found.token_id) == (None, "", f"file-{token_digest('t')[:12]}")


def test_names_of_service_accounts_are_known(store: TokenStore) -> None:
    store.issue("admin", frozenset({"admin"}))
    store.issue("registry", frozenset({"source"}))
    store.internal("relay", frozenset({"relay"}))
    assert store.service_accounts() == {"registry", "relay"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ANA, ANA),
        ("Ana.Maria+x@Example.COM", "ana.maria+x@example.com"),
        ("auth0|5f7c", "auth0|5f7c"),
        ("Ana", "Ana"),
        ("", None),
        ("@relay", None),
        ("resedge/relay", None),
        ("ana\n", None),
        ("anа@example.com", None),  # noqa: RUF001 - a Cyrillic letter is the case
        ("a" * 256, None),
    ],
)
def test_a_name_of_a_person_can_be_nobody_of_ours(text: str, name: str | None) -> None:
    assert person_name(text) == name


class Seconds:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Behind:
    """A process's fleet at a log that moves on, brought by the log alone."""

    def __init__(self) -> None:
        self.name, self.position = "fleet", 0
        self.head, self.asked, self.stuck, self.down = 0, 0, False, False

    def category_head(self, category: str) -> int:
        self.asked += category == "token"
        if self.down:
            raise LogUnavailable("the database is away")
        return self.head if category == "token" else 0

    async def brought(self, position: int) -> None:
        if self.stuck and position > self.position:
            raise Problem(503, "consumer-stopped", "?", "the fleet stands still")
        self.position = max(position, self.position)


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def fresh(behind: Behind, seconds: Seconds) -> Freshness:
    return Freshness(behind, behind.brought, seconds)


def test_a_revocation_is_looked_for_often_enough() -> None:
    assert 2 * CHECK_SECONDS <= RIGHTS_STALE_SECONDS_MAX <= 60


async def test_tokens_that_nobody_knows_look_at_the_log_together(behind: Behind) -> None:
    fresh = Freshness(behind, behind.brought)
    behind.head = 7

    await asyncio.gather(*(fresh.look_again() for _ in range(500)))

    assert behind.position == 7
    assert behind.asked <= 2


async def test_a_look_that_began_before_somebody_asked_is_not_theirs(behind: Behind) -> None:
    fresh = Freshness(behind, behind.brought)
    for head in range(1, 4):
        behind.head = head
        await fresh.look_again()
        assert behind.position == head


@pytest.mark.parametrize("trouble", ["stuck", "down"])
async def test_a_process_that_cannot_tell_for_a_minute_lets_nobody_in(
    fresh: Freshness, behind: Behind, seconds: Seconds, trouble: str
) -> None:
    setattr(behind, trouble, True)
    behind.head = 7
    seconds.seconds += RIGHTS_STALE_SECONDS_MAX
    await fresh.settled()
    seconds.seconds += 1
    with pytest.raises(Problem) as problem:
        await fresh.settled()
    assert (problem.value.status, problem.value.code) == (503, "rights-unknown")

    setattr(behind, trouble, False)
    await fresh.settled()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: datetime.now(UTC))
    yield log
    log.close()


def test_the_fleet_holds_what_the_log_says_of_tokens(log: EventLog) -> None:
    first, second = local_token(log, id="t-1"), local_token(log, id="t-2", service_account=True)
    position = revoke(log, "t-1")
    fleet = FleetModel(log).fleet
    for recorded in log.read_recorded(0):
        fleet.fold(recorded)
    policy = fleet.policy
    assert position == log.category_head("token")
    assert policy.by_digest(token_digest(first)) is None
    assert policy.was_revoked(token_digest(first))
    found = policy.by_digest(token_digest(second))
    assert found is not None
    assert found.service_account
