"""An identity provider that the tests run, and every kind of token that must not be accepted.

`with issuing() as issuer:` serves discovery, keys, device authorization and tokens over HTTP on loopback;
`Wiring(provider=issuer.provider)` makes a server trust it. `bad_tokens(issuer, embedded)` is the matrix: name → token
(None: no token at all); `REASONS` says which reason each is refused for.
"""

from __future__ import annotations

import hmac
import json
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeyParameters, OctKey, OKPKey, RSAKey

from libs.access.oidc import Provider
from libs.access.tokens import new_token, token_digest
from libs.contracts import By, TokenIssued, TokenRevoked, encode, type_name
from libs.eventlog import EventLog, NewEvent, Submission

if TYPE_CHECKING:
    from libs.runtime.embedded import Embedded

AUDIENCE = "resedge"
CLIENT = "resedge-cli"
ANA = "ana@example.com"
ADMIN = By("admin")
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REASONS = {
    "missing": "missing",
    "garbage": "unknown",
    "garbage-bytes": "malformed",
    "garbage-jwt": "malformed",
    "empty-claim": "empty-claim",
    "wrong-audience": "wrong-audience",
    "wrong-issuer": "wrong-issuer",
    "expired": "expired",
    "not-yet-valid": "not-yet-valid",
    "alg-none": "bad-algorithm",
    "hs256-with-the-public-key": "bad-algorithm",
    "unknown-kid": "bad-signature",
    "another-key": "bad-signature",
    "changed": "bad-signature",
    "local-expired": "expired",
    "revoked": "revoked",
}
"""Every bad token, and why it is refused."""


@cache
def a_key(kid: str, kind: str = "RSA") -> Key:
    """Return a private key of that id; the same one each time, because making one takes a while."""
    parameters: KeyParameters = {"kid": kid, "use": "sig"}
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048, parameters)
        case "EC":
            return ECKey.generate_key("P-256", parameters)
        case _:
            return OKPKey.generate_key("Ed25519", parameters)


