"""The HTTP client: the one place that sends tokens, keys and positions, and turns answers into errors.

The one rule: every change carries an idempotency key, so that it is safe to send it again after a dropped connection.
"""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from cli.config import Connection, redacted_url
from cli.errors import CliError, ServerProblem, TimedOut, Unreachable, UsageProblem, problem_from
from libs.version import VERSION, VERSION_HEADER, understand

if TYPE_CHECKING:
    from cli.positions import KeptPositions

PAGE_ITEMS_MAX = 1_000
READ_SECONDS = 60.0
_VERSION_CHARACTERS_MAX = 64
LONG_SECONDS = 900.0
_DROPPED = (httpx2.ReadError, httpx2.WriteError, httpx2.CloseError, httpx2.RemoteProtocolError)

Content = Callable[[], Iterator[bytes]]
"""A body that can be started again from its first byte, for the retry."""


def _other_version(theirs: str) -> str:
    if understand(VERSION, theirs):
        return ""
    return f"the server is version {theirs}, this command is {VERSION}: use the command of the server's version"


_NOTICES: Mapping[str, Callable[[str], str]] = {
    "Resedge-Clock": lambda told: f"the server's clock is {told}",
    VERSION_HEADER: _other_version,
}
"""A header of answers → the notice for it; empty for none."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """A successful answer: its status, body (None if empty) and position (0 if not given)."""

    status: int
    body: Any
    text: str
    position: int

    @property
    def result(self) -> str:
        """Return `created`, `configured`, `unchanged` or `deleted`."""
        if self.status == 204:
            return "unchanged"
        named = self.body.get("result") if isinstance(self.body, Mapping) else None
        return str(named or ("created" if self.status == 201 else "configured"))

    @property
    def warnings(self) -> list[str]:
        """Return the server's warnings about a successful request."""
        return [str(w) for w in self.body.get("warnings") or ()] if isinstance(self.body, Mapping) else []


@dataclass(frozen=True, slots=True)
class Streamed:
    """A successful answer whose body is still arriving."""

    headers: Mapping[str, str]
    parts: Iterator[bytes]


def path_of(*parts: str) -> str:
    """Return `/v1/…` with every part quoted; a part with slashes is a group's path and keeps them.

    Raises:
        UsageProblem: a part is empty or is `.` or `..`, which would name another resource.
    """
    for part in parts:
        if any(step in ("", ".", "..") for step in part.split("/")) or "\0" in part:
            raise UsageProblem(f"{part!r} is not a name")
    return "/v1/" + "/".join(quote(part, safe="/:") for part in parts)


