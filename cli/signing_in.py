"""Signs in with an identity provider by a code that is typed on another device (RFC 8628), and renews the token.

The one rule: the provider's answers are checked before they are shown, followed or kept: https (http on loopback only),
its own name, bounded size, no redirects.
"""

from __future__ import annotations

import fcntl
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from cli.config import Context, SignIn, load_config, redacted_url, save_config, server_url
from cli.errors import CliError, ExitCode, Unreachable, UsageProblem

_DISCOVERY = "/.well-known/openid-configuration"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_ANSWER_BYTES_MAX = 1 << 20
ASK_SECONDS_MAX = 20.0
INTERVAL_SECONDS = 5.0
SLOWER_SECONDS = 5.0
INTERVAL_SECONDS_MAX = 60.0
CODE_SECONDS_MAX = 3_600.0
RENEW_SECONDS_BEFORE = 30.0
_SHOWN_CHARACTERS_MAX = 2_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Code:
    """The code for the person, and the values for polling: `interval` and `lifetime` in seconds."""

    device: str = field(repr=False)
    user: str
    page: str
    complete: str
    interval: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class Granted:
    """An access token, until when it is good (RFC 3339, empty: not said), and what renews it (empty: nothing does)."""

    token: str = field(repr=False)
    expires: str
    refresh_token: str = field(default="", repr=False)


def _utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - a command is a composition root; libs.runtime's clock loads a database


