"""Fetches the manifests that a release names by reference, within bounds.

The one rule: only URLs under the source's registered prefix are fetched, also after redirects; and only the bytes with
the event's digest are accepted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable

import httpx2

from libs.contracts import SourceDeclared
from libs.contracts.inbox import ManifestsReference
from libs.contracts.problems import Problem

MANIFESTS_BYTES_MAX = 4 * 1024 * 1024
FETCH_SECONDS = 20.0
REDIRECTS_MAX = 3
URL_CHARACTERS_MAX = 2_048
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CLIMBING = re.compile(r"(?i)\.\.|%2e|%2f|%5c|[\\@\s]")

Fetcher = Callable[[], httpx2.AsyncClient]
"""Opens a client for one fetch."""


def outside_client() -> httpx2.AsyncClient:
    """Return a client for external hosts: it follows no redirects, and sends no credentials of ours."""
    return httpx2.AsyncClient(follow_redirects=False, timeout=httpx2.Timeout(FETCH_SECONDS, connect=5.0))


async def fetched(source: SourceDeclared, reference: ManifestsReference, fetcher: Fetcher) -> str:
    """Return the manifests.

    Raises:
        Problem: 409, they cannot be fetched: the dead letter can be retried later.
    """
    if not _SHA256.fullmatch(reference.sha256):
        raise _refused("sha256 is not 64 hex digits in lower case", "/data/reference/sha256")
    try:
        async with asyncio.timeout(FETCH_SECONDS), fetcher() as client:
            body = await _body(client, source, reference.url)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as error:
        raise _refused(f"{reference.url} does not answer: {type(error).__name__}") from None
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest(), reference.sha256):
        raise _refused(f"{reference.url} does not have the digest that the event names", "/data/reference/sha256")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused(f"{reference.url} is not UTF-8") from None


async def _body(client: httpx2.AsyncClient, source: SourceDeclared, url: str) -> bytes:
    for _ in range(REDIRECTS_MAX + 1):
        _check_place(source, url)
        async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            if response.is_redirect:
                url = str(response.url.join(response.headers.get("location", "")))
                continue
            if response.status_code != httpx2.codes.OK:
                raise _refused(f"{url} answers {response.status_code}")
            return await _bounded(response, url)
    raise _refused(f"{url} redirects more than {REDIRECTS_MAX} times")


async def _bounded(response: httpx2.Response, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MANIFESTS_BYTES_MAX:
            raise _refused(f"{url} has more than {MANIFESTS_BYTES_MAX} bytes")
    return bytes(body)


def _check_place(source: SourceDeclared, url: str) -> None:
    if not source.manifests:
        raise _refused(
            f"{source.name} has no prefix to fetch manifests from", fix="set spec.manifests in its Source document"
        )
    rest = url.removeprefix(source.manifests)
    if rest == url or len(url) > URL_CHARACTERS_MAX or not url.isascii() or _CLIMBING.search(rest):
        raise _refused(f"{url[:200]!r} is not under {source.manifests}", "/data/reference/url")


def _refused(detail: str, pointer: str | None = None, fix: str = "fix it there, then retry the dead letter") -> Problem:
    return Problem(
        409,
        "manifests-not-fetched",
        "The manifests of the release could not be fetched.",
        detail,
        pointer=pointer,
        fix=fix,
    )
