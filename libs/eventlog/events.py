"""The log's own events."""

from __future__ import annotations

from dataclasses import dataclass

from libs.contracts.envelope import published


@published("log")
@dataclass(frozen=True, slots=True)
class EpochStarted:
    """The log began a new incarnation, after a restore for instance. Stream `log-epochs`."""

    epoch: str
    previous: str
    reason: str
