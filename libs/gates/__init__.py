"""What closes the way between target and admitted at an instant: law, approval, freezes, windows."""

from libs.gates.approvals import covered, unmoved
from libs.gates.cluster import Explained
from libs.gates.gates import Gates, Instant
from libs.gates.rules import Closed
from libs.gates.windows import WindowRow, windows

__all__ = ["Closed", "Explained", "Gates", "Instant", "WindowRow", "covered", "unmoved", "windows"]