@dataclass
class Issuer:
    """The provider: what it publishes, what it was asked, and how it answers the next device token requests.

    `outage` makes it answer 503; `moved` makes it redirect. `polls` are the answers to come: an OAuth error's code
    each, or `ok`; without any more it is `ok`. `changes` are members of answers that are others.
    """

    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [a_key("first")])
    asked: list[str] = field(default_factory=list)
    outage: bool = False
    moved: str = ""
    says_issuer: str = ""
    padding: int = 0
    polls: deque[str] = field(default_factory=deque)
    interval: int = 1
    lifetime: timedelta = timedelta(hours=1)
    changes: Mapping[str, Any] = field(default_factory=dict)
    person: str = ANA
    groups: tuple[str, ...] = ("ops-east",)

    @property
    def provider(self) -> Provider:
        """Return how a server trusts it."""
        return Provider(issuer=self.url, audience=AUDIENCE)

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on; the older ones are published still."""
        self.keys.insert(0, a_key(kid))

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return good claims, some of them changed; None leaves one out."""
        now = int(datetime.now(UTC).timestamp())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": f"sub-{self.person}",
            "email": self.person,
            "email_verified": True,
            "groups": list(self.groups),
            "iat": now,
            "nbf": now,
            "exp": now + int(self.lifetime.total_seconds()),
            **changed,
        }
        return {key: value for key, value in claims.items() if value is not None}

    def token(self, *, key: Key | None = None, algorithm: str = "RS256", **changed: Any) -> str:
        """Return a signed token."""
        signer = key or self.keys[0]
        header = {"alg": algorithm, "kid": str(signer.kid), "typ": "at+jwt"}
        return jwt.encode(header, self.claims(**changed), signer, algorithms=[algorithm], default_type=None)

    def answer(self, path: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Return what a request is answered with."""
        self.asked.append(path)
        if self.outage:
            return 503, {"error": "temporarily_unavailable"}
        match path:
            case "/.well-known/openid-configuration":
                return 200, {
                    "issuer": self.says_issuer or self.url,
                    "jwks_uri": f"{self.url}/keys",
                    "device_authorization_endpoint": f"{self.url}/device",
                    "token_endpoint": f"{self.url}/token",
                    "padding": "x" * self.padding,
                }
            case "/keys":
                return 200, {"keys": [key.as_dict(private=False) for key in self.keys]}
            case "/device" if form.get("client_id") == CLIENT:
                return 200, {
                    "device_code": "the-device-code",
                    "user_code": "WDJB-MJHT",
                    "verification_uri": f"{self.url}/activate",
                    "verification_uri_complete": f"{self.url}/activate?user_code=WDJB-MJHT",
                    "expires_in": 600,
                    "interval": self.interval,
                }
            case "/token":
                return self._token(form)
            case _:
                return 400, {"error": "invalid_client"}

    def _token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        if form.get("client_id") != CLIENT:
            return 401, {"error": "invalid_client"}
        match form.get("grant_type"):
            case "refresh_token" if form.get("refresh_token", "").startswith("refresh-"):
                pass
            case grant if grant == GRANT and form.get("device_code") == "the-device-code":
                said = self.polls.popleft() if self.polls else "ok"
                if said != "ok":
                    return 400, {"error": said}
            case _:
                return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": self.token(),
            "token_type": "Bearer",
            "expires_in": int(self.lifetime.total_seconds()),
            "refresh_token": f"refresh-{len(self.asked)}",
        }


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Serve an identity provider on loopback."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # an answer's body does not wait for what says that its head came

        def _serve(self, form: Mapping[str, str]) -> None:
            if issuer.moved:
                self.send_response(302)
                self.send_header("Location", issuer.moved + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, body = issuer.answer(self.path, form)
            changed = {key: value for key, value in issuer.changes.items() if key in body}
            content = json.dumps({**body, **changed}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._serve({key: values[0] for key, values in parse_qs(content.decode()).items()})

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


def appended(log: EventLog, stream: str, event: TokenIssued | TokenRevoked) -> int:
    """Put one event into the log, as policy does, and return its position."""
    outcome = log.append(Submission([NewEvent(stream, type_name(event), encode(event))], actor="admin"))
    return int(getattr(outcome, "last", 0))


def local_token(
    log: EventLog,
    user: str = ANA,
    *,
    id: str = "t-1",  # noqa: A002 - the event's own word
    expires_at: datetime | None = None,
    by: By = ADMIN,
    **said: Any,
) -> str:
    """Return a local token that the log knows."""
    token = new_token()
    expires_at = expires_at or datetime.now(UTC) + timedelta(hours=8)
    appended(log, f"token-{id}", TokenIssued(id, user, token_digest(token), expires_at, by, **said))
    return token


def revoke(log: EventLog, id: str = "t-1") -> int:  # noqa: A002 - the event's own word
    """End a local token."""
    return appended(log, f"token-{id}", TokenRevoked(id, "lost", ADMIN))


def segment(value: object) -> str:
    """Return one part of a token."""
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(issuer: Issuer) -> str:
    """Return good claims under the algorithm `none`."""
    return f"{segment({'alg': 'none', 'typ': 'JWT'})}.{segment(issuer.claims())}."


def signed_with_the_public_key(issuer: Issuer) -> str:
    """Return good claims under HS256 with what everybody can fetch as the secret (CVE-2015-9235 and its kin)."""
    key = issuer.keys[0]
    assert not isinstance(key, OctKey)
    public = key.as_pem(private=False)
    header = {"alg": "HS256", "kid": str(issuer.keys[0].kid), "typ": "JWT"}
    said = f"{segment(header)}.{segment(issuer.claims())}"
    signature = urlsafe_b64encode(hmac.digest(public, said.encode(), "sha256")).decode().rstrip("=")
    return f"{said}.{signature}"


def another_key(issuer: Issuer) -> str:
    """Return good claims that somebody else signed under the provider's key id."""
    stranger = RSAKey.import_key(a_key("stranger").as_dict(private=True), {"kid": str(issuer.keys[0].kid)})
    return issuer.token(key=stranger)


def changed(token: str) -> str:
    """Return the token with somebody else's name under the same signature."""
    header, claims, signature = token.split(".")
    read = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return f"{header}.{segment({**read, 'email': 'eve@example.com'})}.{signature}"


def bad_tokens(issuer: Issuer, embedded: Embedded) -> dict[str, str | None]:
    """Return every token of `REASONS`; those of the log are appended to the server's, so let it settle afterwards."""
    past = datetime.now(UTC) - timedelta(hours=1)
    revoked = local_token(embedded.log, id="t-revoked")
    revoke(embedded.log, "t-revoked")
    good = issuer.token()
    return {
        "missing": None,
        "garbage": "garbage",
        "garbage-bytes": '{"alg": "none"}',
        "garbage-jwt": "e30.W10.AAAA",
        "empty-claim": issuer.token(email="", sub=""),
        "wrong-audience": issuer.token(aud="another-service"),
        "wrong-issuer": issuer.token(iss="https://accounts.example.com"),
        "expired": issuer.token(exp=int(past.timestamp())),
        "not-yet-valid": issuer.token(nbf=int((datetime.now(UTC) + timedelta(hours=1)).timestamp())),
        "alg-none": unsigned(issuer),
        "hs256-with-the-public-key": signed_with_the_public_key(issuer),
        "unknown-kid": issuer.token(key=a_key("nobody-knows")),
        "another-key": another_key(issuer),
        "changed": changed(good),
        "local-expired": local_token(embedded.log, id="t-expired", expires_at=past),
        "revoked": revoked,
    }
