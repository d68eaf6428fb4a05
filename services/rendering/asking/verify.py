"""Verification: everything is rendered again from the log alone, and compared with the branch.

The one rule: nothing of a running process is trusted; a new process folds the log and computes every id itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from libs.bus.faults import passing
from libs.contracts.crash import crash_point
from libs.contracts.meaning import counted
from libs.eventlog import EventLog, Verification
from libs.gittree import CommitUnreadable, GitFailed, ObjectMissing, Repository
from libs.runtime.clock import utc_now
from services.rendering.asking.apart import URL_VARIABLE
from services.rendering.asking.asof import CannotFold, Computed, Fold
from services.rendering.asking.broken import At, Course, VerificationBroken

_ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True)
class _Check:
    """One comparison; `detail` is its result as text."""

    check: str
    ok: bool
    detail: str


async def verify_branch(
    log_url: str, path: Path, *, every_commit: bool, tell: Callable[[At], None] = lambda _at: None
) -> list[_Check]:
    """Return the comparisons; nothing is changed. `tell` is called with each place before the work there.

    Raises:
        VerificationBroken: it could not be finished; it has the place and the reason.
    """
    course, checks = Course(tell), list[_Check]()
    try:
        await _verify(log_url, path, course, checks, every_commit=every_commit)
    except Exception as error:
        at, reason = course.at, f"{type(error).__name__}: {error}"
        if isinstance(error, CannotFold):
            at, reason = At(at.step, error.position), error.reason
        raise VerificationBroken(at, reason, shown_checks(checks), passing=passing(error)) from error
    return checks


async def _verify(log_url: str, path: Path, course: Course, checks: list[_Check], *, every_commit: bool) -> None:
    course.begin("log")
    events = EventLog.read_only(log_url, clock=utc_now)
    try:
        course.begin("chain")
        found = events.verify()
        problem = "" if found.problem is None else f"position {found.problem.position}: {found.problem.what}"
        checks.append(_Check("chain", found.ok, problem or _intact(found)))
        if found.ok:  # Events that are not of this log cannot be folded.
            await _verify_branch(events, path, course, checks, every_commit=every_commit)
    finally:
        events.close()


async def _verify_branch(
    events: EventLog, path: Path, course: Course, checks: list[_Check], *, every_commit: bool
) -> None:
    course.begin("fold")
    crash_point("rendering.verify.fold")
    fold = Fold(events, note=course.position)
    before = len(checks)
    try:
        repository = Repository(path, fold.model.branch) if (path / "HEAD").exists() else None
        tip = ""
        for _ in range(_ATTEMPTS_MAX):
            await fold.on()
            tip = (repository.head() if repository is not None else None) or ""
            if tip in {fold.computed.last, fold.model.parent}:
                break
            await asyncio.sleep(0.2)  # A running renderer may be between its decision and its commit.
        computed = fold.computed
        said = computed.problem or counted(len(computed.by_decision), "decision")
        checks += [_Check("admissions", not computed.problem, said), _tip(tip, fold)]
        if repository is None or not tip:
            return
        with contextlib.closing(repository):
            course.begin("trailers")
            checks.append(_trailers(events, repository, computed, tip, course))
            course.begin("tree")
            crash_point("rendering.verify.tree")
            checks.append(_trees(repository, computed, tip, course, every_commit=every_commit))
            if every_commit:
                course.begin("objects")
                sound = repository.fsck()
                checks.append(_Check("objects", sound.ok, "; ".join(sound.problems[:3]) or "git fsck --strict passes"))
    except (ObjectMissing, CommitUnreadable, GitFailed) as error:
        checks[before:] = [_Check("repository", ok=False, detail=f"{type(error).__name__}: {error}")]


def _tip(tip: str, fold: Fold) -> _Check:
    expected = fold.computed.last
    if tip == expected or (tip and tip == fold.model.parent):
        return _Check("branch", ok=True, detail=f"{fold.model.branch} is at {tip or 'no commit yet'}")
    what = "a foreign commit" if tip and tip not in fold.computed.commits else "not where the log left it"
    detail = f"{fold.model.branch} is at {tip or 'nothing'}, the log left it at {expected or 'nothing'}: {what}"
    return _Check("branch", ok=False, detail=detail)


def _trailers(events: EventLog, repository: Repository, computed: Computed, tip: str, course: Course) -> _Check:
    """Compare `Head:` of every commit with the chain; foreign commits are known only where writing was restored."""
    count = 0
    known_foreign = False
    for commit in repository.iter_commits(tip):
        course.commit(commit.id)
        known_foreign = (known_foreign or commit.id in computed.restored) and commit.id not in computed.commits
        if known_foreign:
            continue
        if commit.id not in computed.commits:
            return _Check("trailers", ok=False, detail=f"commit {commit.id} is not in the log")
        position, head = commit.values("Position"), commit.values("Head")
        try:
            matches = len(position) == len(head) == 1 and events.hash_at(int(position[0])).hex() == head[0]
        except (LookupError, ValueError):
            matches = False
        if not matches:
            return _Check("trailers", ok=False, detail=f"commit {commit.id}: the chain has another hash at {position}")
        count += 1
    return _Check("trailers", ok=True, detail=f"Trailers of {counted(count, 'commit')} match the log")


def _trees(repository: Repository, computed: Computed, tip: str, course: Course, *, every_commit: bool) -> _Check:
    """Read trees back from the repository; the branch's own, or every commit's."""
    count = 0
    for commit in _commits(repository, computed, tip):
        course.commit(commit)
        tree = computed.commits[commit][0]
        if repository.read_commit(commit).tree != tree:
            return _Check("tree", ok=False, detail=f"commit {commit} has another tree than the log renders: {tree}")
        repository.read_tree(tree)
        count += 1
        if not every_commit:
            break
    return _Check("tree", ok=True, detail=f"{counted(count, 'commit')} {'matches' if count == 1 else 'match'} the log")


def _commits(repository: Repository, computed: Computed, tip: str) -> Iterator[str]:
    return (commit.id for commit in repository.iter_commits(tip) if commit.id in computed.commits)


def _intact(found: Verification) -> str:
    return f"Hash chain intact: {counted(found.events, 'event')} up to position {found.position}"


def shown_checks(checks: Sequence[_Check]) -> list[dict[str, Any]]:
    """Return checks as JSON has them."""
    return [{"check": each.check, "ok": each.ok, "detail": each.detail} for each in checks]


def main() -> int:
    """Verify; print each place and then the checks, as lines of JSON. Exits 1 where one fails, 2 where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m services.rendering.asking.verify", description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()

    def say(**said: Any) -> None:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()

    found = verify_branch(
        os.environ[URL_VARIABLE], given.repository, every_commit=given.all, tell=lambda at: say(at=asdict(at))
    )
    try:
        checks = asyncio.run(found)
    except VerificationBroken as broken:
        say(broken=broken.plain())
        return 2
    say(checks=shown_checks(checks))
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
