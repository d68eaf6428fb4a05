"""How long things wait in rendering, apart from gates.

These are settings of the deciding process; its decisions are in the log, and replay without them.
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
