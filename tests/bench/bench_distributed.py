"""The system as separate processes on a real Kafka and a durable PostgreSQL: latencies, rates and a long replay.

`RESEDGE_BENCH_SCALE` scales the counts of events.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from libs.eventlog import Appended, EventLog, NewEvent, Submission
from libs.runtime.clock import utc_now
from tests.bench.bench_eventlog import _batches, _concurrent, _sequential
from tests.support.kafka import kafka
from tests.support.postgres import Cluster, cluster
from tests.support.system import System
from tests.support.topic import published_position
from tests.support.waiting import until

FIGURES = ("distributed-latency", "distributed-throughput", "log-postgresql", "replay-long")
SCALE = float(os.environ.get("RESEDGE_BENCH_SCALE", "1"))
COMMANDS = max(20, int(400 * SCALE))
TRAVELLING = max(2_000, int(200_000 * SCALE))
LONG = max(5_000, int(1_000_000 * SCALE))
TYPE = "dev.resedge.inventory.StoreDeclared.v1"
ROOT = Path(__file__).parents[2]

Figure = dict[str, Any]


def figure(name: str, value: float, unit: str, target: float | None = None) -> Figure:
    """Return one figure without a baseline."""
    return {"name": name, "value": round(value, 3), "unit": unit, "target": target}


@contextmanager
def _system(*services: str) -> Iterator[System]:
    with (
        tempfile.TemporaryDirectory(prefix="resedge-bench-") as directory,
        kafka() as broker,
        cluster(durable=True) as postgres,
        System(broker, postgres, Path(directory)) as system,
    ):
        system.start(*services)
        system.settle()
        system.connected(*services)
        yield system


def _store(number: int, **labels: str) -> dict[str, Any]:
    name = f"tx-{number}"
    return {"kind": "Store", "metadata": {"name": name, "labels": labels}, "spec": {"timezone": "America/Chicago"}}


def _percentiles(name: str, taken: list[float], middle: float, high: float) -> Iterator[Figure]:
    taken = sorted(taken)
    yield figure(f"{name}, p50", statistics.median(taken) * 1000, "ms", middle)
    yield figure(f"{name}, p99", taken[min(len(taken) - 1, int(len(taken) * 0.99))] * 1000, "ms", high)


def latency() -> Iterator[Figure]:
    """A command by HTTP until another service's reader, and Git, have it."""
    with _system("relay", "inventory", "catalog", "rendering") as system:
        seen = []
        for number in range(COMMANDS):
            started = time.perf_counter()
            answer = system.http("PUT", f"/v1/stores/tx-{number}", json=_store(number))
            at = {"Resedge-Position": answer.headers["Resedge-Position"]}
            assert system.http("GET", f"/v1/stores/tx-{number}", headers=at).status_code == 200
            seen.append(time.perf_counter() - started)
        yield from _percentiles("Kafka: command by HTTP to view", seen, 50, 250)
        _declare_application(system)
        written = []
        for number in range(COMMANDS // 2):
            started = time.perf_counter()
            answer = system.http("PUT", f"/v1/stores/tx-{number}", json=_store(number, size=f"s{number}"))
            settled = {"position": answer.headers["Resedge-Position"], "timeout_seconds": "30"}
            assert system.http("GET", "/v1/rendering:settled", params=settled).status_code == 200
            written.append(time.perf_counter() - started)
        yield from _percentiles("Kafka: command by HTTP to Git commit", written, 150, 500)


MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: till, labels: {size: "${edge.labels.size:-none}"}}
spec:
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}}
    spec: {containers: [{name: till, image: "registry.example/till:1"}]}
