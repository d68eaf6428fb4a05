"""A decision of the log: the parts of an admission, collected until the last one has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pyroaring import BitMap

from libs.fleet import unpacked
from services.rendering.events import AdmissionDecided
from services.rendering.observing import UNKNOWN, Cause


@dataclass(slots=True)
class DecidedAdmission:
    """A decided admission: its parts, its position and time in the log, and itself as the cause of its commit."""

    parts: list[AdmissionDecided] = field(default_factory=list)
    position: int = 0
    at: datetime | None = None
    itself: Cause = UNKNOWN

    @property
    def first(self) -> AdmissionDecided:
        """The fields that all parts have in common."""
        return self.parts[0]

    @property
    def taken_at(self) -> datetime:
        """When it was recorded.

        Raises:
            ValueError: it is not recorded yet.
        """
        if self.at is None:
            raise ValueError("a decision must be recorded before it is executed")
        return self.at

    def given(self, key: str) -> dict[str, BitMap]:
        """Return the clusters of a placement that get another version than the chosen one, by that version."""
        found: dict[str, BitMap] = {}
        for part in self.parts:
            for name, clusters in part.given.items():
                placement, _, version = name.partition("@")
                if placement == key:
                    found[version] = found.get(version, BitMap()) | unpacked(clusters)
        return found

    @property
    def whole(self) -> bool:
        """Whether the last part has come."""
        return bool(self.parts) and len(self.parts) == self.parts[0].parts
