"""Clients that change stores without a pause, and know what the log must hold of them afterwards.

with Clients(system, count=3) as clients:
    clients.more(20)                 # returns after 20 more acknowledged changes
clients.check()                      # each change is in the log once, in the order in which its client sent it

The one rule: a client sends its next change after the last one is answered; a broken or refused connection and a 503
are tried again with the same key, and any other failure is the drill's.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any, Self

import httpx2

from tests.support.system import Acknowledged, System, until

TRY_SECONDS_MAX = 60.0
_AGAIN_SECONDS = 0.05


class Clients:
    """Clients in threads, each with stores of its own; `answers` counts what they saw, by status or by fault."""

    def __init__(self, system: System, *, count: int = 3, seed: int = 0, pause_seconds: float = 0.02) -> None:
        self.system = system
        self.answers: Counter[str] = Counter()
        self.sent: dict[str, list[str]] = {}
        """The keys of every store's acknowledged changes, in order."""
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

    def more(self, changes: int, seconds: float = 60.0) -> None:
        """Return once that many more changes are acknowledged."""
        goal = self.done + changes
        until(lambda: self._faults or self.done >= goal, seconds, f"{changes} more changes: {self.answers}")
        if self._faults:
            raise self._faults[0]

    def check(self) -> None:
        """Hold the log against what was acknowledged: each change once, in its client's order, and nothing else."""
        log = self.system.log()
        try:
            for name, keys in self.sent.items():
                found = [event.key for event in log.read_stream(f"store-{name}")]
                assert found == [f"admin:{key}" for key in keys], f"{name}: {found} is not {keys}"
        finally:
            log.close()

    def _run(self, number: int, chance: random.Random) -> None:
        turn = 0
        headers = {"Authorization": f"Bearer {self.system.token}"}
        with httpx2.Client(headers=headers, timeout=30, trust_env=False) as http:
            try:
                while not self._ending.is_set():
                    turn += 1
                    self._change(http, f"c{number}-{chance.randrange(6)}", turn)
                    self._ending.wait(self._pause_seconds)
            except BaseException as fault:  # noqa: BLE001 - the drill's own thread raises it
                self._faults.append(fault)

    def _change(self, http: httpx2.Client, name: str, turn: int) -> None:
        key, path = f"{name}-{turn}", f"/v1/stores/{name}"
        document = {
            "kind": "Store",
            "metadata": {"name": name, "labels": {"turn": str(turn)}},
            "spec": {"timezone": "America/Chicago"},
        }
        response = self._answered(http, path, key, document)
        assert response.status_code in (200, 201), f"PUT {path} was answered {response.status_code}: {response.text}"
        position = int(response.headers["Resedge-Position"])
        self.sent.setdefault(name, []).append(key)
        self.system.acknowledged.append(Acknowledged(key, "PUT", path, position, document))

    def _answered(self, http: httpx2.Client, path: str, key: str, document: dict[str, Any]) -> httpx2.Response:
        deadline, said = time.monotonic() + TRY_SECONDS_MAX, "nobody was there"
        turn = len(self.system.acknowledged)
        while time.monotonic() < deadline:
            replicas = self.system.replicas("inventory")
            turn += 1
            try:
                if replicas:
                    url = replicas[turn % len(replicas)].url + path
                    response = http.put(url, json=document, headers={"Idempotency-Key": key})
                    self.answers[str(response.status_code)] += 1
                    if response.status_code != 503:
                        return response
                    said = response.text
            except httpx2.TransportError as fault:
                self.answers[type(fault).__name__] += 1
                said = repr(fault)
            time.sleep(_AGAIN_SECONDS)
        raise AssertionError(f"PUT {path} with key {key} was not answered in {TRY_SECONDS_MAX:.0f} s: {said}")