"""


def _declare_application(system: System) -> None:
    def put(path: str, body: Any) -> None:
        answer = system.change("PUT", path, json=body)
        assert answer.is_success, answer.text

    put("/v1/namespaces/pos", {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}})
    put("/v1/applications/till", {"kind": "Application", "metadata": {"name": "till"}, "spec": {"namespace": "pos"}})
    put("/v1/applications/till/releases/1.0.0", {"manifests": MANIFEST})
    put("/v1/applications/till/release-choices", {"choices": [{"expression": "/c/*", "version": "1.0.0"}]})
    system.settle()


def throughput() -> Iterator[Figure]:
    """Events through the relay, Kafka and a service into its view on PostgreSQL, while the log takes them."""
    with _system("relay", "inventory") as system:
        log = system.log()
        try:
            started = time.perf_counter()
            _fill(log, TRAVELLING)
            appended = time.perf_counter() - started

            def arrived() -> bool:
                figures = system.metrics("inventory")
                return figures['resedge_consumer_position{consumer="inventory.documents"}'] >= TRAVELLING

            until(lambda: published_position(system) >= TRAVELLING, 600, "Kafka has all events")
            published = time.perf_counter() - started
            until(arrived, 600, "the view has all events")
            taken = time.perf_counter() - started
        finally:
            log.close()
        came = system.metrics("inventory")['resedge_kafka_events_total{outcome="new"}']
        assert came >= TRAVELLING, f"only {came} events came by Kafka"
        yield figure("PostgreSQL: append, batches of 1,000, one caller", TRAVELLING / appended, "events/s")
        yield figure("log → Kafka, acknowledged and recorded by the relay", TRAVELLING / published, "events/s")
        yield figure("log → Kafka → PostgreSQL view, end to end", TRAVELLING / taken, "events/s", 10_000)


def _fill(log: EventLog, count: int, size: int = 1_000) -> None:
    data = b'{"name":"tx-%d","timezone":"America/Chicago","labels":{"size":"large","ownership":"corporate"}}'
    for start in range(0, count, size):
        events = [NewEvent(f"store-tx-{n % 60_000}", TYPE, data % (n % 60_000)) for n in range(start, start + size)]
        outcome = log.append(Submission(events, "bench"))
        assert isinstance(outcome, Appended), outcome


def _fresh_log(postgres: Cluster) -> EventLog:
    return EventLog.open(postgres.new_database(), clock=utc_now)


def log_postgresql() -> Iterator[Figure]:
    """How fast the log appends and verifies on PostgreSQL with fsync."""
    with cluster(durable=True) as postgres:
        measures: list[tuple[str, Callable[[EventLog], float]]] = [
            ("one event a transaction", lambda log: _sequential(log, max(100, int(1_000 * SCALE)))),
            ("32 concurrent callers", lambda log: _concurrent(log, max(640, int(6_400 * SCALE)))),
            ("batches of 100", lambda log: _batches(log, max(1_000, int(40_000 * SCALE)))),
        ]
        for name, measure in measures:
            log = _fresh_log(postgres)
            try:
                yield figure(f"PostgreSQL: append, {name}", measure(log), "events/s")
            finally:
                log.close()


def replay_long() -> Iterator[Figure]:
    """A long log on PostgreSQL: its chain verified, one view built again, in memory that does not grow."""
    with cluster(durable=True) as postgres:
        log = _fresh_log(postgres)
        try:
            _fill(log, LONG, 5_000)
            url = log.url
        finally:
            log.close()
        for name, target in (("verified", 15.0), ("a view rebuilt", 60.0)):
            seconds, megabytes = _child(name, url, postgres)
            yield figure(f"{LONG:,} events on PostgreSQL: {name}", seconds, "s", target * max(SCALE, 0.05))
            yield figure(f"{LONG:,} events on PostgreSQL: {name}, peak memory", megabytes, "MB", 300)


def _child(what: str, url: str, postgres: Cluster) -> tuple[float, float]:
    """Do one thing in a process of its own; return its seconds and its peak memory in MB."""
    views = postgres.new_views()
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_distributed", what, url, views],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    seconds, megabytes = result.stdout.split()
    return float(seconds), float(megabytes)


def _replayed(what: str, url: str, views: str) -> float:
    log = EventLog.open(url, clock=utc_now, create=False)
    try:
        started = time.perf_counter()
        if what == "verified":
            found = log.verify()
            assert found.ok, found
        else:
            asyncio.run(_rebuilt(log, views))
        return time.perf_counter() - started
    finally:
        log.close()


async def _rebuilt(log: EventLog, views: str) -> None:
    from libs.bus import view_engine  # noqa: PLC0415 - only the child needs it
    from libs.bus.rebuild import rebuild  # noqa: PLC0415 - the same
    from libs.commands.documents import DocumentsView  # noqa: PLC0415 - the same
    from services.inventory.api import STORE  # noqa: PLC0415 - the same

    engine = view_engine(views)
    try:
        view = DocumentsView("inventory", log, engine, [STORE])
        await view.start()
        checkpoint = await rebuild(view, log)
        assert checkpoint.position == log.head().position, checkpoint
    finally:
        await engine.dispose()


def run(names: tuple[str, ...] = FIGURES) -> Iterator[Figure]:
    """Measure the named scenarios."""
    scenarios = dict(zip(FIGURES, (latency, throughput, log_postgresql, replay_long), strict=True))
    for name in names:
        yield from scenarios[name]()


if __name__ == "__main__":
    taken = _replayed(*sys.argv[1:4])
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
