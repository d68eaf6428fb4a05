"""Exports verify without the product's code, and whatever is done to one is found, with its position."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from libs.eventlog import EventLog
from scripts.verify_export import KEYS, Differs, verify
from services.audit.app import build as audit
from services.audit.exporting import chosen, runs, whole_lines
from services.audit.projections import Asked, AuditTrail
from services.inventory.app import build as inventory
from tests.audit.audit_words import HISTORY, log_at, rehashed, spelled
from tests.cli.cli_server import Answer, clean_environment, serving
from tests.flow.conftest import Server, running, store

ROOT = Path(__file__).parents[2]
LAST = len(HISTORY)


async def joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


def written(
    folder: Path, body: bytes, monkeypatch: pytest.MonkeyPatch, *arguments: str, after: int, through: int
) -> Path:
    """Write a body as the command writes an export of it."""
    for key in set(os.environ) - set(clean_environment("")):
        monkeypatch.delenv(key)
    with serving() as server:
        monkeypatch.setenv("RESEDGE_SERVER", server.url)
        monkeypatch.setenv("RESEDGE_TOKEN", "s3cret")
        monkeypatch.setenv("HOME", str(folder))
        told = {"After": after, "Through": through, "Count": body.count(b"\n")}
        headers = {f"Resedge-Export-{name}": str(value) for name, value in told.items()}
        server.on("GET", "/v1/events:export", Answer(200, body.decode(), headers, content_type="application/x-ndjson"))
        file = folder / "events.jsonl"
        assert main(["audit", "export", str(file), *arguments]) == 0
    return file


@pytest.fixture
async def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The whole log, exported."""
    with log_at(tmp_path / "log.db") as log:
        return written(tmp_path, await joined(whole_lines(log, 0, LAST)), monkeypatch, after=0, through=LAST)


