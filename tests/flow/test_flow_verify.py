"""A verification that cannot be finished says at which step, where and why: over HTTP, offline and in the terminal."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from cli.errors import CliError, ExitCode
from cli.verify_offline import verify_data_dir
from libs.contracts import NamespaceDeclared, StoreDeclared, encode, type_name
from libs.eventlog import Appended, EventLog, NewEvent, Submission
from libs.runtime.clock import utc_now
from services.rendering.asking.apart import verify_apart
from services.rendering.asking.broken import VerificationBroken
from tests.cli.cli_machine import Machine
from tests.flow.conftest import Server, running
from tests.support.journeys import begin, told
from tests.support.waiting import eventually

STORE = type_name(StoreDeclared("x", "UTC"))
CORRUPT = {
    "of a kind that nobody knows": NewEvent("store-x", "dev.resedge.future.Thing.v9", b"{}"),
    "without what it must say": NewEvent("store-x", STORE, b"{}"),
    "of no JSON": NewEvent("store-x", STORE, b"\x00\xff"),
    "with a zone that is none": NewEvent(
        "store-x", STORE, encode(StoreDeclared("x", "UTC")).replace(b"UTC", b"\\ud800")
    ),
}
"""Rows whose chain hash is right and whose content is not: the chain holds, and the fold dies."""


async def verified(server: Server) -> Any:
    return await server.client.post("/v1/rendering:verify", params={"all": "true"})


async def a_branch(root: Path) -> Path:
    async with running(root / "data", SERVICES) as server:
        await begin(server)
    return root / "data"


@pytest.mark.parametrize("event", [CORRUPT[name] for name in CORRUPT], ids=list(CORRUPT))
async def test_an_event_that_cannot_be_folded_is_named(event: NewEvent, tmp_path: Path) -> None:
    data_dir = await a_branch(tmp_path)
    log = EventLog.open(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now)
    outcome = log.append(Submission([event], "somebody"))
    assert isinstance(outcome, Appended)
    log.close()

    with pytest.raises(CliError) as told:
        await asyncio.to_thread(verify_data_dir, data_dir, all_commits=True)
    with pytest.raises(VerificationBroken) as broken:
        await verify_apart(f"sqlite:///{data_dir / 'log.db'}", data_dir / "gitops.git", every_commit=True)

    assert (broken.value.at.step, broken.value.at.position) == ("fold", outcome.last)
    assert f"{event.type} cannot be folded: " in broken.value.reason
    assert [each["check"] for each in broken.value.checks] == ["chain"]
    assert told.value.why == str(broken.value)
    assert told.value.exit_code == ExitCode.FAILED


async def test_the_answer_is_a_problem_that_names_step_position_and_reason(tmp_path: Path) -> None:
    async with running(tmp_path / "data", SERVICES) as server:
        await begin(server)
        outcome = server.embedded.log.append(Submission([CORRUPT["without what it must say"]], "somebody"))
        answer = await verified(server)

    problem = answer.json()
    assert isinstance(outcome, Appended)
    assert (answer.status_code, problem["code"]) == (500, "verification-broken")
    assert (problem["step"], problem["position"]) == ("fold", outcome.last)
    assert f"step fold at position {outcome.last}: {STORE} cannot be folded: " in problem["detail"]
    assert [(each["check"], each["ok"]) for each in problem["checks"]] == [("chain", True)]
    assert problem["fix"]


async def test_an_event_that_rendering_cannot_fold_halts_it_and_what_was_skipped_is_skipped_everywhere(
    tmp_path: Path,
) -> None:
    unreadable = NamespaceDeclared("x", "(((")
    async with running(tmp_path / "data", SERVICES) as server:
        await begin(server)
        event = NewEvent("namespace-x", type_name(unreadable), encode(unreadable))
        outcome = server.embedded.log.append(Submission([event], "somebody"))
        assert isinstance(outcome, Appended)
        await eventually(told(server, f"rendering: {event.type} at position {outcome.last} cannot be applied"))
        broken = await verified(server)
        for name in ("rendering", "fleet"):
            letter = f"/v1/dead-letters/{name}@{outcome.last}:skip"
            assert (await server.client.post(letter, json={"reason": "it is of no use"})).is_success

        async def ready() -> bool:
            return (await server.client.get("/readyz")).status_code == 200

        await eventually(ready, 500)
        whole = await verified(server)

    assert (broken.status_code, broken.json()["position"]) == (500, outcome.last)
    assert whole.json()["ok"], whole.text


@pytest.mark.parametrize(("step", "point"), [("fold", "rendering.verify.fold"), ("tree", "rendering.verify.tree")])
async def test_a_verifying_process_that_is_killed_is_told_as_such(
    step: str, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "data", SERVICES) as server:
        await begin(server)
        monkeypatch.setenv("RESEDGE_CRASH_AT", point)  # in the child alone: this one was imported
        answer = await verified(server)
        monkeypatch.delenv("RESEDGE_CRASH_AT")
        after = await verified(server)

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["step"]) == (500, "verification-broken", step)
    assert "the verifying process was killed by SIGKILL" in problem["detail"]
    assert "memory" in problem["detail"]
    assert after.json()["ok"], "the next one is not the worse for it"


async def test_a_verifying_process_that_says_nothing_is_told_with_its_last_words() -> None:
    with pytest.raises(VerificationBroken, match=r"ended with exit code 2: .* required: repository") as broken:
        await verify_apart("sqlite://", Path("--no-such-option"), every_commit=False)

    assert broken.value.at.step == "log"


async def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()

    with pytest.raises(VerificationBroken, match="step log: UnknownLogFormat: "):
        await verify_apart(f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "gitops.git", every_commit=False)


async def test_a_repository_that_lost_an_object_is_a_finding_and_no_breakdown(tmp_path: Path) -> None:
    data_dir = await a_branch(tmp_path)
    shutil.rmtree(data_dir / "gitops.git/objects/pack")
    (data_dir / "gitops.git/objects/pack").mkdir()

    checks = await verify_apart(f"sqlite:///{data_dir / 'log.db'}", data_dir / "gitops.git", every_commit=True)

    assert [(each["check"], each["ok"]) for each in checks] == [("chain", True), ("repository", False)]


async def test_the_terminal_shows_it_and_exits_1(tmp_path: Path) -> None:
    data_dir = await a_branch(tmp_path)
    log = EventLog.open(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now)
    log.append(Submission([CORRUPT["of no JSON"]], "somebody"))
    log.close()

    ran = await asyncio.to_thread(Machine(tmp_path).resedge, "verify", "--data-dir", str(data_dir))
    as_json = await asyncio.to_thread(Machine(tmp_path).resedge, "verify", "--data-dir", str(data_dir), "-o", "json")

    assert (ran.code, as_json.code) == (ExitCode.FAILED, ExitCode.FAILED)
    assert "The verification could not be finished." in ran.err
    assert f"why: step fold at position {json.loads(as_json.err)['detail'].split()[4].rstrip(':')}" in ran.err
    assert json.loads(as_json.err)["code"] == "verification-broken"
