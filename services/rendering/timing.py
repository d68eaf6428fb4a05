"""For how long things wait in rendering although no gate keeps them back.

The one rule: these are settings of the process that decides; what it decided is in the log, and replays without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a removal must have been wanted, a deleted cluster's directory stays, a step of a layout lasts."""

    settle: timedelta = timedelta(seconds=15)
    grace: timedelta = timedelta(days=7)
    layout_step: timedelta = timedelta(hours=24)


AT_ONCE = Timing(timedelta(0), timedelta(0), timedelta(0))
"""Nothing waits."""
