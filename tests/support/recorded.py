"""Recorded logs: what a version of this project wrote, kept to be replayed by all later ones.

`python -m tests.support.recorded tests/data/recorded-log-2` makes another one with the code as it is now; a recorded
log is never made again. It is the log's stored bytes (`log.jsonl.xz`), the branch (`gitops.tar.xz`) and what was
answered then (`expected.json`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert, update

from cli.embedded import SERVICES
from libs.contracts import ConsumerHalted, encode, event_types, type_name
from libs.eventlog import EventLog, NewEvent, Submission
from libs.eventlog.envelope import decode_envelope, to_microseconds
from libs.eventlog.schema import blobs, category_heads, events, head
from libs.runtime.clock import utc_now
from tests.flow.conftest import Server, running
from tests.support.journeys import application, ask, begin, choose, declare, publish, settled, store

LISTS = (
    *("stores", "groups", "namespaces", "applications", "configurations", "sources", "clusters"),
    *("applications/pos-api/releases", "applications/pos-api/release-choices", "dead-letters", "inbox"),
)
SOURCE = "https://stores.example.com/registry"
TYPES = ["dev.resedge.inbox.StoreOpened.v1", "dev.resedge.inbox.LabelsChanged.v1"]
SCHEMA = {"type": "object", "properties": {"level": {"enum": ["info", "debug"]}}}
GIT = ["git", "-c", "user.name=someone", "-c", "user.email=someone@localhost"]


def source(*types: str) -> dict[str, Any]:
    spec = {"source": SOURCE, "serviceAccount": "registry", "types": list(types), "names": ["store-*"]}
    return {"kind": "Source", "metadata": {"name": "registry"}, "spec": spec}


async def send(server: Server, token: str, id_: str, name: str, data: dict[str, Any]) -> dict[str, Any]:
    said = {"specversion": "1.0", "id": id_, "source": SOURCE, "type": f"dev.resedge.inbox.{name}.v1", "data": data}
    async with server.client_for(token) as sender:
        content = json.dumps(said)
        answer = await sender.post(
            "/v1/events", content=content, headers={"Content-Type": "application/cloudevents+json"}
        )
    body: dict[str, Any] = answer.json()
    return body


async def journey(server: Server) -> None:
    """Let every published event type happen."""
    await begin(server, stores=4)
    await _what_is_declared_and_removed(server)
    await _what_comes_from_outside(server)
    await _what_stops_and_is_held(server)


async def _what_is_declared_and_removed(server: Server) -> None:
    full = store("store-04", size="large")
    full["metadata"]["labels"]["grill"] = ["A", "B"]
    full["spec"] |= {
        "hours": [{"days": ["mon", "tue"], "open": "06:00", "close": "02:00"}],
        "clusters": [
            {"name": "store-04", "capacity": {"cpu": "4"}},
            {"name": "store-04-kitchen", "labels": {"role": "k"}},
        ],
    }
    await declare(
        server,
        full,
        {
            "kind": "Group",
            "metadata": {"path": "/geo/tx"},
            "spec": {"clusters": ["store-00"], "expression": "has(size)"},
        },
        {
            "kind": "Configuration",
            "metadata": {"name": "tx"},
            "spec": {"applications": ["pos-api"], "expression": "/g/geo/tx", "values": {"level": "debug"}},
        },
        {"kind": "Store", "metadata": {"name": "gone"}, "spec": {"timezone": "UTC", "clusters": []}},
        {"kind": "Group", "metadata": {"path": "/gone"}, "spec": {}},
        {"kind": "Namespace", "metadata": {"name": "gone"}, "spec": {"expression": "none"}},
        {"kind": "Application", "metadata": {"name": "gone"}, "spec": {"namespace": "gone"}},
        {
            "kind": "Configuration",
            "metadata": {"name": "gone"},
            "spec": {"applications": ["gone"], "expression": "/c/*", "values": {"a": 1}},
        },
    )
    body: dict[str, Any] = {
        "manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {l: '${edge.config.level}'}\n"
    }
    body |= {"schema": SCHEMA, "defaults": {"level": "info"}}
    await ask(server, "PUT", "/v1/applications/pos-api/releases/1.1.0", json=body)
    await choose(server, "1.1.0", "/g/geo/tx")
    for path in ("configurations/gone", "applications/gone", "namespaces/gone", "groups/gone", "stores/gone"):
        await ask(server, "DELETE", f"/v1/{path}")
    await publish(server, "1.2.0")
    await settled(server)


async def _what_comes_from_outside(server: Server) -> None:
    token = server.embedded.tokens.issue("registry", frozenset({"source"}))
    await declare(server, source(TYPES[1]))
    opened = await send(server, token, "e-1", "StoreOpened", {"name": "store-05", "timezone": "UTC"})
    retried = {"reason": "the source may send openings now"}
    await server.client.post(f"/v1/dead-letters/{opened['letter']}:retry", json={"reason": "too early"})
    await declare(server, source(*TYPES))
    await ask(server, "POST", f"/v1/dead-letters/{opened['letter']}:retry", json=retried)
    await send(server, token, "e-2", "LabelsChanged", {"name": "store-05", "set": {"size": "small"}})
    await send(server, token, "e-3", "LabelsChanged", {"name": "store-05", "set": {"size": "small"}})
    wrong = await send(server, token, "e-4", "LabelsChanged", {"name": "ny-0001", "set": {"size": "small"}})
    await ask(server, "POST", f"/v1/dead-letters/{wrong['letter']}:skip", json={"reason": "not ours"})
    await send(server, token, "e-5", "LabelsChanged", {"name": "store-99", "set": {"size": "small"}})
    gone = source(*TYPES) | {"metadata": {"name": "gone"}}
    gone["spec"] = {**gone["spec"], "source": "urn:gone"}
    await declare(server, gone)
    await ask(server, "DELETE", "/v1/sources/gone")
    halted = ConsumerHalted("old.view@3", "old", "old.view", 3, "dev.resedge.old.Thing.v1", "it cannot be applied")
    new = NewEvent(f"letter-{halted.letter}", type_name(halted), encode(halted))
    await server.embedded.log.append_async(Submission([new], "resedge/old"))
    await ask(server, "POST", f"/v1/dead-letters/{halted.letter}:skip", json={"reason": "harmless"})


async def _what_stops_and_is_held(server: Server) -> None:
    repository = server.embedded.data_dir / "gitops.git"
    await settled(server)
    commit = await asyncio.to_thread(_git, repository, "commit-tree", "main^{tree}", "-p", "main", "-m", "by hand")
    await asyncio.to_thread(_git, repository, "update-ref", "refs/heads/main", commit)
    await declare(server, store("store-06"))
    for _ in range(100):
        answer = await server.client.post("/v1/gitops:restore", json={"reason": "ours again"})
        if answer.status_code == 200:
            break
        await asyncio.sleep(0.1)
    await settled(server)
    await declare(server, application("/c/store-00 or /c/store-01"))
    await settled(server)
    for hold in (await ask(server, "GET", "/v1/holds"))["items"]:
        await ask(server, "POST", f"/v1/holds/{hold['id']}/confirm", json={"reason": "meant so"})
    await settled(server)
    server.embedded.log.new_epoch("admin", "recorded")
    await declare(server, store("store-07"))
    await settled(server)


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, "-C", str(repository), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def answers(server: Server) -> dict[str, Any]:
    """Return what the views and the branch say."""
    commit = await settled(server)
    lists = {}
    for path in LISTS:
        body = await ask(server, "GET", f"/v1/{path}", params={"limit": 1000} if "choices" not in path else None)
        lists[path] = body.get("items", body)
    end = server.embedded.log.head()
    return {"commit": commit, "position": end.position, "hash": end.hash.hex(), "lists": lists}


async def record(directory: Path) -> None:
    """Make a recorded log in a new directory.

    Raises:
        FileExistsError: it is there already; recorded logs are not made again.
    """
    directory.mkdir()  # noqa: ASYNC240 - nothing else runs here
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = Path(temporary) / "data"
        async with running(data_dir, SERVICES) as server:
            await journey(server)
            expected = await answers(server)
            log = server.embedded.log
            lines = [_line(*raw) for raw in log.read_raw(0, 100_000)]
            seen = {event.type for event in log.read(0, 100_000)}
            if missing := sorted(set(event_types()) - seen):
                raise RuntimeError(f"the journey has no {missing}")
            digests = {digest for event in log.read(0, 100_000) for digest in event.blobs}
            kept = {digest: base64.b64encode(log.blob(digest)).decode() for digest in sorted(digests)}
        lines += [json.dumps({"blob": digest, "bytes": text}) for digest, text in kept.items()]
        (directory / "log.jsonl.xz").write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))
        with tarfile.open(directory / "gitops.tar.xz", "w:xz") as archive:
            archive.add(data_dir / "gitops.git", "gitops.git")
        (directory / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _line(envelope: bytes, data: bytes, hash_: bytes) -> str:
    return json.dumps({"envelope": envelope.decode(), "data": data.decode(), "hash": hash_.hex()}, ensure_ascii=False)


def restore(directory: Path, data_dir: Path) -> None:
    """Lay a recorded log and its branch into an empty data directory, byte for byte."""
    data_dir.mkdir(mode=0o700)
    url = f"sqlite:///{data_dir / 'log.db'}"
    EventLog.open(url, clock=utc_now).close()
    lines = lzma.decompress((directory / "log.jsonl.xz").read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    engine = create_engine(url)
    with engine.begin() as connection:
        stored = [_row(row) for row in rows if "envelope" in row]
        connection.execute(insert(events), stored)
        kept = [{"digest": row["blob"], "bytes": base64.b64decode(row["bytes"])} for row in rows if "blob" in row]
        connection.execute(insert(blobs), kept)
        heads = {row["category"]: row["position"] for row in stored}
        connection.execute(insert(category_heads), [{"category": key, "position": at} for key, at in heads.items()])
        last = stored[-1]
        epoch = json.loads(last["envelope"])["epoch"]
        values = {"epoch": epoch} | {key: last[key] for key in ("position", "hash", "recorded_at")}
        connection.execute(update(head).values(**values))
    engine.dispose()
    with tarfile.open(directory / "gitops.tar.xz") as archive:
        archive.extractall(data_dir, filter="data")


def _row(row: dict[str, str]) -> dict[str, Any]:
    envelope = row["envelope"].encode()
    said = decode_envelope(envelope)
    return {
        "position": said.position,
        "stream": said.stream,
        "version": said.version,
        "type": said.type,
        "category": said.stream.partition("-")[0],
        "recorded_at": to_microseconds(said.time),
        "envelope": envelope,
        "data": row["data"].encode(),
        "hash": bytes.fromhex(row["hash"]),
    }


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
