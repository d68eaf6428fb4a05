"""The list of all gates, in the order in which `resedge why` shows them."""

from libs.gates.gate import Gate
from libs.gates.of_change import Approved, AsAdmitted, Fused, InWindow, Settled, Unfrozen
from libs.gates.of_target import (
    Fitting,
    InApplication,
    Lawful,
    NamespaceGate,
    Registered,
    Released,
    Rendered,
    Valued,
)

GATES: tuple[Gate, ...] = (
    Registered(),
    NamespaceGate(),
    InApplication(),
    Lawful(),
    Fitting(),
    Released(),
    Valued(),
    Rendered(),
    Approved(),
    Unfrozen(),
    InWindow(),
    Settled(),
    Fused(),
    AsAdmitted(),
)
KEEPING = tuple(gate for gate in GATES if gate.keeps)
"""The gates that keep a change back; the others decide the target."""
GATES_READ = tuple(dict.fromkeys(category for gate in GATES for category in gate.reads))
"""The categories of the log that some gate reads: an admission is guarded by all of them."""
