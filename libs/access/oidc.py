"""Access tokens of an identity provider: JSON Web Tokens (RFC 7519, RFC 9068) that it signed for us.

The one rule: a token's own claims select nothing. We configure the issuer, the audience and the algorithms, and a key
verifies only with an algorithm of its own type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import urlsafe_b64decode

from libs.access.principals import Principal
from libs.access.signing_keys import SigningKeys, is_secure
from libs.access.tokens import TOKEN_ID_CHARACTERS, BadToken, token_digest
from libs.contracts.names import unescape
from libs.contracts.people import GROUP_CHARACTERS_MAX, address_name, claimed_name, looks_like_any, normal

LEEWAY_SECONDS = 60
GROUPS_MAX = 1_000
KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
"""Algorithms that may be allowed, with the type of their keys; none of them uses a shared secret."""
DEFAULT_ALGORITHMS = ("RS256", "ES256", "EdDSA")
TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
VERIFIED_TEXT = "true"
"""Values that mean that an address was verified, besides true: some providers write the boolean as text."""
NOT_SO = (None, False, "false", "")
TOKEN_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_REASONS = {"iss": "wrong-issuer", "aud": "wrong-audience", "nbf": "not-yet-valid", "iat": "not-yet-valid"}


class BadProvider(ValueError):  # noqa: N818 - it states the fact
    """The identity provider cannot be trusted as it is configured; the message names the setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The identity provider that is trusted. `name_claim` empty: `email`, if it is said to be verified, or `sub`.

    A claim is a name, or a JSON pointer to one inside another (`/realm_access/roles`). `verified_claim` says whether
    the address in `email` was verified.

    Raises:
        BadProvider: an address that is not secure, no audience, an algorithm that may not be allowed.
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    name_claim: str = ""
    groups_claim: str = "groups"
    verified_claim: str = "email_verified"

    def __post_init__(self) -> None:
        if not is_secure(self.issuer) or "?" in self.issuer or "#" in self.issuer:
            raise BadProvider("RESEDGE_OIDC_ISSUER must be an https address (http only on loopback) without query")
        if not self.audience:
            raise BadProvider("RESEDGE_OIDC_AUDIENCE is missing: tokens for other audiences must not be accepted")
        if not self.algorithms or (bad := [each for each in self.algorithms if each not in KEY_TYPES]):
            named = ", ".join(bad) if self.algorithms else "nothing"
            raise BadProvider(f"RESEDGE_OIDC_ALGORITHMS allows {named}; choose from {', '.join(KEY_TYPES)}")


class _Registry(JWSRegistry):
    """The algorithms that the provider may use; headers that we do not know are ignored (RFC 7515 §4)."""

    max_header_length = 2_048

    def get_alg(self, name: str) -> Any:
        """Return an allowed algorithm, without warning of names that RFC 9864 replaces: providers still use them."""
        if name not in (self.allowed or ()):
            raise BadToken("bad-algorithm")
        return self.algorithms[name]


