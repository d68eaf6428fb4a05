"""`audit` and `audit export`: what is asked, how it is told, and files that are whole or not there."""

from __future__ import annotations

import json
import resource
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cli.exporting import manifest_path
from tests.cli.cli_server import Answer, Asked, FakeServer, problem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Resedge


def entry(position: int) -> dict[str, Any]:
    return {
        "position": position,
        "time": "2026-11-24T00:01:00Z",
        "actor": "ada\x1b[31m",
        "type": "dev.resedge.inventory.StoreDeclared.v1",
        "subject": f"store/tx-{position}",
        "sentence": f"declared store tx-{position}",
        "reason": None,
        "correlationid": "c-1",
    }


def page(asked: Asked) -> Answer:
    start = int(asked.query.get("cursor", 2_500))
    items = [entry(n) for n in range(start, max(start - int(asked.query["limit"]), 0), -1)]
    last = items[-1]["position"] - 1
    return Answer(200, {"items": items, "next": str(last) if last else None})


def test_the_trail_is_a_table_newest_first_and_hostile_text_is_harmless(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/audit", page)
    ran = resedge("audit", "--limit", "2")

    assert ran.out.splitlines()[0].split() == ["POSITION", "TIME", "ACTOR", "WHAT", "WHY"]
    assert ran.out.splitlines()[1].split()[3:] == ["declared", "store", "tx-2500", "-"]
    assert "\x1b" not in ran.out
    assert len(ran.out.splitlines()) == 3


def test_a_pipe_gets_all_of_it_page_by_page(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/audit", page)
    ran = resedge("audit", "-o", "jsonl")

    assert [json.loads(line)["position"] for line in ran.out.splitlines()] == list(range(2_500, 0, -1))
    assert resedge("audit", "-o", "name", "--limit", "1").out == "event/2500\n"


def test_what_was_asked_is_what_the_server_is_asked(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/audit", Answer(200, {"items": [], "next": None}))
    wanted = {"subject": "store/ä b", "actor": "ada", "from": "2026-11-24T00:00:00+01:00", "until": "x", "type": "Y"}
    ran = resedge("audit", "--oldest", *(word for name, value in wanted.items() for word in (f"--{name}", value)))

    assert (ran.code, ran.err) == (0, "nothing was done\n")
    assert server.asked[-1].query == wanted | {"order": "oldest", "limit": "1000"}


def test_what_the_server_cannot_read_is_usage(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    refused = problem(422, "invalid-request", "The request cannot be read.", detail="no instant", fix="write an offset")
    server.on("GET", "/v1/audit", refused)
    server.on("GET", "/v1/events:export", refused)

    for words in (("audit", "--from", "now"), ("audit", "export", str(tmp_path / "a.jsonl"), "--from", "now")):
        ran = resedge(*words)
        assert ran.code == 2
        assert "write an offset" in ran.err
    assert not (tmp_path / "a.jsonl").exists()


def line(position: int, previous: str = "") -> str:
    told = {"position": position, "time": "t", "epoch": "e", "previous": previous or f"h{position - 1}"}
    return json.dumps(told | {"hash": f"h{position}"}) + "\n"


def exporting(*lines: str, count: int | None = None) -> Answer:
    told = {"After": 0, "Through": len(lines), "Count": len(lines) if count is None else count}
    headers = {f"Resedge-Export-{name}": str(value) for name, value in told.items()}
    return Answer(200, "".join(lines), headers, content_type="application/x-ndjson")


def test_an_export_is_two_files_and_neither_is_replaced_unasked(
    resedge: Resedge, server: FakeServer, tmp_path: Path
) -> None:
    server.on("GET", "/v1/events:export", exporting(line(1), line(2)))
    file = tmp_path / "odd name ☃.jsonl"

    assert resedge("audit", "export", str(file), "--after", "0", "--through", "2").code == 0
    assert server.asked[-1].query == {"after": "0", "through": "2"}
    assert manifest_path(file) == tmp_path / "odd name ☃.manifest.json"
    assert json.loads(manifest_path(file).read_text())["asked"] == {"after": 0, "through": 2}
    assert file.stat().st_mode & 0o077 == 0

    again = resedge("audit", "export", str(file))
    assert again.code == 2
    assert "--force" in again.err
    file.unlink()
    assert resedge("audit", "export", str(file)).code == 2
    assert resedge("audit", "export", str(file), "--force").code == 0


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (exporting(line(1), count=2), "closed the connection after 1 of 2"),
        (exporting(line(1), line(3)), "position 3 does not follow position 1"),
        (exporting(line(1), line(2, "other")), "position 2 does not follow"),
        (exporting(line(1), line(2)[:-5]), "in the middle of a line"),
        (exporting("<html>\n"), "not an event"),
        (exporting("[]\n"), "not an event"),
    ],
)
def test_an_export_that_is_not_whole_leaves_nothing_behind(
    resedge: Resedge, server: FakeServer, tmp_path: Path, answer: Answer, what: str
) -> None:
    server.on("GET", "/v1/events:export", answer)
    folder = tmp_path / "exports"
    folder.mkdir()
    ran = resedge("audit", "export", str(folder / "events.jsonl"))

    assert ran.code == 1
    assert what in ran.err
    assert list(folder.iterdir()) == []


def test_a_connection_that_drops_in_the_middle_leaves_nothing_behind(resedge: Resedge, tmp_path: Path) -> None:
    whole = exporting(line(1), line(2))
    head = ["HTTP/1.1 200 OK", "Content-Length: 100000", *(f"{name}: {value}" for name, value in whole.headers.items())]

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall("\r\n".join([*head, "", whole.body]).encode())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        ran = resedge("audit", "export", str(tmp_path / "events.jsonl"), "--server", address)
        thread.join()

    assert ran.code == 1
    assert "closed the connection in the middle" in ran.err
    assert not list(tmp_path.glob("*events*"))


def test_a_place_that_cannot_be_written_is_named(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    server.on("GET", "/v1/events:export", exporting(line(1)))

    assert "there is no directory" in resedge("audit", "export", str(tmp_path / "none" / "a.jsonl")).err
    assert "is a directory" in resedge("audit", "export", str(tmp_path)).err
    long = resedge("audit", "export", str(tmp_path / ("x" * 255)))
    assert long.code == 1
    assert "File name too long" in long.err


def test_a_full_disk_is_said_and_leaves_nothing_behind(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    server.on("GET", "/v1/events:export", exporting(*(line(n) for n in range(1, 2_000))))
    folder = tmp_path / "exports"
    folder.mkdir()
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        ran = resedge("audit", "export", str(folder / "events.jsonl"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert ran.code == 1
    assert "File too large" in ran.err
    assert list(folder.iterdir()) == []


def test_verify_lists_once_what_two_services_found_alike(resedge: Resedge, server: FakeServer) -> None:
    def found(*checks: tuple[str, bool]) -> Answer:
        told = [{"check": name, "ok": ok, "detail": "1 event"} for name, ok in checks]
        return Answer(200, {"ok": all(ok for _, ok in checks), "checks": told})

    server.on("POST", "/v1/log:verify", found(("chain", True)))
    server.on("POST", "/v1/rendering:verify", found(("chain", True), ("tree", True)), found(("chain", False)))

    assert [line.split()[:2] for line in resedge("verify").out.splitlines()[1:]] == [["yes", "chain"], ["yes", "tree"]]
    differ = resedge("verify")
    assert [line.split()[:2] for line in differ.out.splitlines()[1:]] == [["yes", "chain"], ["no", "chain"]]
    assert differ.code == 1


@pytest.mark.parametrize("option", ["--subject", "--actor", "--type", "--from", "--until"])
def test_an_empty_filter_is_usage_and_never_everything(
    resedge: Resedge, server: FakeServer, tmp_path: Path, option: str
) -> None:
    for words in (("audit",), ("audit", "export", str(tmp_path / "a.jsonl"))):
        ran = resedge(*words, option, "")
        assert ran.code == 2
        assert f"{option} is empty" in ran.err
    assert server.asked == []