class SignInProvider:
    """One identity provider, asked as one client. Blocking; close it."""

    def __init__(self, issuer: str, client_id: str) -> None:
        """Ask nothing yet.

        Raises:
            UsageProblem: the address is not secure.
        """
        self.issuer, self.client_id = _secure(issuer, UsageProblem), client_id
        loopback = httpx2.URL(issuer).host in _LOOPBACK
        self._http = httpx2.Client(
            timeout=ASK_SECONDS_MAX,
            follow_redirects=False,
            verify=ssl.create_default_context(),
            trust_env=not loopback,  # a proxy cannot reach this machine's own loopback
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def endpoint(self, name: str) -> str:
        """Return an address of the provider's discovery document.

        Raises:
            CliError: it has none, or cannot be reached.
        """
        status, said = self._ask("GET", self.issuer.rstrip("/") + _DISCOVERY)
        if status != httpx2.codes.OK or said.get("issuer") != self.issuer:
            raise CliError(
                f"{redacted_url(self.issuer)} is not an identity provider of that name",
                why=f"its discovery document answers {status} and names {str(said.get('issuer'))[:200]!r}",
                fix="give --issuer exactly as the provider writes it",
            )
        place = said.get(name)
        if not isinstance(place, str):
            raise CliError(f"the identity provider does not offer {name}", fix="ask its administrator for device codes")
        return _secure(place, CliError)

    def code(self, scope: str, audience: str) -> Code:
        """Ask for a code to show (RFC 8628 §3.1).

        Raises:
            CliError: the provider refuses, or cannot be reached.
        """
        form = {"client_id": self.client_id, "scope": scope, "audience": audience}
        place = self.endpoint("device_authorization_endpoint")
        status, said = self._ask("POST", place, {key: value for key, value in form.items() if value})
        if status != httpx2.codes.OK:
            raise _refused(said, status)
        return Code(
            device=_text(said, "device_code"),
            user=_text(said, "user_code"),
            page=_secure(_text(said, "verification_uri"), CliError),
            complete=_secure(_text(said, "verification_uri_complete", ""), CliError),
            interval=_seconds(said, "interval", INTERVAL_SECONDS, INTERVAL_SECONDS_MAX),
            lifetime=_seconds(said, "expires_in", CODE_SECONDS_MAX, CODE_SECONDS_MAX),
        )

    def wait(self, code: Code, sleep: Callable[[float], None] = time.sleep) -> Granted:
        """Poll until the person has agreed (RFC 8628 §3.4, §3.5).

        Raises:
            CliError: they did not agree, or not in time; the provider refuses.
        """
        place = self.endpoint("token_endpoint")
        form = {"grant_type": GRANT, "device_code": code.device, "client_id": self.client_id}
        interval, waited = code.interval, 0.0
        while waited + interval <= code.lifetime:
            sleep(interval)
            waited += interval
            try:
                status, said = self._ask("POST", place, form)
            except Unreachable:
                interval = min(interval * 2, INTERVAL_SECONDS_MAX)  # §3.5: wait longer when it does not answer
                continue
            if status == httpx2.codes.OK:
                return _granted(said)
            match said.get("error"):
                case "authorization_pending":
                    pass
                case "slow_down":
                    interval = min(interval + SLOWER_SECONDS, INTERVAL_SECONDS_MAX)
                case _:
                    raise _refused(said, status)
        raise _refused({"error": "expired_token"}, 400)

    def renew(self, refresh_token: str) -> Granted:
        """Return a new access token (RFC 6749 §6); the refresh token stays the same where no new one is given.

        Raises:
            CliError: the provider refuses, or cannot be reached.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self.client_id}
        status, said = self._ask("POST", self.endpoint("token_endpoint"), form)
        if status != httpx2.codes.OK:
            raise _refused(said, status)
        granted = _granted(said)
        return granted if granted.refresh_token else replace(granted, refresh_token=refresh_token)

    def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        content = bytearray()
        try:
            with self._http.stream(method, url, data=form, headers={"Accept": "application/json"}) as response:
                for part in response.iter_bytes():
                    content += part
                    if len(content) > _ANSWER_BYTES_MAX:
                        raise CliError(f"the identity provider's answer is over {_ANSWER_BYTES_MAX:,} bytes")
        except httpx2.TransportError as error:
            away = Unreachable(redacted_url(url), str(error) or type(error).__name__)
            away.fix = "try again when the identity provider answers"
            raise away from error
        try:
            said = json.loads(bytes(content))
        except (ValueError, RecursionError):
            said = None
        return response.status_code, said if isinstance(said, dict) else {}


def _secure(url: str, refusal: type[CliError]) -> str:
    if not url:
        return url
    address = httpx2.URL(server_url(url))
    if address.scheme != "https" and address.host not in _LOOPBACK:
        raise refusal(f"{redacted_url(url)} is not secure", fix="an identity provider is asked by https")
    return url


def _text(said: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = said.get(key, default)
    if not isinstance(value, str) or not value.isprintable() or len(value) > _SHOWN_CHARACTERS_MAX:
        raise CliError(f"the identity provider answered without a usable {key}")
    return value


def _seconds(said: Mapping[str, Any], key: str, default: float, most: float) -> float:
    value = said.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        value = default
    return min(max(float(value), 1.0), most)


def _granted(said: Mapping[str, Any]) -> Granted:
    token = said.get("access_token")
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        raise CliError("the identity provider answered without an access token")
    refresh = said.get("refresh_token")
    lasts = said.get("expires_in")
    expires = ""
    if (
        isinstance(lasts, int | float)
        and not isinstance(lasts, bool)
        and 0 < lasts < timedelta(days=3_650).total_seconds()
    ):
        expires = (_utc_now() + timedelta(seconds=lasts)).isoformat(timespec="seconds")
    return Granted(token, expires, refresh if isinstance(refresh, str) else "")


_REFUSALS = {
    "access_denied": ("the sign-in was denied", "run `resedge login` again and approve on the provider's page"),
    "expired_token": ("the code expired before anyone approved the sign-in", "run `resedge login` again"),
    "invalid_grant": ("the sign-in has ended", "run `resedge login`"),
}


def _refused(said: Mapping[str, Any], status: int) -> CliError:
    error = str(said.get("error") or f"status {status}")[:100]
    what, fix = _REFUSALS.get(error, ("the identity provider refused", "check --issuer and --client-id"))
    told = "".join(each for each in str(said.get("error_description") or "")[:300] if each.isprintable())
    return CliError(what, why=f"{error!a}: {told}" if told else f"{error!a}", fix=fix, exit_code=ExitCode.DENIED)


def renewed(path: Path, name: str, now: Callable[[], datetime] = _utc_now) -> str:
    """Return the token of a context, a new one if the kept one ends soon; what is new is kept in the file.

    One process at a time renews: many providers take a refresh token once only.

    Raises:
        CliError: it has expired and cannot be renewed.
    """
    context = load_config(path).named(name)
    if not _ends_soon(context, now()):
        return context.token
    with _alone(path):
        config = load_config(path)
        context = config.named(name)
        signed_in = context.sign_in
        if signed_in is None or not _ends_soon(context, now()):
            return context.token
        provider = SignInProvider(signed_in.issuer, signed_in.client_id)
        try:
            granted = provider.renew(signed_in.refresh_token)
        except Unreachable:
            if now() < datetime.fromisoformat(signed_in.expires):
                return context.token
            raise
        finally:
            provider.close()
        save_config(path, config.having(signed_in_as(context, provider, granted)))
        return granted.token


def _ends_soon(context: Context, now: datetime) -> bool:
    signed_in = context.sign_in
    if signed_in is None or not signed_in.expires or not signed_in.refresh_token:
        return False
    return datetime.fromisoformat(signed_in.expires) - now < timedelta(seconds=RENEW_SECONDS_BEFORE)


def signed_in_as(context: Context, provider: SignInProvider, granted: Granted) -> Context:
    """Return the context with what was granted."""
    sign_in = SignIn(provider.issuer, provider.client_id, granted.expires, granted.refresh_token)
    return replace(context, token=granted.token, sign_in=sign_in)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