@pytest.fixture
async def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some of the log, exported by subject."""
    folder = tmp_path / "part"
    folder.mkdir()
    with log_at(folder / "log.db") as log:
        body = await joined(whole_lines(log, 4, 5)) + await joined(whole_lines(log, 7, 8))
        return written(folder, body, monkeypatch, "--subject", "x", after=0, through=LAST)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def rewritten(file: Path, lines: list[dict[str, Any]]) -> None:
    file.write_bytes(b"".join(map(spelled, lines)))


def problem(file: Path, repository: Path | None = None) -> str:
    with pytest.raises(Differs) as found:
        verify(file, repository)
    return str(found.value)


def test_a_whole_export_verifies_with_python_alone(export: Path) -> None:
    done = subprocess.run(
        ["env", "-i", "PATH=/usr/bin:/bin", ROOT / "scripts" / "verify-export", export],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ok: {LAST} events, positions 1 to {LAST}, without a gap, as they were written\n"
    code = (ROOT / "scripts" / "verify_export.py").read_text()
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names) | {"__future__"}


def test_a_line_holds_the_exact_bytes_and_says_what_the_envelope_says(export: Path) -> None:
    first = lines_of(export)[0]

    assert tuple(first) == KEYS
    assert (first["position"], first["actor"], first["time"]) == (1, "ada", "2026-11-24T00:01:00Z")
    assert json.loads(first["data"])["name"] == "tx-1"
    assert first["previous"] == "00" * 32


def test_the_manifest_says_what_the_file_is(export: Path) -> None:
    manifest = json.loads((export.parent / "events.manifest.json").read_text())
    lines = lines_of(export)

    assert (manifest["after"], manifest["through"], manifest["count"]) == (0, LAST, LAST)
    assert (manifest["first"]["hash"], manifest["last"]["hash"]) == (lines[0]["hash"], lines[-1]["hash"])
    assert (manifest["epochs"], manifest["filter"]) == (["epoch-1"], None)
    assert manifest["tool"].startswith("resedge ")


def test_any_flipped_bit_is_found_with_its_position(export: Path) -> None:
    content = export.read_bytes()
    for index in [*range(0, len(content), 7), *range(len(content) - 40, len(content))]:
        position = content[:index].count(b"\n") + 1
        export.write_bytes(content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :])
        assert f"position {position}" in problem(export), index


@pytest.mark.parametrize("key", KEYS)
def test_any_changed_field_is_found_with_its_position(export: Path, part: Path, key: str) -> None:
    for file, number in ((export, 3), (part, 1)):
        lines = lines_of(file)
        position = lines[number]["position"]
        value = lines[number][key]
        for other in (value + 1 if isinstance(value, int) else f"{value[:-1]}{'0' if value[-1] != '0' else '1'}", None):
            lines[number][key] = other
            rewritten(file, lines)
            assert re.search(rf"line {number + 1} \((after )?position \d+\)", problem(file)), (key, position)


@pytest.mark.parametrize("key", ["actor", "time", "epoch", "type", "stream"])
def test_a_forged_line_with_a_hash_that_fits_breaks_the_chain(export: Path, key: str) -> None:
    lines = lines_of(export)
    forged = "2026-11-24T00:03:09Z" if key == "time" else "forged"
    envelope = lines[2]["envelope"].replace(json.dumps(lines[2][key], ensure_ascii=False), f'"{forged}"')
    lines[2] = rehashed(lines[2] | {key: forged, "envelope": envelope})
    rewritten(export, lines)

    assert problem(export) == "line 4 (position 4): its previous hash is not the hash of position 3"


def test_the_last_line_forged_differs_from_the_manifest(export: Path) -> None:
    lines = lines_of(export)
    lines[-1] = rehashed(lines[-1] | {"data": "{}"})
    rewritten(export, lines)

    assert problem(export).startswith("the manifest says last")


Change = Callable[[list[Any]], list[Any]]


@pytest.mark.parametrize(
    ("change", "position"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: lines[:3] + lines[4:], 4),
        (lambda lines: lines[:-1], LAST - 1),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 3),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 4),
        (lambda lines: list(reversed(lines)), 1),
        (lambda lines: lines[:0], 0),
    ],
    ids=["first", "missing", "last", "doubled", "swapped", "reversed", "empty"],
)
def test_lines_missing_doubled_or_out_of_place_are_found(export: Path, change: Change, position: int) -> None:
    rewritten(export, change(lines_of(export)))

    assert (f"position {position}" if position else "the beginning") in problem(export)


@pytest.mark.parametrize("cut", [1, 2, 100])
def test_a_file_that_was_cut_off_is_found(export: Path, cut: int) -> None:
    export.write_bytes(export.read_bytes()[:-cut])

    assert f"(position {LAST})" in problem(export)


def test_any_edit_of_the_manifest_is_found(export: Path) -> None:
    path = export.parent / "events.manifest.json"
    manifest = json.loads(path.read_text())
    edits: list[dict[str, Any]] = [
        {name: None if value is not None else {"actor": "ada"}} for name, value in manifest.items()
    ]
    edits += [{"through": LAST + 1}, {"after": 1}, {"count": 1}, {"more": 1}, {"sha256": "0" * 64}]
    for edit in edits:
        path.write_text(json.dumps(manifest | edit, indent=2) + "\n")
        assert "manifest" in problem(export)
    path.write_text(json.dumps(manifest))
    assert "as it was written" in problem(export)
    path.unlink()
    assert "is missing" in problem(export)


def test_lines_chosen_by_subject_each_prove_themselves(part: Path) -> None:
    assert verify(part, None).startswith('2 events, positions 5 to 8, chosen by {"subject": "x"}')
    lines = lines_of(part)
    rewritten(part, lines[:1])
    assert "the manifest says last" in problem(part)
    rewritten(part, lines[::-1])
    assert "out of place" in problem(part)


def commit(repository: Path, position: int, head: str, epoch: str = "epoch-1") -> None:
    trailers = f"Epoch: {epoch}\nPosition: {position}\nHead: {head}\nActor: ada"
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "init", "--quiet", repository], check=True)
    command = [
        "git",
        "-C",
        str(repository),
        *identity,
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        f"Update\n\n{trailers}",
    ]
    subprocess.run(command, check=True)


def test_commits_vouch_for_the_hashes(export: Path, tmp_path: Path) -> None:
    repository, lines = tmp_path / "clone", lines_of(export)
    commit(repository, 500, "ab" * 32)
    assert "nothing outside vouches" in problem(export, repository)
    commit(repository, 4, lines[3]["hash"])
    assert verify(export, repository).endswith("1 commits name the same hashes")
    commit(repository, 6, "ab" * 32)
    assert "position 6" in problem(export, repository)
    assert "git cannot read" in problem(export, tmp_path / "nowhere")


def test_positions_are_read_in_runs() -> None:
    assert list(runs([1, 2, 5, 7, 8, 9])) == [(1, 2), (5, 5), (7, 9)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path / "data", [inventory, audit]) as made:
        for number in range(6):
            await made.declare(store(f"tx-{number}"))
        await made.declare(store("tx-1", size="large"))
        yield made


async def exported(server: Server, **query: str) -> tuple[list[int], dict[str, str]]:
    answer = await server.client.get("/v1/events:export", params=query)
    assert answer.status_code == 200, answer.text
    told = {name: answer.headers[f"resedge-export-{name}"] for name in ("after", "through", "count")}
    return [json.loads(line)["position"] for line in answer.text.splitlines()], told


async def test_events_are_exported_over_http(server: Server) -> None:
    assert await exported(server) == ([1, 2, 3, 4, 5, 6, 7], {"after": "0", "through": "7", "count": "7"})
    assert (await exported(server, after="2", through="4"))[0] == [3, 4]
    assert await exported(server, subject="store/tx-1") == ([2, 7], {"after": "0", "through": "7", "count": "2"})
    assert (await exported(server, subject="store/tx-1", after="2"))[0] == [7]
    assert (await exported(server, until="2000-01-01T00:00:00Z"))[1]["count"] == "0"
    assert (await exported(server, **{"from": "0001-01-01T00:00:00Z"}))[1]["count"] == "7"
    assert (await exported(server, actor="nobody"))[0] == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"through": "8"}, "?through"),
        ({"after": "9" * 30}, "?after"),
        ({"after": "99"}, "?after"),
        ({"from": "x"}, "?from"),
    ],
)
async def test_a_range_that_is_none_is_refused(server: Server, query: dict[str, str], pointer: str) -> None:
    answer = await server.client.get("/v1/events:export", params=query)

    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)


async def test_a_chosen_export_is_the_lines_of_the_whole_one(server: Server) -> None:
    log: EventLog = server.embedded.log
    everything = (await joined(whole_lines(log, 0, 7))).splitlines()
    position = await server.settled()
    trail = next(consumer for service in server.embedded.services for consumer in service.consumers
                 if isinstance(consumer, AuditTrail))  # fmt: skip
    some = await joined(chosen(log, trail, Asked(subject="tx-1"), 0, position))

    assert some.splitlines() == [everything[1], everything[6]]
