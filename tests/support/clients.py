"""Clients that change things without a pause, and know what the log must hold of them afterwards.

with Clients(system, count=3) as clients:
    clients.more(20)                 # returns after 20 more acknowledged changes
clients.check()                      # each change is in the log once, in the order in which its client sent it

A client sends its next change after the last one is answered; a broken or refused connection and a 503 are tried again
with the same key, and any other failure is the drill's.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx2

from tests.support.system import CHANGE_SECONDS_MAX, Acknowledged, System
from tests.support.waiting import until

_AGAIN_SECONDS = 0.05


@dataclass(frozen=True)
class Kind:
    """What a client changes: the service, the path, and the document of a name that says `turn`."""

    service: str
    path: Callable[[str], str]
    document: Callable[[str, str], Mapping[str, Any]]


def _document(kind: str, spec: Mapping[str, Any]) -> Callable[[str, str], Mapping[str, Any]]:
    return lambda name, turn: {"kind": kind, "metadata": {"name": name, "labels": {"turn": turn}}, "spec": spec}


def _group(name: str, turn: str) -> Mapping[str, Any]:
    return {"kind": "Group", "metadata": {"path": f"/drill/{name}", "labels": {"turn": turn}}, "spec": {}}


STORES = Kind("inventory", "/v1/stores/{}".format, _document("Store", {"timezone": "America/Chicago"}))
GROUPS = Kind("grouping", "/v1/groups/drill/{}".format, _group)
NAMESPACES = Kind(
    "catalog", "/v1/namespaces/{}".format, _document("Namespace", {"expression": "/c/*", "allow_empty": True})
)


class Clients:
    """Clients in threads, each with things of its own; `answers` counts what they saw, by status or by fault.

    They take turns with the kinds: the first client changes the first kind.
    """

    def __init__(
        self,
        system: System,
        *kinds: Kind,
        count: int = 3,
        seed: int = 0,
        pause_seconds: float = 0.02,
        reads: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Take what to change (stores) and (service, path) of what to read after each change."""
        self.system = system
        self.answers: Counter[str] = Counter()
        self.sent: dict[str, list[str]] = {}
        """The keys of every thing's acknowledged changes, in order."""
        self._kinds = kinds or (STORES,)
        self._reads = reads
        self._faults: list[BaseException] = []
        self._pause_seconds = pause_seconds
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(f"{seed}/{number}")))
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, _error: object, _at: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        if self._faults and kind is None:
            raise self._faults[0]

    @property
    def done(self) -> int:
        """How many changes were acknowledged."""
        return sum(map(len, list(self.sent.values())))

    def more(self, changes: int, seconds: float = CHANGE_SECONDS_MAX) -> None:
        """Return once that many more changes are acknowledged."""
        goal = self.done + changes
        until(lambda: self._faults or self.done >= goal, seconds, f"{changes} more changes: {self.answers}")
        if self._faults:
            raise self._faults[0]

    def check(self) -> None:
        """Hold the log against what was acknowledged: each change once, in its client's order, and nothing else."""
        ours = {f"admin:{key}" for keys in self.sent.values() for key in keys}
        order: dict[str, list[str]] = {}
        seen: set[tuple[str, str]] = set()
        log, after = self.system.log(), 0
        try:
            while page := log.read(after):
                after = page[-1].position
                for event in page:
                    if event.key is None or not event.key.startswith("admin:client"):
                        continue
                    assert event.key in ours, f"{event.key} is in the log and was never acknowledged"
                    assert (event.stream, event.key) not in seen, f"{event.key} is in the log twice"
                    seen.add((event.stream, event.key))
                    keys = order.setdefault(event.key.rpartition("-")[0].removeprefix("admin:"), [])
                    if event.key not in keys[-1:]:
                        keys.append(event.key)
        finally:
            log.close()
        assert order == {name: [f"admin:{key}" for key in keys] for name, keys in self.sent.items()}

    def _run(self, number: int, chance: random.Random) -> None:
        turn, kind = 0, self._kinds[number % len(self._kinds)]
        headers = {"Authorization": f"Bearer {self.system.token}"}
        with httpx2.Client(headers=headers, timeout=30, trust_env=False) as http:
            try:
                while not self._ending.is_set():
                    turn += 1
                    self._change(http, kind, f"client{number}-{chance.randrange(6)}", str(turn))
                    if self._reads:
                        service, path = chance.choice(self._reads)
                        response = self._answered(http, "GET", service, path)
                        assert response.status_code == 200, f"GET {path}: {response.status_code} {response.text}"
                    self._ending.wait(self._pause_seconds)
            except BaseException as fault:  # noqa: BLE001 - the drill's own thread raises it
                self._faults.append(fault)

    def _change(self, http: httpx2.Client, kind: Kind, name: str, turn: str) -> None:
        key, path, document = f"{name}-{turn}", kind.path(name), kind.document(name, turn)
        options = {"json": document, "headers": {"Idempotency-Key": key}}
        response = self._answered(http, "PUT", kind.service, path, **options)
        assert response.status_code in (200, 201), f"PUT {path} was answered {response.status_code}: {response.text}"
        position = int(response.headers["Resedge-Position"])
        self.sent.setdefault(name, []).append(key)
        self.system.acknowledged.append(Acknowledged(key, "PUT", path, position, document))

    def _answered(self, http: httpx2.Client, method: str, service: str, path: str, **options: Any) -> httpx2.Response:
        deadline, said = time.monotonic() + CHANGE_SECONDS_MAX, "nobody was there"
        turn = self.answers.total()
        while time.monotonic() < deadline:
            replicas = self.system.replicas(service)
            turn += 1
            try:
                if replicas:
                    response = http.request(method, replicas[turn % len(replicas)].url + path, **options)
                    self.answers[str(response.status_code)] += 1
                    if response.status_code != 503:
                        return response
                    said = response.text
            except httpx2.TransportError as fault:
                self.answers[type(fault).__name__] += 1
                said = repr(fault)
            time.sleep(_AGAIN_SECONDS)  # as a client that is told to come again
        raise AssertionError(f"{method} {path} was not answered in {CHANGE_SECONDS_MAX:.0f} s ({options}): {said}")
