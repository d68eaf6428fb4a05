"""The ordered list of gates, which may keep a change back: judged as bitmaps, explained for one case."""

from libs.gates.approvals import about, covered, items_of
from libs.gates.change import Admitted, Case, Held, PendingChange, Standing, Unsettled
from libs.gates.explained import Explained
from libs.gates.gate import Gate, Waiting
from libs.gates.gates import Gates
from libs.gates.instant import Instant
from libs.gates.ordered import GATES, GATES_READ, KEEPING
from libs.gates.rules import Closed
from libs.gates.windows import WindowRow, windows

__all__ = [
    "GATES",
    "GATES_READ",
    "KEEPING",
    "Admitted",
    "Case",
    "Closed",
    "Explained",
    "Gate",
    "Gates",
    "Held",
    "Instant",
    "PendingChange",
    "Standing",
    "Unsettled",
    "Waiting",
    "WindowRow",
    "about",
    "covered",
    "items_of",
    "windows",
]
