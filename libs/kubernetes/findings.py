"""Findings of a check: an object that no API server accepts, or one that probably does not do what is intended.

The one rule: `never` is only for objects that every API server of the version refuses, whatever else the cluster has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FINDINGS_MAX = 100
"""Findings of one release; further ones are only counted."""

SLOT = "\x00"
"""The key of a map that represents a slot in a stored part; no manifest can contain it."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class OpenSlot:
    """A scalar whose value is only known per cluster; `number` is its slot's.

    `text` if it is text whatever its values are; `listed` if it is text or a list of texts, as a label is.
    """

    number: int
    text: bool = False
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """`never` if the object can never be applied; otherwise it can, but probably does not do what is intended."""

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
    """The requirement on the value of a slot: `wanted` as in `libs.kubernetes.scalars`."""

    slot: int
    object: str
    pointer: str
    wanted: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Values that must fit together, some of them slots: a rule of `libs.kubernetes.relations` and its input."""

    rule: str
    object: str
    pointer: str
    value: Any


@dataclass(slots=True)
class FindingsReport:
    """The findings so far."""

    findings: list[Finding] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    left_out: int = 0
    full: bool = False
    """Whether the limit of refusals is reached, so that the check can stop."""
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, finding: Finding) -> None:
        """Add a finding once; those with `never` are kept before all others."""
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
        """Whether the limit of doubtful findings is reached."""
        return len(self.findings) >= FINDINGS_MAX

    def doubt(self, object_: str, pointer: str, detail: str, fix: str = "") -> None:
        """Add a doubtful finding."""
        self.add(Finding(never=False, object=object_, pointer=pointer, detail=detail, fix=fix))

    @property
    def refused(self) -> list[Finding]:
        """The findings with `never`."""
        return [each for each in self.findings if each.never]

    @property
    def doubtful(self) -> list[Finding]:
        """The doubtful findings."""
        return [each for each in self.findings if not each.never]


def has_slot(value: Any) -> bool:
    """Tell whether a value contains a slot."""
    if isinstance(value, dict):
        return any(map(has_slot, value.values()))
    if isinstance(value, list):
        return any(map(has_slot, value))
    return isinstance(value, OpenSlot)


def shown_value(value: Any) -> str:
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
