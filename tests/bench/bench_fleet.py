"""The whole journey at full size: a real server, HTTP, SQLite and Git, as a user has it.

`RESEDGE_BENCH_SCALE` scales the 60,000 stores; `RESEDGE_BENCH_COMMITS` (10,000) the one-store commits.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cli.demo.fleet import make_fleet, stores_csv
from libs.contracts import ClusterSpec, StoreDeclared, encode
from tests.bench.fleet_server import APPLICATIONS, Server

FIGURES = ("fleet-import", "fleet-unique", "fleet-shared", "fleet-commits", "fleet-long-log")
SCALE = float(os.environ.get("RESEDGE_BENCH_SCALE", "1"))
STORES = max(100, int(60_000 * SCALE))
COMMITS = int(os.environ.get("RESEDGE_BENCH_COMMITS", str(max(60, int(10_000 * SCALE)))))
LABEL_CHANGES = 200
WINDOW = 200
FURTHER_EVENTS = int(1_000_000 * SCALE)

Figure = dict[str, Any]


def figure(name: str, value: float, unit: str, target: float | None, baseline: float | None = None) -> Figure:
    """Return one figure; `ratio` says how many times better than the baseline it is."""
    ratio = None if baseline is None else round(baseline / value, 2)
    known = None if baseline is None else round(baseline, 3)
    return {"name": name, "value": round(value, 3), "unit": unit, "target": target, "baseline": known, "ratio": ratio}


def _choose(server: Server, application: int, version: str, expression: str | None = None) -> float:
    body = {"version": version, "expression": expression}
    return server.timed("POST", f"/v1/applications/app-{application}/release-choices:set", json=body)


def _opened(server: Server, *, shared: bool) -> tuple[float, float]:
    """Import, declare and open the fleet; return the seconds of the import and of the render."""
    started = time.perf_counter()
    server.ask("POST", "/v1/stores:import", content=server.csv(), headers={"Content-Type": "text/csv"})
    imported = time.perf_counter() - started
    server.settled()
    server.declare(shared=shared)
    started = time.perf_counter()
    server.open_to("/c/*")
    server.settled()
    return imported, time.perf_counter() - started


def imported() -> Iterator[Figure]:
    """Import the demo's fleet, from making its list to the commit that gives every store its directory."""
    server = Server(STORES)
    try:
        server.start()
        fleet = make_fleet(STORES)
        started = time.perf_counter()
        rows = stores_csv(fleet)
        server.ask("POST", "/v1/stores:import", content=rows, headers={"Content-Type": "text/csv"})
        server.settled()
        taken = time.perf_counter() - started
        name = f"the demo's import of {STORES:,} stores until rendered, client included"
        yield figure(name, taken, "s", 5, baseline=_by_hand(rows, server.place / "by-hand.db"))
        narrow = "\n".join(
            ["name,manager", *(f"{store.name},m{number % 40}" for number, store in enumerate(fleet.stores))]
        )
        started = time.perf_counter()
        server.ask("POST", "/v1/stores:import", content=narrow.encode(), headers={"Content-Type": "text/csv"})
        server.settled()
        yield figure(
            f"one label imported on {STORES:,} stores until rendered", time.perf_counter() - started, "s", None
        )
    finally:
        server.remove()


def _by_hand(rows: bytes, path: Path) -> float:
    """Return the seconds in which a loop reads the rows, and encodes, chains and stores an event of each: the floor."""
    started = time.perf_counter()
    reader = csv.reader(io.StringIO(rows.decode()))
    header = next(reader)
    digest, stored = b"", []
    for position, cells in enumerate(reader, start=1):
        named = dict(zip(header, cells, strict=True))
        labels: dict[str, str | list[str]] = {
            key: value.split("|") if "|" in value else value for key, value in named.items() if value
        }
        body = encode(StoreDeclared(named["name"], named["timezone"], labels, [], [ClusterSpec(named["name"])]))
        digest = hashlib.sha256(digest + body).digest()
        stored.append((position, named["name"], body, digest))
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT, body BLOB, digest BLOB)")
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", stored)
        database.commit()
    return time.perf_counter() - started


def unique() -> Iterator[Figure]:
    """Every file unique to its cluster."""
    server = Server(STORES)
    try:
        server.start()
        imported, rendered = _opened(server, shared=False)
        files = server.ask("GET", "/v1/rendering").json()["placements"]
        rate = fast_import_rate(server.data_dir / "gitops.git", server.place)
        yield figure(f"import of {STORES:,} stores, HTTP, durable", imported, "s", 12)
        name = f"{STORES:,} x {APPLICATIONS} rendered, packed and committed, every file unique"
        yield figure(name, rendered, "s", 12, baseline=files / rate)
        yield figure(f"a release moved on {STORES:,}", _choose(server, 0, "2.0.0"), "s", 3)
        yield figure(f"a release moved on {STORES // 100}", _choose(server, 1, "2.0.0", "state = s7"), "s", 0.3)
        yield from _labels(server)
        yield from _while_rendering(server)
        yield figure("peak memory of server and workers", server.peak_megabytes(), "MB", 1500)
        server.stop()
        yield figure("restart to ready", server.start(), "s", 8)
    finally:
        server.remove()


def _labels(server: Server) -> Iterator[Figure]:
    taken = []
    for number in range(LABEL_CHANGES):
        change = {"where": f"/c/store-{number % STORES:05d}", "set": {"size": f"changed-{number}"}}
        taken.append(server.timed("POST", "/v1/stores:label", json=change))
    name = f"one store's label by HTTP to commit ({APPLICATIONS} files)"
    yield figure(f"{name}, p50", float(np.percentile(taken, 50)) * 1e3, "ms", None)
    yield figure(f"{name}, p99", float(np.percentile(taken, 99)) * 1e3, "ms", 100)


