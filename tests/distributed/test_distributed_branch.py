"""The GitOps branch in other hands: somebody's commit, a force-push; writing stops, says so, and goes on when told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from libs.contracts import ForeignCommitFound, WritingRestored
from tests.support.journeys import store
from tests.support.rendered import declare
from tests.support.system import System
from tests.support.waiting import until

GIT = ["git", "-c", "user.name=someone", "-c", "user.email=someone@localhost"]


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, "-C", str(repository), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_by_hand(repository: Path, elsewhere: Path) -> str:
    """Clone, commit and push, as a person does."""
    git(repository, "clone", "-q", "--depth=1", f"file://{repository}", str(elsewhere))
    (elsewhere / "README.md").write_text("by hand\n")
    git(elsewhere, "add", "README.md")
    git(elsewhere, "commit", "-q", "-m", "by hand")
    git(elsewhere, "push", "-q", "origin", "HEAD:main")
    return git(elsewhere, "rev-parse", "HEAD")


def force_back(repository: Path, elsewhere: Path) -> str:
    """Push an older commit of ours over the newest one, where the repository has been made to take that."""
    git(repository, "config", "receive.denyNonFastForwards", "false")
    git(repository, "clone", "-q", f"file://{repository}", str(elsewhere))
    git(elsewhere, "push", "-q", "--force", "origin", "HEAD^:main")
    return git(elsewhere, "rev-parse", "HEAD^")


def told(system: System) -> list[object]:
    """Return what the log says of the branch's troubles."""
    log = system.log()
    try:
        events = [each.event for each in log.read_recorded(0)]
    finally:
        log.close()
    return [event for event in events if isinstance(event, ForeignCommitFound | WritingRestored)]


@pytest.mark.parametrize("meddle", [commit_by_hand, force_back])
def test_what_somebody_does_to_the_branch_is_found_told_and_restored(
    system: System, tmp_path: Path, meddle: Callable[[Path, Path], str]
) -> None:
    repository = system.directory / "gitops.git"
    system.start("relay", "inventory", "catalog", "rendering")
    system.change("PUT", "/v1/stores/one", json=store("one"))
    declare(system)
    system.settle()
    system.change("PUT", "/v1/stores/two", json=store("two"))
    system.settle()

    theirs = meddle(repository, tmp_path / "clone")
    system.change("PUT", "/v1/stores/three", json=store("three"))

    until(lambda: system.http("GET", "/readyz", service="rendering").status_code == 503, what="it says so")
    assert theirs in system.http("GET", "/readyz?verbose", service="rendering").text
    until(lambda: len(told(system)) == 1, what="the log is told")
    system.kill("rendering")
    system.start("rendering", ready=False)
    until(lambda: theirs in ready_text(system), what="the next one stops as well")
    assert git(repository, "rev-parse", "main") == theirs, "nothing is overwritten"
    assert len(told(system)) == 1, "it is told once"

    restored = system.change("POST", "/v1/gitops:restore", json={"reason": "a drill"})
    assert restored.is_success, restored.text
    system.wait_ready("rendering")
    system.check()
    assert git(repository, "merge-base", "--is-ancestor", theirs, "main") == ""
    names = git(repository, "ls-tree", "-r", "--name-only", "main")
    assert all(f"/{name}/" in names for name in ("one", "two", "three"))
    assert "README.md" not in names
    assert [type(each) for each in told(system)] == [ForeignCommitFound, WritingRestored]


def ready_text(system: System) -> str:
    try:
        return system.http("GET", "/readyz?verbose", service="rendering").text
    except httpx2.TransportError:
        return ""  # not listening yet
