"""What a check finds: something that no API server takes, or something that is probably not meant.

The one rule: `never` only where every API server of the version refuses the object, whatever else the cluster holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FINDINGS_MAX = 100
"""Of one release; what comes after is counted only."""

SLOT = "\x00"
"""The key of a map that stands for a slot where a part is kept; no manifest can hold it."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """Stands for a scalar whose value is known per cluster only; `number` is its slot's.

    `text` if it is text whatever its values are; `listed` if it is text or a list of texts, as a label is.
    """

    number: int
    text: bool = False
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """`never` if the object can never be applied so; else it can, and is probably not what is meant."""

    never: bool
    object: str
    pointer: str
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        """Write it as one sentence."""
        return f"{self.object} {self.pointer or '/'}: {self.detail}{f'; {self.fix}' if self.fix else ''}"


@dataclass(frozen=True, slots=True)
class Demand:
    """What the value of a slot must be like: `wanted` in the words of `libs.kubernetes.scalars`."""

    slot: int
    object: str
    pointer: str
    wanted: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Values that must fit together, some of them slots: a rule of `libs.kubernetes.relations` and what it reads."""

    rule: str
    object: str
    pointer: str
    value: Any


@dataclass(slots=True)
class Report:
    """What was found so far."""

    findings: list[Finding] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    left_out: int = 0
    full: bool = False
    """Whether so much is refused that nothing more need be looked for."""
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, finding: Finding) -> None:
        """Take a finding once; the first that say `never` are kept before all others."""
        key = (finding.object, finding.pointer, finding.detail)
        if key in self._seen:
            return
        if len(self.findings) >= FINDINGS_MAX:
            self.left_out += 1
            place = next((at for at, each in enumerate(self.findings) if not each.never), None)
            if not finding.never or place is None:
                return
            del self.findings[place]
        self._seen.add(key)
        self.findings.append(finding)
        self.full = self.full or (finding.never and len(self.refused) >= FINDINGS_MAX)

    @property
    def crowded(self) -> bool:
        """Whether nothing more that is only doubtful is kept."""
        return len(self.findings) >= FINDINGS_MAX

    def doubt(self, object_: str, pointer: str, detail: str, fix: str = "") -> None:
        """Take what is probably not meant."""
        self.add(Finding(never=False, object=object_, pointer=pointer, detail=detail, fix=fix))

    @property
    def refused(self) -> list[Finding]:
        """What can never be applied."""
        return [each for each in self.findings if each.never]

    @property
    def doubtful(self) -> list[Finding]:
        """What can be applied, and is probably not meant."""
        return [each for each in self.findings if not each.never]


def is_open(value: Any) -> bool:
    """Tell whether a slot stands anywhere in a value."""
    if isinstance(value, dict):
        return any(map(is_open, value.values()))
    if isinstance(value, list):
        return any(map(is_open, value))
    return isinstance(value, Open)


def shown(value: Any) -> str:
    """Return a value as it is shown in a sentence."""
    text = (
        repr(value)
        if isinstance(value, str)
        else "true"
        if value is True
        else "false"
        if value is False
        else str(value)
    )
    return text if len(text) <= 80 else f"{text[:77]}…"
