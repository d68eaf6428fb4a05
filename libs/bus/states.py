"""The progress of consumers, for readiness, metrics and status pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """A consumer's progress: `lag` events behind the log for `lag_seconds`; `stopped` or failing for a reason."""

    name: str
    position: int
    lag: int
    stopped: str | None
    failing: str | None
    lag_seconds: float = 0.0


def stopped_reasons(states: Sequence[ConsumerState]) -> dict[str, str]:
    """Return why consumers have stopped or fail, by name; empty when all go on."""
    return {state.name: reason for state in states if (reason := state.stopped or state.failing) is not None}