class ProviderTokens:
    """Verifies the tokens of one provider; `clock` is that of the log, `reserved` the names of service accounts."""

    def __init__(
        self,
        provider: Provider,
        clock: Callable[[], datetime],
        reserved: Callable[[], Collection[str]] = frozenset,
        keys: SigningKeys | None = None,
    ) -> None:
        self._provider, self._clock, self._reserved = provider, clock, reserved
        self._keys = keys or SigningKeys(provider.issuer)
        self._registry = _Registry(algorithms=provider.algorithms, strict_check_header=False)

    async def verify(self, token: str) -> Principal:
        """Return whose token this is.

        Raises:
            BadToken: it is not accepted.
            Problem: 503, the provider's keys cannot be fetched.
        """
        header, claims = _parts(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._provider.algorithms:
            raise BadToken("bad-algorithm")
        if str(header.get("typ", "JWT")).lower() not in TOKEN_TYPES:
            raise BadToken("malformed")
        if claims.get("iss") != self._provider.issuer:
            raise BadToken("wrong-issuer")
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise BadToken("malformed")
        key = await self._keys.find(kid, KEY_TYPES[algorithm])
        if key is None or not self._signed(token, key):
            raise BadToken("bad-signature")
        self._check(claims)
        return self._principal(token, claims)

    def _signed(self, token: str, key: Key) -> bool:
        try:
            signed = jws.extract_compact(token.encode(), registry=self._registry)
            return jws.validate_compact(signed, key, registry=self._registry)
        except (JoseError, ValueError, TypeError):
            return False

    def _check(self, claims: dict[str, Any]) -> None:
        registry = JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._provider.issuer},
            aud={"essential": True, "value": self._provider.audience},
            exp={"essential": True},
        )
        try:
            registry.validate(claims)
        except ExpiredTokenError:
            raise BadToken("expired") from None
        except MissingClaimError as missing:
            raise BadToken("wrong-audience" if "aud" in missing.claim.split(",") else "malformed") from None
        except ClaimError as wrong:
            raise BadToken(_REASONS.get(wrong.claim, "malformed")) from None

    def _principal(self, token: str, claims: dict[str, Any]) -> Principal:
        name = self._name(claims)
        if name is None or looks_like_any(name, self._reserved()):
            raise BadToken("reserved-name")
        identifier = claims.get("jti")
        if not isinstance(identifier, str) or not TOKEN_ID.fullmatch(identifier):
            identifier = token_digest(token)[:TOKEN_ID_CHARACTERS]
        try:
            expires = datetime.fromtimestamp(claims["exp"], UTC)
        except (ValueError, OverflowError, OSError):
            raise BadToken("malformed") from None
        groups, unknown = _groups(claims, self._provider.groups_claim)
        return Principal(
            name,
            frozenset(),
            groups,
            token_id=f"oidc-{identifier}",
            expires=expires,
            groups_unknown=unknown,
        )

    def _name(self, claims: dict[str, Any]) -> str | None:
        """Return whom the token is for; an empty claim is nobody, and never somebody else by another claim.

        An address is used as a name only if the provider verified it (OpenID Connect Core, §5.7).
        """
        chosen = self._provider.name_claim
        told = claim_of(claims, self._provider.verified_claim)
        verified = told is True or told == VERIFIED_TEXT
        if not chosen:
            chosen = "email" if verified and claims.get("email") is not None else "sub"
        elif chosen == "email" and not verified:
            raise BadToken("unverified-name")
        said = claim_of(claims, chosen)
        for each in (said, claims.get("sub")):
            if not isinstance(each, str) or not each.strip():
                raise BadToken("empty-claim")
        return address_name(said) if chosen == "email" else claimed_name(said, chosen.rpartition("/")[2])


def claim_of(claims: dict[str, Any], claim: str) -> Any:
    """Return a claim by its name, or by a JSON pointer (RFC 6901) into objects; None where it is not there."""
    if not claim.startswith("/"):
        return claims.get(claim)
    found: Any = claims
    for part in claim.split("/")[1:]:
        found = found.get(unescape(part)) if isinstance(found, dict) else None
    return found


def _groups(claims: dict[str, Any], claim: str) -> tuple[frozenset[str], str]:
    """Return the groups of a token, and a text that says which do not count; none without the claim."""
    if overage := _overage(claims, claim):
        return frozenset(), f"no group counts: the identity provider left them out of the token ({overage})"
    said = claim_of(claims, claim)
    if said is None:
        return frozenset(), ""
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list):
        return frozenset(), f"no group counts: the claim {claim} is not a list of texts"
    good = [each for each in listed if isinstance(each, str) and 0 < len(each) <= GROUP_CHARACTERS_MAX]
    groups = frozenset(map(normal, good))
    if len(groups) > GROUPS_MAX:
        return frozenset(), f"no group counts: the token has {len(groups):,}, more than {GROUPS_MAX:,} (group overage)"
    bad = len(listed) - len(good)
    why = f"{bad} of {len(listed)} groups do not count: a group is a text of at most {GROUP_CHARACTERS_MAX} characters"
    return groups, why if bad else ""


def _overage(claims: dict[str, Any], claim: str) -> str:
    """Return the claim that says that the provider left the groups out; empty: there is none.

    `_claim_names` says where to ask for a claim that is not in the token (OpenID Connect Core, §5.6.2); Entra ID sends
    `hasgroups` if not even that fits. Both concern only the groups claim: roles are always complete.
    """
    first = unescape(claim.split("/")[1]) if claim.startswith("/") else claim
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict | list) and first in elsewhere:
        return "group overage: _claim_names"
    if first == "groups" and claims.get("hasgroups") not in NOT_SO:
        return "group overage: hasgroups"
    return ""


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the claims of a token, not yet verified."""
    header, claims, _ = token.split(".")
    try:
        return _object(header), _object(claims)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise BadToken("malformed") from None


def _object(segment: str) -> dict[str, Any]:
    return msgspec.json.decode(urlsafe_b64decode(segment.encode()), type=dict[str, Any])
