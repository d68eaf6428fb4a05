"""Pushes the branch to the remote that stores pull from, and says how far the remote is behind.

The one rule: only what the log admitted is pushed, never by force; a failing push is tried again until it succeeds,
at growing intervals, whether or not there is another commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from libs.contracts.meaning import counted
from libs.gittree import PushOutcome, PushResult, redacted_remote
from services.rendering.observing import RemoteStanding

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libs.gittree import Repository
    from services.rendering.settings import RenderingSettings

_REASON_CHARACTERS_MAX = 300
_TELLING = ("!", "fatal:", "error:", "remote:", "ssh:")
_GOOD = frozenset({PushOutcome.PUSHED, PushOutcome.UP_TO_DATE})
_DELAYS_DOUBLED_MAX = 30
log = structlog.get_logger("rendering")


class Pushing:
    """The pushes of one process to one remote.

    `wanted` returns the commit that the remote should have: empty while this process must not push.
    """

    def __init__(self, settings: RenderingSettings, wanted: Callable[[], str], clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._wanted = wanted
        self._clock = clock
        self._wake = asyncio.Event()
        self._repository: Repository | None = None
        self._branch = ""
        self._ready = False
        self._written = 0
        self._pushed_written: int | None = None
        self._behind_since: datetime | None = None
        self._pushed = ""
        self._pushed_at: datetime | None = None
        self._failing_since: datetime | None = None
        self._next_at: datetime | None = None
        self._failures = 0
        self._result: PushResult | None = None

    @property
    def status(self) -> str:
        """The outcome of the last push with what git said, as the status of rendering shows it; empty before one."""
        if self._result is None:
            return ""
        return f"{self._result.outcome}: {self._result.detail}" if self._result.detail else str(self._result.outcome)

    @property
    def trouble(self) -> str:
        """Why the last push failed, in a sentence; empty if it did not."""
        if self._result is None or self._result.outcome in _GOOD:
            return ""
        return f"pushing to {redacted_remote(self._settings.remote)} fails ({self._result.outcome}): {self._reason()}"

    def open(self, repository: Repository, branch: str) -> None:
        """Take the repository to push from. Its branch is pushed at once: a remote that is new may have nothing yet."""
        self._repository, self._branch = repository, branch
        self._ready = False

    def written(self) -> None:
        """Push: there is a new commit."""
        self._written += 1
        self._behind_since = self._behind_since or self._clock()
        self._wake.set()

    def ready(self) -> None:
        """Push what there is, once: the process has seen the whole log."""
        if not self._ready:
            self._ready = True
            self._behind_since = self._clock()
            self._wake.set()

    async def run(self) -> None:
        """Push until cancelled: after each commit, after a failure, and now and then, as a remote may be returned."""
        while True:
            await self._until_due()
            self._wake.clear()
            if self._repository is not None and (commit := self._wanted()):
                await self._push(self._repository, commit)

    async def _until_due(self) -> None:
        """Wait; while pushes fail, a new commit does not shorten the interval."""
        if self._failures:
            await asyncio.sleep(self._retry_seconds())
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(self._settings.push_check_seconds, 1.0)):
                await self._wake.wait()

    def _retry_seconds(self) -> float:
        doubled = min(self._failures - 1, _DELAYS_DOUBLED_MAX)
        seconds: float = max(self._settings.push_retry_seconds, 0.1) * 2**doubled
        return min(seconds, max(self._settings.push_retry_seconds_max, 0.1))

    async def _push(self, repository: Repository, commit: str) -> None:
        written = self._written
        try:
            result = await asyncio.to_thread(repository.push, self._settings.remote, self._branch, commit)
        except (OSError, RuntimeError, ValueError) as error:
            result = PushResult(PushOutcome.FAILED, f"{type(error).__name__}: {error}")
        self._result = result
        now = self._clock()
        if result.outcome in _GOOD:
            self._failures, self._failing_since, self._next_at = 0, None, None
            self._pushed, self._pushed_written = commit, written
            if result.outcome is PushOutcome.PUSHED or self._pushed_at is None:
                self._pushed_at = now
            self._behind_since = now if self._written > written else None
            return
        self._failures += 1
        self._failing_since = self._failing_since or now
        self._next_at = now + timedelta(seconds=self._retry_seconds())
        log.error("rendering.push", outcome=str(result.outcome), reason=self._reason(), failures=self._failures)

    def _reason(self) -> str:
        """Return the lines of what git said that say why."""
        lines = [line.strip().replace("\t", " ") for line in (self._result.detail if self._result else "").splitlines()]
        telling = [line for line in lines if line.startswith(_TELLING)] or [line for line in lines if line]
        return "; ".join(telling)[:_REASON_CHARACTERS_MAX]

    def standing(self) -> RemoteStanding | None:
        """Return how the remote stands; None without one, and where this process must not push."""
        if not self._settings.remote or not self._wanted():
            return None
        waiting = self._behind_since
        behind = None if self._pushed_written is None else self._written - self._pushed_written
        seconds = 0.0 if waiting is None else max((self._clock() - waiting).total_seconds(), 0.0)
        return RemoteStanding(bool(self._failures), behind, seconds)

    def told(self) -> tuple[bool, str]:
        """Return whether the remote is in order, and how it stands in a few words."""
        standing = self.standing()
        if standing is None:
            return True, "this process does not push" if self._settings.remote else "no remote is set"
        return not standing.failing, self.trouble or self._told(standing)

    def _told(self, standing: RemoteStanding) -> str:
        if standing.behind is None:
            return "not pushed yet"
        if not standing.behind:
            return f"up to date at {self._pushed}"
        return f"{counted(standing.behind, 'commit')} behind: a push is under way"

    def item(self) -> dict[str, Any] | None:
        """Return the remote as `GET /v1/remotes` lists it; None without one."""
        if not self._settings.remote:
            return None
        standing = self.standing()
        failing = standing is not None and standing.failing
        return {
            "name": redacted_remote(self._settings.remote),
            "branch": self._branch,
            "state": self._state(standing),
            "commit": self._wanted() or None,
            "pushed": self._pushed or None,
            "behind": None if standing is None else standing.behind,
            "pushed_at": _instant(self._pushed_at),
            "behind_since": _instant(self._behind_since),
            "failing_since": _instant(self._failing_since),
            "failures": self._failures,
            "next_try_at": _instant(self._next_at),
            "reason": self._reason() if failing else None,
            "fix": self._fix() if failing else None,
        }

    def _state(self, standing: RemoteStanding | None) -> str:
        if standing is None:
            return "waiting"
        if standing.failing and self._result is not None:
            return str(self._result.outcome)
        return "up-to-date" if standing.behind == 0 else "behind"

    def _fix(self) -> str:
        if self._result is not None and self._result.outcome is PushOutcome.NOT_FAST_FORWARD:
            return (
                f"the remote has commits that the log does not have: set its branch {self._branch} back to a commit "
                "of this repository; the next attempt pushes the rest"
            )
        return "check the remote's address, its credentials and the network; the push is tried again by itself"

    async def compared(self) -> dict[str, Any] | None:
        """Ask the remote which commit it has, as a check of `verify`; None where there is none to ask.

        A remote that lacks the newest commits while pushes succeed is in order: a push is under way.
        """
        commit, repository = self._wanted(), self._repository
        if not self._settings.remote or not commit or repository is None:
            return None
        try:
            found = await asyncio.to_thread(repository.remote_head, self._settings.remote, self._branch)
        except (OSError, RuntimeError, ValueError) as error:
            detail = f"the remote could not be asked: {redacted_remote(str(error))[:_REASON_CHARACTERS_MAX]}"
            return {"check": "remote", "ok": False, "detail": detail}
        if found in {commit, self._wanted()}:
            return {"check": "remote", "ok": True, "detail": f"The remote is at {found}."}
        under_way = not self._failures and found in {None, self._pushed} and self._behind_since is not None
        state = "a push is under way" if under_way else self.trouble or "the next push moves it or says why not"
        return {
            "check": "remote",
            "ok": under_way,
            "detail": f"The remote is at {found or 'no commit'}, the branch at {commit}: {state}.",
        }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
