"""A verification that could not be finished: how far it got, and the cause.

The requester gets the step, the place in the log or the repository, and the reason in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class At:
    """Where a verification is: its step and, where it has one, the log's position (0: none) and the commit."""

    step: str = "log"
    position: int = 0
    commit: str = ""

    @property
    def told(self) -> str:
        """The place as text."""
        position = f" at position {self.position}" if self.position else ""
        return f"{self.step}{position}{f' at commit {self.commit}' if self.commit else ''}"


class VerificationBroken(RuntimeError):  # noqa: N818 - it states the fact
    """The verification could not be finished; `checks` are its results until then."""

    def __init__(self, at: At, reason: str, checks: list[dict[str, Any]], *, passing: bool = False) -> None:
        super().__init__(f"step {at.told}: {reason}")
        self.at, self.reason, self.checks, self.passing = at, reason, checks, passing

    fix = "read the reason; `resedge log --after POSITION --limit 1` shows an event, `git cat-file -p COMMIT` a commit"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it, for the process that asked."""
        return {"at": asdict(self.at), "reason": self.reason, "checks": self.checks, "passing": self.passing}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> VerificationBroken:
        """Return the result in the last line of a verifying process."""
        return cls(At(**plain["at"]), plain["reason"], plain["checks"], passing=plain["passing"])


@dataclass(slots=True)
class Course:
    """The progress of one verification; `tell` is called with each place before the work there."""

    tell: Callable[[At], None] = lambda _at: None
    at: At = field(default_factory=At)

    def begin(self, step: str) -> None:
        """Record that a step begins."""
        self._go(At(step))

    def position(self, position: int) -> None:
        """Record the position that the step works on."""
        self._go(replace(self.at, position=position))

    def commit(self, commit: str) -> None:
        """Record the commit that the step works on."""
        self._go(replace(self.at, commit=commit))

    def _go(self, at: At) -> None:
        self.at = at
        self.tell(at)
