"""How fast the event log appends and reads on SQLite with synchronous FULL."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from libs.eventlog import Appended, EventLog, NewEvent, Submission

_DATA = json.dumps(
    {
        "name": "tx-austin-0042",
        "timezone": "America/Chicago",
        "labels": {"size": "large"} | {f"key{i}": f"value{i}" for i in range(8)},
    }
).encode()
_TYPE = "dev.resedge.inventory.StoreDeclared.v1"


def _submission(*numbers: int) -> Submission:
    events = [NewEvent(f"store-{number:08d}", _TYPE, _DATA) for number in numbers]
    return Submission(events, "bench", expected={event.stream: 0 for event in events})


def _append(log: EventLog, submission: Submission) -> None:
    outcome = log.append(submission)
    assert isinstance(outcome, Appended), outcome


def _sequential(log: EventLog, count: int) -> float:
    started = time.perf_counter()
    for number in range(count):
        _append(log, _submission(number))
    return count / (time.perf_counter() - started)


def _concurrent(log: EventLog, count: int, callers: int = 32) -> float:
    def call(caller: int) -> None:
        for number in range(count // callers):
            _append(log, _submission(1_000_000 + caller * count + number))

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - started)


def _batches(log: EventLog, count: int, size: int = 100) -> float:
    submissions = [
        _submission(*(10_000_000 + batch * size + number for number in range(size))) for batch in range(count // size)
    ]
    started = time.perf_counter()
    for submission in submissions:
        _append(log, submission)
    return count / (time.perf_counter() - started)


def _import(log: EventLog, count: int = 60_000) -> float:
    submission = _submission(
        *(
            int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:3], "big") * 100 + 100_000_000 + number
            for number in range(count)
        )
    )
    started = time.perf_counter()
    _append(log, submission)
    return time.perf_counter() - started


def _reading(log: EventLog) -> float:
    started = time.perf_counter()
    position = 0
    while batch := log.read_recorded(position):
        position = batch[-1].position
    return position / (time.perf_counter() - started)


def _verifying(log: EventLog) -> float:
    started = time.perf_counter()
    verification = log.verify()
    if not verification.ok:
        raise RuntimeError(str(verification.problem))
    return verification.events / (time.perf_counter() - started)


def run() -> list[dict[str, object]]:
    """Measure; values are for this machine as it is loaded now."""
    with tempfile.TemporaryDirectory() as directory:
        log = EventLog.open(f"sqlite:///{Path(directory) / 'log.db'}", clock=lambda: datetime.now(UTC))
        try:
            figures = [
                ("append, one event a transaction", _sequential(log, 3_000), "events/s", 3_000),
                ("append, 32 concurrent callers", _concurrent(log, 6_400), "events/s", 3_000),
                ("append, batches of 100", _batches(log, 60_000), "events/s", 60_000),
                ("append, 60,000 events in one submission", _import(log), "s", None),
                ("read and decode", _reading(log), "events/s", None),
                ("verify", _verifying(log), "events/s", None),
            ]
        finally:
            log.close()
    return [
        {"name": name, "value": round(value, 2), "unit": unit, "target": target}
        for name, value, unit, target in figures
    ]


if __name__ == "__main__":
    for figure in run():
        print(json.dumps(figure))
