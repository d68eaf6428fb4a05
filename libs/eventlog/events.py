"""The log's own events."""

from __future__ import annotations

from dataclasses import dataclass

from libs.contracts.envelope import published
from libs.contracts.meaning import FLEET


@published("log", "began epoch {epoch} of the log after {previous}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class EpochStarted:
    """The log began a new incarnation, after a restore for instance. Stream `log-epochs`."""

    epoch: str
    previous: str
    reason: str
