"""Executes the command of an external event: an HTTP request to the deciding service, in the source's name.

A refusal (4xx) is an answer, and final; any other failure says nothing about the event, and its sender retries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.contracts.problems import Problem, not_found, said_problem, unavailable
from libs.runtime.elsewhere import Api
from libs.web.auth import ON_BEHALF_OF
from libs.web.intents import CAUSATION, EVENT_DIGEST
from libs.web.positions import POSITION_HEADER
from services.relay.domain.external import ChangeStore, Declare, Instruction, Publish, Remove

COMMAND_SECONDS = 30.0
CHANGES_MAX = 5
"""How often a change of a store is retried when others change it at the same time."""
_OURS = frozenset({401, 403, 405, 408, 421, 425, 429})
"""Statuses that say something about the relay or the moment, never about the event."""


_NO_SUCH_THING = not_found("store", "").title
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Order:
    """The actor, key and cause of a command."""

    actor: str
    key: str
    digest: str
    causation: str


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of a command; `position` is the log's position at the answer."""

    position: int
    unchanged: bool


class ApiCommands:
    """Sends commands to other services, with one client for all of them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._client: httpx2.AsyncClient | None = None
        self._position = 0

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def carry_out(self, instruction: Instruction, order: Order) -> Done:
        """Execute an instruction.

        Raises:
            Problem: 4xx, the service refuses it; 503, whether it would is not known now.
        """
        match instruction:
            case Declare(name=name, document=document):
                return self._done(await self._send("PUT", _store(name), order, document))
            case ChangeStore():
                return await self._change(instruction, order)
            case Remove(name=name):
                response = await self._send("DELETE", _store(name), order)
                return Done(self._seen(response), unchanged=True) if _gone(response) else self._done(response)
            case Publish(application=application, version=version, body=body):
                path = f"/v1/applications/{quote(application, safe='')}/releases/{quote(version, safe='')}"
                return self._done(await self._send("PUT", path, order, body))

    async def _change(self, change: ChangeStore, order: Order) -> Done:
        for _ in range(CHANGES_MAX):
            found = await self._send("GET", _store(change.name))
            if found.status_code != httpx2.codes.OK:
                return self._done(found)  # refused: there is no such store
            document = changed(found.json(), change)
            conditions = {"If-Match": found.headers["etag"]}
            response = await self._send("PUT", _store(change.name), order, document, conditions)
            if response.status_code != httpx2.codes.PRECONDITION_FAILED:
                return self._done(response)
        raise unavailable(f"store {change.name} was changed by others at each attempt", code="contended")

    async def _send(
        self,
        method: str,
        path: str,
        order: Order | None = None,
        body: Any = None,
        conditions: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        headers = {"Accept": "application/json", **(conditions or {})}
        if order is not None:
            headers |= {ON_BEHALF_OF: order.actor, "Idempotency-Key": order.key}
            headers |= {EVENT_DIGEST: order.digest, CAUSATION: order.causation}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._position:
            headers[POSITION_HEADER] = str(self._position)
        _propagator.inject(headers)
        content = b"" if body is None else msgspec.json.encode(body)
        if self._client is None:
            self._client = self._api()
        try:
            response = await self._client.request(
                method, path, headers=headers, content=content, timeout=COMMAND_SECONDS
            )
        except (httpx2.HTTPError, OSError) as error:
            raise unavailable(
                f"{method} {path} got no answer: {type(error).__name__}", code="api-unreachable"
            ) from None
        if response.status_code >= 500 or response.status_code in _OURS or _no_such_route(response):
            raise unavailable(f"{method} {path} is answered {_said(response)}", code="api-unreachable")
        return response

    def _done(self, response: httpx2.Response) -> Done:
        if response.status_code >= 300:
            raise refusal(response)
        return Done(self._seen(response), unchanged=response.status_code == httpx2.codes.NO_CONTENT)

    def _seen(self, response: httpx2.Response) -> int:
        text = response.headers.get(POSITION_HEADER, "0")
        position = int(text) if text.isdecimal() else 0
        self._position = max(self._position, position)
        return position


def changed(document: dict[str, Any], change: ChangeStore) -> dict[str, Any]:
    """Return a store's document after a change; fields that the change does not have stay.

    Its hours are those of the week, so other hours on dates stay; a cluster that stays keeps what it alone has.
    """
    metadata, spec = document["metadata"], document["spec"]
    labels = metadata.get("labels", {}) if change.labels is None else change.labels
    labels = {key: value for key, value in labels.items() if key not in change.remove} | change.put
    after = {**spec, **change.spec}
    if "hours" in change.spec:
        after["hours"] = [*change.spec["hours"], *(each for each in spec.get("hours", ()) if "date" in each)]
    if "clusters" in change.spec:
        before = {each["name"]: each for each in spec.get("clusters", ())}
        after["clusters"] = [{**before.get(each["name"], {}), **each} for each in change.spec["clusters"]]
    return {**document, "metadata": {**metadata, "labels": labels}, "spec": after}


def refusal(response: httpx2.Response) -> Problem:
    """Return another service's refusal, from its own problem."""
    try:
        said = response.json()
    except ValueError:
        said = {}
    return said_problem(response.status_code, said if isinstance(said, dict) else {})


def _store(name: str) -> str:
    return f"/v1/stores/{quote(name, safe='')}"


def _gone(response: httpx2.Response) -> bool:
    return response.status_code == httpx2.codes.NOT_FOUND and refusal(response).code == "not-found"


def _no_such_route(response: httpx2.Response) -> bool:
    """Tell whether nobody serves the path: that says something of our settings, and nothing of the event."""
    return response.status_code == httpx2.codes.NOT_FOUND and refusal(response).title != _NO_SUCH_THING


def _said(response: httpx2.Response) -> str:
    return f"{response.status_code} {refusal(response).code}"
