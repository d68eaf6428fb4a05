"""A branch that somebody else has written to, and the answer that lets rendering go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.refusals import Rejected
from services.rendering.events import WritingRestored


class WritingGoesOn(Rejected):
    """The branch is as it was last written, so there is nothing to restore."""

    code = "nothing-to-restore"


@dataclass(frozen=True, slots=True)
class RestoreWriting:
    """Commit what is admitted on top of somebody else's commit, and go on."""

    branch: str
    reason: str


def decide(command: RestoreWriting, foreign: str) -> Sequence[WritingRestored]:
    """Return what follows from `command` where the branch is at somebody else's commit `foreign` (empty: at ours)."""
    if not foreign:
        raise WritingGoesOn(f"branch {command.branch} is where we left it")
    return [WritingRestored(command.branch, foreign, command.reason)]
