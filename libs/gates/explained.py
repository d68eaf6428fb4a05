"""The explanation of one gate for one case: whether it is open, why, on what evidence, and when it opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.fleet import Fact

_Source = Fact | tuple[str, str] | None
"""An event of the log, the fleet's key of one, or None: then it follows from other evidence."""

Evidence = tuple[str, _Source, dict[str, Any]]
"""Its name, the event behind it, and further details."""


@dataclass(slots=True)
class Explained:
    """Whether one gate is open for an application on a cluster, why, and when it opens if it is closed."""

    open: bool
    reason: str
    opens_at: datetime | None = None
    evidence: list[Evidence] = field(default_factory=list)

    def cite(self, what: str, source: _Source = None, **more: Any) -> Explained:
        """Add to the evidence."""
        self.evidence.append((what, source, more))
        return self

    @property
    def by(self) -> str:
        """The things that are cited by their key, such as the freezes in force: `freeze black-friday`."""
        keys = [source for _, source, _ in self.evidence if source is not None and not isinstance(source, Fact)]
        return ", ".join(dict.fromkeys(f"{kind} {name}" for kind, name in keys))


def opened(reason: str) -> Explained:
    """Return that a gate is open."""
    return Explained(open=True, reason=reason)


def shut(reason: str, opens_at: datetime | None = None) -> Explained:
    """Return that a gate is closed."""
    return Explained(open=False, reason=reason, opens_at=opens_at)
