"""`resedge apply` of many documents as one change, from the start of the command to its end.

The baseline declares as many such documents one by one, by HTTP on one connection, in the same run.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.bench.fleet_server import Server

FIGURES = ("apply-embedded", "apply-distributed")
SCALE = float(os.environ.get("RESEDGE_BENCH_SCALE", "1"))
DOCUMENTS = max(20, int(1_000 * SCALE))
STORES = max(100, int(5_000 * SCALE))
ROOT = Path(__file__).parents[2]
PLURALS = {"Store": "stores", "Group": "groups", "Namespace": "namespaces"}
PLURALS |= {"Application": "applications", "Configuration": "configurations"}

Figure = dict[str, Any]
Document = dict[str, Any]


def documents(count: int, mark: str) -> list[Document]:
    """Return documents of five kinds that refer to each other, in no order, under names of their own."""

    def made(kind: str, name: str, **spec: Any) -> Document:
        return {"kind": kind, "metadata": {"path" if kind == "Group" else "name": name}, "spec": spec}

    found = []
    for number in range(count):
        part, state = number % 10, f"{mark}{number % 50}"
        if part < 4:
            store = made("Store", f"{mark}-{number}", timezone="America/Chicago")
            store["metadata"]["labels"] = {"state": f"{mark}{number % 5}", "size": ("l", "xl")[number % 2]}
            found.append(store)
        elif part < 6:
            found.append(made("Group", f"/{mark}/{number % 5}/{number}", expression=f"state = {mark}{number % 4}"))
        elif part == 6 and number % 50 == 6:
            found.append(made("Namespace", f"{mark}-{number}", expression=f"/g/{mark}", owners=[state]))
        elif part < 8:
            found.append(made("Application", f"{mark}-{number}", namespace=f"{mark}-6"))
        else:
            values = {"level": state, "number": number}
            app = [f"{mark}-{number - number % 10 + 7}"]
            found.append(
                made(
                    "Configuration",
                    f"{mark}-{number}",
                    applications=app,
                    expression=f"/g/{mark}",
                    values=values,
                    priority=number,
                )
            )
    return found[::-1]


def _applied(url: str, token: str, place: Path) -> float:
    """Return the seconds of `resedge apply` of the documents, the start of its interpreter included."""
    file = place / "documents.yaml"
    file.write_text("".join(f"--- {json.dumps(each)}\n" for each in documents(DOCUMENTS, "one")))
    environment = {**os.environ, "XDG_CONFIG_HOME": str(place / "xdg"), "XDG_STATE_HOME": str(place / "xdg")}
    environment |= {"RESEDGE_SERVER": url, "RESEDGE_TOKEN": token}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "cli", "apply", "-f", str(file)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode or len(done.stdout.splitlines()) != DOCUMENTS:
        raise RuntimeError(done.stderr[-2000:])
    return seconds


def _one_by_one(client: httpx2.Client) -> float:
    """Return the seconds of as many documents, each declared by a request of its own."""
    rank = list(PLURALS)
    wanted = sorted(documents(DOCUMENTS, "two"), key=lambda each: rank.index(each["kind"]))
    started = time.perf_counter()
    for each in wanted:
        name = each["metadata"].get("path", "").lstrip("/") or each["metadata"]["name"]
        answer = client.put(f"/v1/{PLURALS[each['kind']]}/{name}", json=each)
        if answer.status_code != 201:
            raise RuntimeError(f"{answer.status_code} {answer.text[:500]}")
        client.headers["Resedge-Position"] = answer.headers["Resedge-Position"]
    return time.perf_counter() - started


def _csv() -> bytes:
    rows = [f"store-{number:05d},America/Chicago,s{number % 50},large" for number in range(STORES)]
    return "\n".join(["name,timezone,state,size", *rows]).encode()


def _figure(where: str, seconds: float, target: float, baseline: float) -> Figure:
    name = f"apply of {DOCUMENTS:,} documents beside {STORES:,} stores, {where}; baseline: one by one"
    ratio = round(baseline / seconds, 2)
    told = {"name": name, "value": round(seconds, 3), "unit": "s", "target": target}
    return {**told, "baseline": round(baseline, 3), "ratio": ratio}


def _compared(where: str, target: float, client: httpx2.Client, token: str, place: Path) -> Iterator[Figure]:
    answer = client.post("/v1/stores:import", content=_csv(), headers={"Content-Type": "text/csv"})
    answer.raise_for_status()
    client.headers["Resedge-Position"] = answer.headers["Resedge-Position"]
    client.get("/v1/rendering:settled", params={"timeout_seconds": 600}).raise_for_status()
    seconds = _applied(str(client.base_url), token, place)
    client.get("/v1/rendering:settled", params={"timeout_seconds": 600}).raise_for_status()
    yield _figure(where, seconds, target, _one_by_one(client))


def embedded() -> Iterator[Figure]:
    """In the one process of `resedge up`."""
    server = Server(STORES)
    try:
        server.start()
        token = server.client.headers["Authorization"].partition(" ")[2]
        yield from _compared("embedded", 1.5, server.client, token, server.place)
    finally:
        server.remove()


@contextmanager
def _local() -> Iterator[tuple[str, str, Path]]:
    """Yield address, token and folder of a system of scripts/compose-local: processes behind the edge, with Kafka."""
    home = Path(tempfile.mkdtemp(prefix="resedge-bench-"))
    home.chmod(0o711)  # PostgreSQL's user enters it
    try:
        _script("up", "--dir", str(home), "--port-base", str(_free_port_base()))
        (context,) = yaml.safe_load((home / "config.yaml").read_text())["contexts"]
        yield context["server"], context["token"], home
    finally:
        _script("down", "--dir", str(home))
        shutil.rmtree(home, ignore_errors=True)


def _script(*words: str) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts/compose-local"), *words], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


def _free_port_base() -> int:
    """Return the first of ten neighbours that nobody has, below what outgoing connections take."""
    while True:
        base = 20_000 + 10 * secrets.randbelow(1_200)
        with socket.socket() as first, socket.socket() as last:
            try:
                first.bind(("127.0.0.1", base))
                last.bind(("127.0.0.1", base + 9))
            except OSError:
                continue
            return base


def distributed() -> Iterator[Figure]:
    """Over the edge, with every service in a process of its own, on Kafka and PostgreSQL."""
    with _local() as (url, token, home):
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=600, trust_env=False) as client:
            yield from _compared("distributed", 4.0, client, token, home)


def run(names: tuple[str, ...] = FIGURES) -> Iterator[Figure]:
    """Measure the named scenarios."""
    scenarios = dict(zip(FIGURES, (embedded, distributed), strict=True))
    for name in names:
        yield from scenarios[name]()