class Client:
    """Requests of one connection. Blocking; not for several threads.

    `notice` is called once for each general warning about the server: its clock is virtual, or its version may not work
    with this command's.
    """

    def __init__(
        self, connection: Connection, positions: KeptPositions, notice: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._server = connection.server
        self._positions = positions
        self._notice = notice
        self._unheard = dict(_NOTICES)
        self.kinds_version = ""
        """The version of the server's kinds, from its last answer; empty if unknown."""
        headers = {"User-Agent": f"resedge/{VERSION}", "Accept": "application/json"}
        if connection.token:
            headers["Authorization"] = f"Bearer {connection.token}"
        secure = connection.server.startswith("https://")
        loopback = httpx2.URL(connection.server).host in ("127.0.0.1", "localhost", "::1")
        self._http = httpx2.Client(
            base_url=connection.server,
            headers=headers,
            timeout=httpx2.Timeout(READ_SECONDS, connect=5.0),
            # Loading the certificate store takes longer than a whole read over plain HTTP, which never uses it.
            verify=ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=not loopback,  # a proxy cannot reach this machine's own loopback
            event_hooks={"response": [self._look_at_headers]},
        )

    @property
    def last_change(self) -> int:
        """The position of this connection's last change; 0 if it made none."""
        return self._positions.last()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _look_at_headers(self, response: httpx2.Response) -> None:
        self.kinds_version = response.headers.get("Resedge-Kinds", "")[:_VERSION_CHARACTERS_MAX]
        for header in [each for each in self._unheard if each in response.headers]:
            if notice := self._unheard.pop(header)(response.headers[header]):
                self._notice(notice)

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        read_seconds: float = READ_SECONDS,
        fresh: bool = True,
    ) -> ServerAnswer:
        """Read a resource; `fresh` waits until the server has seen this connection's last change.

        Raises:
            CliError: the server refused, did not answer in time or cannot be reached.
        """
        known = self._positions.last() if fresh else 0
        headers = {"Resedge-Position": str(known)} if known else {}
        return self._seen(lambda: self._answer("GET", path, params=params, headers=headers, read_seconds=read_seconds))

    def change(  # noqa: PLR0913 - they are the parts of a request
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        content: Content | None = None,
        content_type: str = "application/json",
        read_seconds: float = READ_SECONDS,
        conditions: Mapping[str, str] | None = None,
    ) -> ServerAnswer:
        """Send a change (or its dry run) once, and once more with the same key if the connection dropped.

        `conditions` are headers: `If-Match`, `If-None-Match`.

        Raises:
            CliError: as `get`.
        """
        encoded = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {"Idempotency-Key": secrets.token_hex(16), **(conditions or {})}
        if known := self._positions.last():
            headers["Resedge-Position"] = str(known)
        if content or body is not None:
            headers["Content-Type"] = content_type
        body_again: Content | bytes = content or encoded
        answer = self._seen(
            lambda: self._answer(
                method, path, params=params, headers=headers, content=body_again, read_seconds=read_seconds, sent=body
            )
        )
        dry = bool(params and str(params.get("dry_run", "")).lower() == "true")
        if answer.position and not dry:
            self._positions.remember(answer.position)
        return answer

    def pages(
        self, path: str, params: Mapping[str, Any], *, key: str = "items", page_items: int = PAGE_ITEMS_MAX
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the items of a list, asking for the next page only when the caller gets there."""
        query = {name: value for name, value in params.items() if value is not None}
        while True:
            body = self.get(path, {**query, "limit": page_items}).body
            items = body.get(key, []) if isinstance(body, Mapping) else body or []
            yield from items
            cursor = body.get("next") if isinstance(body, Mapping) else None
            if not cursor or not items:
                return
            query["cursor"] = cursor

    def events(self, path: str, params: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the JSON of each server-sent event until the server ends the stream.

        Raises:
            CliError: as `get`; a dropped connection is `Unreachable`.
        """
        try:
            timeout = httpx2.Timeout(None, connect=5.0)
            with self._http.sse(path, params=dict(params), timeout=timeout) as source:
                if source.response.status_code >= 400:
                    content = source.response.read()
                    raise problem_from(
                        source.response.status_code, source.response.headers.get("content-type", ""), content
                    )
                for event in source:
                    if event.data:
                        yield json.loads(event.data)
        except (httpx2.TransportError, ValueError) as error:
            raise self._failure(error) from error

    @contextmanager
    def stream(self, path: str, params: Mapping[str, Any]) -> Iterator[Streamed]:
        """Yield an answer whose body is read as it arrives, however large it is.

        Raises:
            CliError: as `get`, or the connection dropped in the middle.
        """
        begun = False
        try:
            with self._http.stream("GET", path, params=dict(params)) as response:
                if response.status_code >= 400:
                    kind = response.headers.get("content-type", "")
                    raise problem_from(response.status_code, kind, response.read(), params)
                begun = True
                yield Streamed(response.headers, response.iter_bytes())
        except httpx2.TransportError as error:
            if not begun:
                raise self._failure(error) from error
            server = redacted_url(self._server)
            raise CliError(
                f"{server} closed the connection in the middle of its answer", why=str(error), fix="ask again"
            ) from error

    def _seen(self, ask: Callable[[], ServerAnswer]) -> ServerAnswer:
        """Retry while the server is still behind our position, but makes progress."""
        seen: object = None
        while True:
            try:
                return ask()
            except ServerProblem as problem:
                if problem.code != "position-timeout":
                    raise
                if seen == (seen := problem.body.get("position")):
                    # A log that never reaches it is another one (restored, or new): do not wait for it next time.
                    if not self._reached():
                        self._positions.forget()
                    raise

    def _reached(self) -> bool:
        """Whether the log itself has our last change, even if the services are behind."""
        try:
            head = self._answer("GET", "/v1/events", params={"limit": 1}, headers={}, read_seconds=READ_SECONDS)
        except CliError:
            return False
        return head.position >= self._positions.last()

    def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        read_seconds: float,
        content: Content | bytes = b"",
        sent: object = None,
    ) -> ServerAnswer:
        timeout = httpx2.Timeout(read_seconds, connect=5.0)

        def send() -> httpx2.Response:
            body = content() if callable(content) else content
            return self._http.request(
                method, path, params=dict(params or {}), headers=dict(headers), content=body, timeout=timeout
            )

        try:
            try:
                response = send()
            except _DROPPED:
                response = send()
        except httpx2.TransportError as error:
            raise self._failure(error) from error
        if response.status_code >= 400:
            kind = response.headers.get("content-type", "")
            raise problem_from(response.status_code, kind, response.content, sent or params)
        return self._good(response)

    def _good(self, response: httpx2.Response) -> ServerAnswer:
        body: Any = None
        if "json" in response.headers.get("content-type", "") and response.content:
            try:
                body = response.json()
            except ValueError as error:
                raise CliError(
                    f"{redacted_url(self._server)} did not answer with JSON",
                    why=f"status {response.status_code}, {len(response.content)} bytes",
                    fix="check that --server names a Resilient Edge server",
                ) from error
        said = response.headers.get("Resedge-Position") or (body.get("position") if isinstance(body, Mapping) else None)
        digits = str(said or "")
        position = int(digits) if digits.isascii() and digits.isdecimal() else 0
        return ServerAnswer(response.status_code, body, "" if body is not None else response.text, position)

    def _failure(self, error: Exception) -> CliError:
        server = redacted_url(self._server)
        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return TimedOut(
                f"{server} did not answer in time",
                why="a change that was sent may or may not have been made",
                fix="run the same command again: changes that were already made stay",
            )
        return Unreachable(server, str(error) or type(error).__name__)
