"""The state of a thing that is not declared, the same for every kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Absent:
    """Not declared: never, or no longer."""
