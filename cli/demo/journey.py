"""The demo's journey: from a list of stores to commits, then one release moved, then one store changed.

Only the public HTTP API is used, as `resedge` itself uses it; every step says how long it took and what it committed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from cli.client import LONG_SECONDS
from cli.demo.catalog import (
    APPLICATIONS,
    NEXT_RELEASE,
    demo_documents,
    live_document,
    next_release_body,
    release_body,
)
from cli.demo.fleet import make_fleet, stores_csv
from cli.demo.hierarchies import PILOT
from cli.errors import CliError, ServerProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cli.client import Content, ServerAnswer
    from cli.demo.fleet import DemoFleet, DemoStore

EVENTS_PAGE = 1_000
_POLL_SECONDS = 20
POLL_MARGIN_SECONDS = 10.0
NOT_YET = 504
"""The status of a server that waited for a position, or for rendering, and has not reached it yet."""
SETTLED_SECONDS_MAX = 900
FAVOURITE_STORE = "tx-austin-0042"


class Server(Protocol):
    """What the journey needs of `cli.client.Client`."""

    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, read_seconds: float = ..., fresh: bool = ...
    ) -> ServerAnswer:
        """Read a resource."""

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        content: Content | None = None,
        content_type: str = ...,
        read_seconds: float = ...,
    ) -> ServerAnswer:
        """Send a change."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: its wall time, and the files and newest commit that reached the repository, if any."""

    name: str
    seconds: float
    files: int = 0
    commit: str = ""
    note: str = ""


@dataclass
class Journey:
    """Drives one server; `began` and `ended` are told of each step, so that a person sees it at once."""

    server: Server
    stores: int
    began: Callable[[str], None]
    ended: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list)
    _position: int = 0
    _imported: int = 0  # the import's last event; the log before it is 60,000 stores and no commit
    _fleet: DemoFleet | None = None

    @property
    def fleet(self) -> DemoFleet:
        """The fleet, made on first use."""
        if self._fleet is None:
            self._fleet = make_fleet(self.stores)
        return self._fleet

    @property
    def favourite(self) -> DemoStore:
        """The store that the last step changes: a well-known one, or the last of a fleet that lacks it."""
        return next((store for store in self.fleet.stores if store.name == FAVOURITE_STORE), self.fleet.stores[-1])

    def run(self) -> None:
        """Go the whole way.

        Raises:
            CliError: a step failed; earlier steps stay done.
        """
        self._step(f"make {self.stores:,} stores from the map", self._make)
        self._step("import the stores", self._import)
        self._step("declare groups, namespaces, applications, configuration", self._declare)
        self._step(f"publish {len(APPLICATIONS)} releases", self._publish)
        self._step("choose a release of each: the first store goes live", self._choose)
        self._step("open the fleet: all stores go live", self._open)
        self._step(f"publish {NEXT_RELEASE.name} {NEXT_RELEASE.version}", self._publish_next)
        self._step("move it on the pilot stores", self._move)
        self._step(f"relabel {self.favourite.name}", self._relabel)

    def _step(self, name: str, action: Callable[[], str]) -> None:
        self.began(name)
        started, before = time.monotonic(), self._position
        note = action()
        seconds = time.monotonic() - started
        after = max(before, self._imported)
        written = list(self._written(after)) if after else []
        files = sum(int(data.get("files") or 0) for data in written)
        step = Step(name, seconds, files, str(written[-1].get("commit", "")) if written else "", note)
        self.steps.append(step)
        self.ended(step)

    def _make(self) -> str:
        return f"{len(self.fleet.stores) + len(self.fleet.kitchens):,} clusters"

    def _import(self) -> str:
        rows = stores_csv(self.fleet)
        answer = self._change("POST", "/v1/stores:import", content=rows)
        self._imported = answer.position
        self._settle()
        return f"{int((answer.body or {}).get('created', 0)):,} created"

    def _declare(self) -> str:
        declared = demo_documents(self.fleet)
        self._change("POST", "/v1/documents", {"documents": declared})
        self._settle()
        return f"{len(declared):,} documents"

    def _publish(self) -> str:
        sizes = 0
        for workload in APPLICATIONS:
            body = release_body(workload.name)
            sizes += len(body["manifests"])
            self._change("PUT", f"/v1/applications/{workload.name}/releases/{workload.version}", body)
        return f"{sizes / 1024:.0f} KiB of manifests"

    def _choose(self) -> str:
        for workload in APPLICATIONS:
            self._set_release(workload.name, workload.version, None)
        self._settle()
        return self.fleet.stores[0].name

    def _open(self) -> str:
        self._change("POST", "/v1/documents", {"documents": [live_document()]})
        self._settle()
        return "one group changed"

    def _publish_next(self) -> str:
        body = next_release_body()
        self._change("PUT", f"/v1/applications/{NEXT_RELEASE.name}/releases/{NEXT_RELEASE.version}", body)
        return ""

    def _move(self) -> str:
        self._set_release(NEXT_RELEASE.name, NEXT_RELEASE.version, f"/g{PILOT}")
        self._settle()
        return f"-l /g{PILOT}"

    def _relabel(self) -> str:
        store = self.favourite
        tier = "b" if store.labels["tier"] == "a" else "a"
        self._change("POST", "/v1/stores:label", {"where": f"/c/{store.name}", "set": {"tier": tier}, "remove": []})
        self._settle()
        return f"tier={tier}"

    def _set_release(self, application: str, version: str, expression: str | None) -> None:
        body = {"version": version, "expression": expression}
        self._change("POST", f"/v1/applications/{application}/release-choices:set", body)

    def _change(self, method: str, path: str, body: Any = None, *, content: bytes | None = None) -> ServerAnswer:
        def send() -> ServerAnswer:
            if content is None:
                return self.server.change(method, path, body, read_seconds=LONG_SECONDS)
            return self.server.change(
                method, path, content=lambda: iter((content,)), content_type="text/csv", read_seconds=LONG_SECONDS
            )

        answer = _patiently(send)
        self._position = max(self._position, answer.position)
        return answer

    def _settle(self) -> None:
        """Wait until rendering has seen the last change and closed every difference that it may."""
        params = {"position": str(self._position), "timeout_seconds": str(_POLL_SECONDS)}
        _patiently(
            lambda: self.server.get(
                "/v1/rendering:settled", params, read_seconds=_POLL_SECONDS + POLL_MARGIN_SECONDS, fresh=False
            )
        )

    def _written(self, after: int) -> Iterator[Mapping[str, Any]]:
        """Yield the commits that the log has after a position, and move on to its head."""
        while True:
            params = {"after": str(after), "limit": str(EVENTS_PAGE)}
            answer = _patiently(partial(self.server.get, "/v1/events", params))
            items = (answer.body or {}).get("items") or []
            for item in items:
                if "AdmissionWritten" in str(item.get("type", "")):
                    yield item.get("data") or {}
            if len(items) < EVENTS_PAGE:
                self._position = max(self._position, after, *(int(item["position"]) for item in items), 0)
                return
            after = int(items[-1]["position"])


def _patiently(ask: Callable[[], ServerAnswer]) -> ServerAnswer:
    """Retry while the server answers that it is not there yet; a timeout of the connection itself is an error.

    Raises:
        CliError: it refused, or did not get there in time.
    """
    deadline = time.monotonic() + SETTLED_SECONDS_MAX
    while True:
        try:
            return ask()
        except CliError as error:
            behind = isinstance(error, ServerProblem) and error.status == NOT_YET
            if not behind or time.monotonic() > deadline:
                raise
