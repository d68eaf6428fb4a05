"""Recorded logs: what a version of this project wrote, kept to be replayed by all later ones.

`python -m tests.support.recorded tests/data/recorded-log-5` makes another one with the code as it is now; a recorded
log is never made again. With a second directory it goes on from that recorded log, whose branch is moved to the newest
layout. It is the log's stored bytes (`log.jsonl.xz`), the branch (`gitops.tar.xz`) and what was
answered then (`expected.json.xz`). tests/data/README.md says when another one is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import lzma
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert, update

from libs.bus import ModelConsumer, SnapshotHooks
from libs.contracts import AdmissionWritten, event_types
from libs.eventlog import EventLog
from libs.eventlog.envelope import decode_envelope, to_microseconds
from libs.eventlog.schema import blobs, category_heads, events, head
from libs.fleet import FleetModel
from libs.runtime.clock import utc_now
from services.rendering.asking.asof import Fold
from services.rendering.consumer import CONSUMER_NAME
from services.rendering.snapshot import RENDERING_VERSION, dump_model
from tests.flow.conftest import Server
from tests.support.journeys import ask, settled
from tests.support.recorded_growth import change, grow
from tests.support.recorded_policy import end, govern
from tests.support.recorded_upgrade import fall_back, upgrade
from tests.support.shop import opened

LISTS = (
    *("stores", "groups", "namespaces", "applications", "configurations", "sources", "clusters"),
    *("applications/pos-api/releases", "applications/pos-api/release-choices", "dead-letters", "inbox"),
    *("calendars", "freezes", "placementpolicies", "signoffs", "roles", "rolebindings", "tokens", "approvals"),
    *("overrides", "withheld", "holds", "blocked", "refusals", "audit", "retired-clusters"),
)
RECORDED = sorted((Path(__file__).parents[1] / "data").glob("recorded-log-*"))
UNPAGED = frozenset({"applications/pos-api/release-choices"})
EXPLAINED = ("a-00", "b-00", "b-06", "b-12", "b-36", "b-42", "c-06", "e-18", "store-00", "store-04-kitchen")
APPLICATIONS = ("menu", "pos-api", "signs")
EVENTS_MAX = 100_000


async def answers(server: Server, explained: Iterable[str] = ()) -> dict[str, Any]:
    """Return what the views and the branch say; `explained` are the clusters whose placements are explained."""
    commit = await settled(server)
    lists = {}
    for path in LISTS:
        body = await ask(server, "GET", f"/v1/{path}", params=None if path in UNPAGED else {"limit": 1000})
        assert not (isinstance(body, dict) and body.get("next")), f"{path} is longer than a page"
        lists[path] = body.get("items", body)
    why = {}
    for cluster, name in product(explained, APPLICATIONS):
        body = await ask(server, "GET", f"/v1/clusters/{cluster}/why", params={"application": name})
        del body["at"]  # when it was asked
        why[f"{cluster}/{name}"] = body
    last = server.embedded.log.head()
    return {"commit": commit, "position": last.position, "hash": last.hash.hex(), "lists": lists, "why": why}


def written(log: EventLog) -> list[list[Any]]:
    """Return [position, decision, commit] of every commit that the log records."""
    recorded = log.read_recorded(0, EVENTS_MAX)
    return [
        [each.position, each.event.decision, each.event.commit]
        for each in recorded
        if isinstance(each.event, AdmissionWritten)
    ]


async def journey(data_dir: Path) -> dict[str, Any]:
    """Let every published event type happen, with one restart; return what is answered in the end."""
    async with opened(data_dir) as server:
        await grow(server)
        await fall_back(server)
        await change(server)
        await govern(server)
    async with opened(data_dir, server.hands.at) as server:
        await end(server)
        return await answers(server, EXPLAINED)


async def moved(data_dir: Path, before: Path) -> dict[str, Any]:
    """Go on from a recorded log: give its branch the newest layout, with one restart after it."""
    ended = restore(before, data_dir)
    async with opened(data_dir, ended) as server:
        await upgrade(server)
    async with opened(data_dir, server.hands.at) as server:
        await fall_back(server)
        return await answers(server, EXPLAINED)


async def record(directory: Path, before: Path | None = None) -> None:
    """Make a recorded log in a new directory, from nothing or from what was `before`.

    Raises:
        FileExistsError: it already exists; recorded logs are not made again.
    """
    directory.mkdir()  # noqa: ASYNC240 - nothing else runs here
    with tempfile.TemporaryDirectory() as temporary:
        data_dir = Path(temporary) / "data"
        expected = await (journey(data_dir) if before is None else moved(data_dir, before))
        log = EventLog.read_only(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now)
        try:
            lines, types = _stored(log)
            said = {"types": types, "commits": written(log), **expected}
        finally:
            log.close()
        if missing := sorted(set(event_types()) - set(types)):
            raise RuntimeError(f"the journey has no {missing}")
        (directory / "log.jsonl.xz").write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))
        with tarfile.open(directory / "gitops.tar.xz", "w:xz") as archive:
            archive.add(data_dir / "gitops.git", "gitops.git")
        (directory / "expected.json.xz").write_bytes(lzma.compress(_shown(said).encode(), preset=9))


def _stored(log: EventLog) -> tuple[list[str], list[str]]:
    """Return the lines of a log's stored bytes, and its event types."""
    stored = log.read(0, EVENTS_MAX)
    lines = [_line(*raw) for raw in log.read_raw(0, EVENTS_MAX)]
    digests = sorted({digest for event in stored for digest in event.blobs})
    lines += [json.dumps({"blob": each, "bytes": base64.b64encode(log.blob(each)).decode()}) for each in digests]
    return lines, sorted({event.type for event in stored})


def _shown(said: dict[str, Any]) -> str:
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def expected_of(directory: Path) -> dict[str, Any]:
    """Return what was answered when a log was recorded; the first one keeps it uncompressed."""
    plain = directory / "expected.json"
    text = plain.read_bytes() if plain.exists() else lzma.decompress((directory / "expected.json.xz").read_bytes())
    expected: dict[str, Any] = json.loads(text)
    return expected


def _line(envelope: bytes, data: bytes, hash_: bytes) -> str:
    return json.dumps({"envelope": envelope.decode(), "data": data.decode(), "hash": hash_.hex()}, ensure_ascii=False)


async def snapshots_of(log: EventLog, position: int) -> list[ModelConsumer]:
    """Return the models of a server that has seen a log up to a position, as its snapshots are taken."""
    fold = Fold(log)
    await fold.on(position)
    hooks = SnapshotHooks(lambda: dump_model(fold.model), lambda _: None, RENDERING_VERSION)
    models = [FleetModel(log), ModelConsumer(CONSUMER_NAME, log, lambda _: None, hooks)]
    for each in models:
        await each.handle(log.read_recorded(0, position))
    return models


def restore(directory: Path, data_dir: Path) -> datetime:
    """Lay a recorded log and its branch into an empty data directory, byte for byte; return when it ends."""
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
    return decode_envelope(last["envelope"]).time


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
    asyncio.run(record(*map(Path, sys.argv[1:])))
