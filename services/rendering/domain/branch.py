"""A branch with a foreign commit, and the command that lets rendering continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.refusals import Rejected
from services.rendering.events import WritingRestored


class WritingGoesOn(Rejected):
    """The branch is as rendering wrote it, so there is nothing to restore."""

    code = "nothing-to-restore"


@dataclass(frozen=True, slots=True)
class RestoreWriting:
    """Commit what is admitted on top of a foreign commit, and continue."""

    branch: str
    reason: str


def decide(command: RestoreWriting, foreign: str) -> Sequence[WritingRestored]:
    """Return what follows from `command` on a branch that is at the foreign commit `foreign` (empty: at ours)."""
    if not foreign:
        raise WritingGoesOn(f"branch {command.branch} is where we left it")
    return [WritingRestored(command.branch, foreign, command.reason)]