def _while_rendering(server: Server) -> Iterator[Figure]:
    """Change a value that every file holds, and ask all the while."""
    document = {
        "kind": "Configuration",
        "metadata": {"name": "everywhere"},
        "spec": {"expression": "/c/*", "values": {"logLevel": "debug"}},
    }
    paths = {"reads": "/v1/stores?limit=20&where=size%20%3D%20large", "/livez": "/livez"}
    with server.probed(paths) as taken:
        time.sleep(1)  # the first answers of a new client are not what is measured
        for each in taken.values():
            each.clear()
        seconds = server.timed("PUT", "/v1/configurations/everywhere", json=document)
        p99 = {name: float(np.percentile(each, 99)) * 1e3 for name, each in taken.items()}
    yield figure("the whole fleet rendered again while two clients ask", seconds, "s", None)
    yield figure("reads while the fleet is rendered, p99", p99["reads"], "ms", 250)
    yield figure("/livez while the fleet is rendered, p99", p99["/livez"], "ms", 100)


def shared() -> Iterator[Figure]:
    """24 of 25 applications shared by 96 combinations of labels and zones."""
    server = Server(STORES)
    try:
        server.start()
        _, rendered = _opened(server, shared=True)
        yield figure(f"{STORES:,} x {APPLICATIONS}, 24 applications shared by 96 combinations", rendered, "s", 4)
    finally:
        server.remove()


def commits() -> Iterator[Figure]:
    """Many commits of one store each, then packs, latency and clone against the fresh repository."""
    server = Server(STORES)
    try:
        server.start()
        _opened(server, shared=False)
        repository = server.data_dir / "gitops.git"
        fresh = _clone_seconds(repository, server.place)
        taken = []
        for number in range(COMMITS):
            change = {"where": f"/c/store-{number % STORES:05d}", "set": {"size": f"v{number}"}}
            taken.append(server.timed("POST", "/v1/stores:label", json=change))
        window = min(WINDOW, len(taken) // 3)
        first, last = (float(np.percentile(each, 99)) * 1e3 for each in (taken[:window], taken[-window:]))
        yield figure(
            f"packs after {COMMITS:,} one-store commits", len(list(repository.glob("objects/pack/*.pack"))), "packs", 50
        )
        yield figure(f"commit p99 after {COMMITS:,} one-store commits", last, "ms", round(1.5 * first, 1), first)
        yield figure(
            f"git clone after {COMMITS:,} one-store commits",
            _clone_seconds(repository, server.place),
            "s",
            round(1.5 * fresh, 1),
            fresh,
        )
    finally:
        server.remove()


def long_log() -> Iterator[Figure]:
    """Restart of the fleet with many further events in its log."""
    server = Server(STORES)
    try:
        server.start()
        _opened(server, shared=False)
        rounds = -(-FURTHER_EVENTS // STORES)  # whole rounds over the fleet, at least as many events as were asked for
        for number in range(rounds):
            server.ask("POST", "/v1/stores:label", json={"where": "/c/*", "set": {"note": f"n{number}"}})
            server.settled()
        server.stop()
        yield figure(f"restart to ready with {rounds * STORES:,} further events", server.start(), "s", 10)
    finally:
        server.remove()


def fast_import_rate(repository: Path, place: Path) -> float:
    """Return the files a second of `git fast-import` on a sixteenth of the same tree; its input is ready on disk."""
    listed = subprocess.run(
        ["git", "-C", str(repository), "ls-tree", "-r", "main", "clusters/0/"], capture_output=True, check=True
    ).stdout.splitlines()
    entries = [(line.split(b"\t")[1], line.split()[2]) for line in listed]
    bodies = subprocess.run(
        ["git", "-C", str(repository), "cat-file", "--batch"],
        input=b"\n".join(identity for _, identity in entries),
        capture_output=True,
        check=True,
    ).stdout
    stream = place / "stream"
    with stream.open("wb") as file:
        file.write(b"commit refs/heads/main\ncommitter b <b@localhost> 1 +0000\ndata 1\nx\n")
        at = 0
        for path, _ in entries:
            end = bodies.index(b"\n", at)
            size = int(bodies[at:end].split()[2])
            file.write(b"M 100644 inline %b\ndata %d\n%b\n" % (path, size, bodies[end + 1 : end + 1 + size]))
            at = end + 2 + size
    target = place / "fast-import.git"
    subprocess.run(["git", "init", "-q", "--bare", str(target)], check=True)
    started = time.perf_counter()
    with stream.open("rb") as file:
        subprocess.run(["git", "-C", str(target), "fast-import", "--quiet"], stdin=file, check=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    stream.unlink()
    return (
        len([path for path, _ in entries if not path.endswith(b"ization.yaml") and b"flux-system" not in path])
        / seconds
    )


def _clone_seconds(repository: Path, place: Path) -> float:
    target = place / "clone.git"
    started = time.perf_counter()
    subprocess.run(["git", "clone", "-q", "--bare", f"file://{repository}", str(target)], check=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    return seconds


SCENARIOS: dict[str, Callable[[], Iterator[Figure]]] = {
    "fleet-import": imported,
    "fleet-unique": unique,
    "fleet-shared": shared,
    "fleet-commits": commits,
    "fleet-long-log": long_log,
}


def run(names: tuple[str, ...] = FIGURES) -> Iterator[Figure]:
    """Measure the named scenarios, each on a server of its own."""
    for name in names:
        yield from SCENARIOS[name]()
