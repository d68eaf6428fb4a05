"""`resedge login` against an identity provider that the test runs, and what becomes of the token afterwards."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.config import Config, Context, SignIn, load_config, save_config
from cli.errors import CliError, ExitCode, UsageProblem
from cli.signing_in import Code, SignInProvider, renewed
from tests.cli.cli_server import Answer, Asked, FakeServer
from tests.cli.conftest import Resedge
from tests.support.tokens import ANA, CLIENT, Issuer, issuing

SCOPE = "openid"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture
def provider(issuer: Issuer) -> Iterator[SignInProvider]:
    made = SignInProvider(issuer.url, CLIENT)
    yield made
    made.close()


@pytest.fixture
def config(home: Path, server: FakeServer) -> Path:
    """The file of contexts, with one that has no token yet; the server says whose token it gets."""
    path = home / ".config/resedge/config.yaml"
    save_config(path, Config("shop", {"shop": Context("shop", server.url)}))
    server.on("GET", "/v1/whoami", Answer(200, {"actor": ANA, "roles": [], "groups": ["ops-east"]}))
    server.on("GET", "/v1/stores", Answer(200, {"items": [], "next": None}))
    return path


@pytest.fixture
def shop(resedge: Resedge, config: Path, monkeypatch: pytest.MonkeyPatch) -> Resedge:
    """The command, which finds server and token in the context alone."""
    assert config.exists()
    monkeypatch.delenv("RESEDGE_SERVER")
    monkeypatch.delenv("RESEDGE_TOKEN")
    return resedge


def kept(config: Path) -> Context:
    return load_config(config).named("shop")


def bearer(asked: Asked) -> str:
    return asked.headers["authorization"].removeprefix("Bearer ")


class Slept:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_login_shows_address_and_code_and_keeps_the_token(
    shop: Resedge, config: Path, issuer: Issuer, server: FakeServer
) -> None:
    ran = shop("login", "--issuer", issuer.url, "--client-id", CLIENT)

    assert ran.code == 0
    assert ran.out == f"context/shop signed in as {ANA}\n"
    assert f"open {issuer.url}/activate and type the code WDJB-MJHT" in ran.err
    context = kept(config)
    assert context.sign_in is not None
    assert (context.sign_in.issuer, context.sign_in.client_id) == (issuer.url, CLIENT)
    left = datetime.fromisoformat(context.sign_in.expires) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    for secret in (context.token, context.sign_in.refresh_token):
        assert secret
        assert secret not in ran.out + ran.err + repr(context)

    assert shop("get", "stores").code == 0
    assert bearer(server.asked[-1]) == context.token


def test_the_environment_and_then_the_context_say_with_whom(
    shop: Resedge, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = shop("login")
    assert (refused.code, "--issuer" in refused.err) == (2, True)

    monkeypatch.setenv("RESEDGE_OIDC_ISSUER", issuer.url)
    monkeypatch.setenv("RESEDGE_OIDC_CLIENT_ID", CLIENT)
    assert shop("login").code == 0
    monkeypatch.delenv("RESEDGE_OIDC_ISSUER")
    monkeypatch.delenv("RESEDGE_OIDC_CLIENT_ID")
    assert shop("login").code == 0


def test_a_token_that_the_server_does_not_accept_is_not_kept(
    shop: Resedge, config: Path, issuer: Issuer, server: FakeServer
) -> None:
    server.on("GET", "/v1/whoami", Answer(401, {"code": "unauthenticated", "reason": "wrong-audience"}))
    ran = shop("login", "--issuer", issuer.url, "--client-id", CLIENT)
    assert ran.code == 4
    assert kept(config).token == ""


def test_without_a_context_there_is_nowhere_to_keep_a_token(resedge: Resedge, issuer: Issuer) -> None:
    ran = resedge("login", "--issuer", issuer.url, "--client-id", CLIENT)
    assert ran.code == 2
    assert "resedge context set" in ran.err
    assert issuer.asked == []


def test_polling_goes_at_the_pace_that_the_provider_asks_for(provider: SignInProvider, issuer: Issuer) -> None:
    issuer.polls.extend(["authorization_pending", "slow_down", "authorization_pending", "ok"])
    issuer.interval = 2
    slept = Slept()

    granted = provider.wait(provider.code(SCOPE, ""), slept)

    assert slept.seconds == [2, 2, 7, 7]
    assert granted.token


@pytest.mark.parametrize(
    ("error", "said"),
    [("access_denied", "denied"), ("expired_token", "expired"), ("invalid_client", "refused")],
)
def test_a_refusal_ends_the_waiting(provider: SignInProvider, issuer: Issuer, error: str, said: str) -> None:
    issuer.polls.extend(["authorization_pending", error])
    with pytest.raises(CliError, match=said) as refused:
        provider.wait(provider.code(SCOPE, ""), Slept())
    assert refused.value.exit_code == ExitCode.DENIED


def test_waiting_ends_with_the_code(provider: SignInProvider, issuer: Issuer) -> None:
    issuer.polls.extend(["authorization_pending"] * 100)
    slept = Slept()
    code = Code("the-device-code", "WDJB-MJHT", issuer.url, "", 5, 60)
    with pytest.raises(CliError, match="expired"):
        provider.wait(code, slept)
    assert sum(slept.seconds) <= 60


class Moving(SignInProvider):
    """A provider whose token endpoint is somewhere else at each look; `places` first."""

    def __init__(self, issuer: str, *places: str) -> None:
        super().__init__(issuer, CLIENT)
        self.places = list(places)

    def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        place = self.places.pop(0) if url.endswith("/token") and self.places else url
        return super()._ask(method, place, form)


def test_a_provider_that_is_away_for_a_moment_is_asked_again_later(issuer: Issuer) -> None:
    moving = Moving(issuer.url, "http://127.0.0.1:9/token")
    slept = Slept()
    assert moving.wait(moving.code(SCOPE, ""), slept).token
    assert slept.seconds == [issuer.interval, 2 * issuer.interval]
    moving.close()


def test_what_a_provider_says_is_checked_before_it_is_shown_or_followed(
    shop: Resedge, issuer: Issuer, config: Path
) -> None:
    issuer.says_issuer = "https://accounts.example.com"
    assert shop("login", "--issuer", issuer.url, "--client-id", CLIENT).code == 1
    issuer.says_issuer = ""
    issuer.changes = {"user_code": "\x1b]0;evil\x07"}
    ran = shop("login", "--issuer", issuer.url, "--client-id", CLIENT)
    assert (ran.code, "\x1b" in ran.err) == (1, False)
    issuer.changes = {"verification_uri": "http://evil.example.com/activate"}
    assert shop("login", "--issuer", issuer.url, "--client-id", CLIENT).code == 1
    issuer.changes = {"token_endpoint": "http://evil.example.com/token"}
    assert shop("login", "--issuer", issuer.url, "--client-id", CLIENT).code == 1
    with issuing() as other:
        issuer.changes, issuer.moved = {}, other.url
        assert shop("login", "--issuer", issuer.url, "--client-id", CLIENT).code == 1
        assert other.asked == []
    assert shop("login", "--issuer", "http://accounts.example.com", "--client-id", CLIENT).code == 2
    assert kept(config).token == ""


def signed_in(config: Path, issuer: Issuer, *, ends: timedelta, renews: str = "refresh-0") -> None:
    expires = (datetime.now(UTC) + ends).isoformat()
    before = load_config(config)
    sign_in = SignIn(issuer.url, CLIENT, expires, renews)
    save_config(config, before.having(Context("shop", before.named("shop").server, "old", sign_in)))


def test_a_token_that_ends_soon_is_renewed_and_kept(
    shop: Resedge, config: Path, issuer: Issuer, server: FakeServer
) -> None:
    signed_in(config, issuer, ends=timedelta(seconds=10))

    ran = shop("get", "stores")

    assert ran.code == 0
    context = kept(config)
    assert context.token != "old"
    assert context.sign_in is not None
    assert context.sign_in.refresh_token.startswith("refresh-")
    assert context.sign_in.refresh_token != "refresh-0"
    assert bearer(server.asked[-1]) == context.token
    asked = len(issuer.asked)
    assert shop("get", "stores").code == 0
    assert len(issuer.asked) == asked


def test_a_token_that_is_good_for_longer_or_given_otherwise_is_left_alone(
    shop: Resedge, config: Path, issuer: Issuer, server: FakeServer
) -> None:
    signed_in(config, issuer, ends=timedelta(minutes=5))
    assert shop("get", "stores").code == 0
    assert bearer(server.asked[-1]) == "old"
    signed_in(config, issuer, ends=timedelta(minutes=-5))
    assert shop("get", "stores", "--token", "another").code == 0
    assert bearer(server.asked[-1]) == "another"
    assert issuer.asked == []


def test_a_sign_in_that_has_ended_says_what_to_do(shop: Resedge, config: Path, issuer: Issuer) -> None:
    signed_in(config, issuer, ends=timedelta(minutes=-5), renews="taken-back")
    ran = shop("get", "stores")
    assert ran.code == 4
    assert "resedge login" in ran.err
    assert "taken-back" not in ran.err


def test_an_outage_of_the_provider_matters_only_once_the_token_has_ended(
    shop: Resedge, config: Path, issuer: Issuer
) -> None:
    away = Issuer(url="http://127.0.0.1:9")
    signed_in(config, away, ends=timedelta(seconds=20))
    assert shop("get", "stores").code == 0
    signed_in(config, away, ends=timedelta(seconds=-1))
    assert shop("get", "stores").code == 8
    assert issuer.asked == []


def test_many_commands_at_once_renew_once(config: Path, issuer: Issuer) -> None:
    signed_in(config, issuer, ends=timedelta(seconds=1))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(renewed(config, "shop"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {kept(config).token}
    assert issuer.asked.count("/token") == 1


def test_a_new_token_or_server_ends_the_sign_in(shop: Resedge, config: Path, issuer: Issuer, tmp_path: Path) -> None:
    signed_in(config, issuer, ends=timedelta(minutes=5))
    assert shop("context", "set", "shop").code == 0
    assert kept(config).sign_in is not None
    (tmp_path / "token").write_text("new")
    assert shop("context", "set", "shop", "--token-file", str(tmp_path / "token")).code == 0
    assert kept(config) == Context("shop", kept(config).server, "new")


def test_an_expiry_without_offset_is_no_configuration(config: Path) -> None:
    text = "{name: a, server: 'http://a', token: t, sign_in: {issuer: i, client_id: c, expires: '2026-01-01T00:00:00'}}"
    config.write_text(f"contexts: [{text}]")
    with pytest.raises(UsageProblem):
        load_config(config)
