"""The keys that an identity provider signs with, cached and fetched again as they rotate.

No token makes us ask the provider more often than every `RETRY_SECONDS`, and a provider that is down has no effect for
`STALE_SECONDS_MAX`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from joserfc.util import urlsafe_b64decode

from libs.access.metrics import SIGNING_KEY_FETCHES
from libs.contracts.problems import unavailable

FRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0
STALE_SECONDS_MAX = 3600.0
FETCH_SECONDS_MAX = 5.0
DOCUMENT_BYTES_MAX = 256 * 1024
KEYS_MAX = 100
RSA_BYTES_MIN = 256
_DISCOVERY = "/.well-known/openid-configuration"

Fetch = Callable[[], Awaitable[list[Any]]]
"""Returns the members of the provider's `keys`; raises `FetchFailed`."""

log = structlog.get_logger("resedge.web")


class FetchFailed(Exception):  # noqa: N818 - it states the fact
    """The provider's keys could not be fetched; the message says why."""


def is_secure(url: str) -> bool:
    """Tell whether an address is secure: https, or this machine's own loopback."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host) and parts.username is None
    return parts.scheme == "http" and _is_loopback(host) and parts.username is None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def fetching(issuer: str) -> Fetch:
    """Return a function that reads an issuer's discovery document, then its keys (OpenID Connect Discovery 1.0 §4)."""

    async def fetch() -> list[Any]:
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS_MAX),
                httpx2.AsyncClient(follow_redirects=False, timeout=FETCH_SECONDS_MAX) as client,
            ):
                said = await _document(client, issuer.rstrip("/") + _DISCOVERY)
                if said.get("issuer") != issuer:
                    raise FetchFailed("its discovery document names another issuer")
                place = said.get("jwks_uri")
                if not isinstance(place, str) or not is_secure(place):
                    raise FetchFailed("its keys are not at an https address")
                keys = (await _document(client, place)).get("keys")
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
            raise FetchFailed(f"it does not answer ({type(error).__name__})") from error
        if not isinstance(keys, list):
            raise FetchFailed("its jwks_uri does not hold a key set")
        return keys

    return fetch


async def _document(client: httpx2.AsyncClient, url: str) -> Mapping[str, Any]:
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != httpx2.codes.OK:
            raise FetchFailed(f"it answers {response.status_code}")
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > DOCUMENT_BYTES_MAX:
                raise FetchFailed(f"its answer is over {DOCUMENT_BYTES_MAX:,} bytes")
    try:
        return msgspec.json.decode(bytes(content), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise FetchFailed("its answer is not a JSON object") from None


def usable(members: list[Any]) -> list[Key]:
    """Return the public keys that may verify signatures; weak, secret and unknown ones are left out."""
    found: list[Key] = []
    for member in members[:KEYS_MAX]:
        if not isinstance(member, dict) or not _may_verify(member):
            continue
        try:
            found.append(import_key(member))
        except (JoseError, ValueError, TypeError, KeyError, OverflowError) as error:
            log.warning("signing key not understood", reason=type(error).__name__)
    return found


def _may_verify(member: dict[str, Any]) -> bool:
    if member.get("kty") not in {"RSA", "EC", "OKP"} or "d" in member or member.get("use", "sig") != "sig":
        return False
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    return member["kty"] != "RSA" or _modulus_bytes(member.get("n")) >= RSA_BYTES_MIN


def _modulus_bytes(modulus: Any) -> int:
    try:
        return len(urlsafe_b64decode(str(modulus).encode()).lstrip(b"\0"))
    except ValueError:
        return 0


class SigningKeys:
    """The keys of one issuer. `now` gives seconds that never go back; it is not the clock of the log."""

    def __init__(self, issuer: str, fetch: Fetch | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._fetch, self._now = issuer, fetch or fetching(issuer), now
        self._keys: list[Key] = []
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._under_way: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, key_type: str) -> Key | None:
        """Return the key of that id and type, asking the provider again if needed; None if there is none.

        Without an id there must be only one key of the type.

        Raises:
            Problem: 503, the provider does not answer and the cached keys are not enough.
        """
        await self._freshen()
        key = self._pick(kid, key_type)
        if key is None and (self._under_way is not None or self._due()):
            await self._refresh()
            key = self._pick(kid, key_type)
        if key is None and self._failed:
            raise _issuer_unavailable()
        return key

    def _pick(self, kid: str | None, key_type: str) -> Key | None:
        keys = [key for key in self._keys if key.key_type == key_type and (kid is None or key.kid == kid)]
        return keys[0] if len(keys) == 1 or (keys and kid is not None) else None

    def _due(self) -> bool:
        return self._tried_at is None or self._now() - self._tried_at >= RETRY_SECONDS

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._now() - self._fetched_at

    async def _freshen(self) -> None:
        if self._age() <= FRESH_SECONDS:
            return
        if self._failed and self._age() <= STALE_SECONDS_MAX:
            # The provider is known to be down: fetch in the background, so that no request waits for it.
            if self._due():
                self._begin()
            return
        if self._under_way is not None or self._due():
            await self._refresh()
        if self._age() > STALE_SECONDS_MAX:
            raise _issuer_unavailable()

    async def _refresh(self) -> None:
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        """Fetch, or join the fetch that is under way."""
        if self._under_way is None:
            self._tried_at = self._now()
            self._under_way = asyncio.create_task(self._fetch_now())
        return self._under_way

    async def _fetch_now(self) -> None:
        begun = self._now()
        try:
            self._keys = usable(await self._fetch())
        except FetchFailed as failed:
            self._failed = True
            SIGNING_KEY_FETCHES.labels("failed").inc()
            log.warning("signing keys could not be fetched", issuer=self._issuer, reason=str(failed))
        else:
            self._fetched_at, self._failed = begun, False
            SIGNING_KEY_FETCHES.labels("ok").inc()
        finally:
            self._under_way = None


def _issuer_unavailable() -> Exception:
    return unavailable(
        "the identity provider does not answer, so its tokens cannot be verified",
        code="issuer-unavailable",
        fix="try again; local tokens are accepted",
    )
