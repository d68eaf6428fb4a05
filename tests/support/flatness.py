"""Whether a figure of a process stays flat: memory, open files, threads.

Only samples are compared that can be: of one run of the process once it is warm, or of two runs at about the same age.
A restart sets a leak back, so samples of unlike age would hide it, or find one that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

AGE_SECONDS_APART_MAX = 10.0
"""Samples of two runs whose ages differ by no more are of the same age."""
APART_SHARE_MIN = 0.1
"""Samples closer together than this share of the time say nothing of a slope."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process had at an instant: `run` counts its starts, `age_seconds` is since the last of them."""

    seconds: float
    run: int
    age_seconds: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Growth:
    """How much a figure grows over the time that was judged, by the median of slopes, and how much it may."""

    name: str
    grown: float
    allowed: float
    level: float
    pairs: int

    @property
    def flat(self) -> bool:
        """Whether the figure stays flat; one that could not be compared has not been shown to."""
        return self.pairs > 0 and self.grown <= self.allowed


def growth(samples: Sequence[Sample], name: str, *, share: float, least: float, warm_seconds: float) -> Growth:
    """Return how much a figure grows over the second half of the samples: the median of slopes (Theil-Sen) x its time.

    It may grow by `share` of its median, or by `least` where that is more.
    """
    end = max((each.seconds for each in samples), default=0.0)
    judged = [each for each in samples if each.seconds >= end / 2 and each.age_seconds >= warm_seconds]
    if not judged:
        return Growth(name, 0.0, least, 0.0, 0)
    duration = end - end / 2
    slopes = [
        (later.figures[name] - earlier.figures[name]) / (later.seconds - earlier.seconds)
        for place, earlier in enumerate(judged)
        for later in judged[place + 1 :]
        if later.seconds - earlier.seconds >= APART_SHARE_MIN * duration and _comparable(earlier, later)
    ]
    level = median(each.figures[name] for each in judged)
    grown = median(slopes) * duration if slopes else 0.0
    return Growth(name, grown, max(least, share * level), level, len(slopes))


def _comparable(earlier: Sample, later: Sample) -> bool:
    return earlier.run == later.run or abs(earlier.age_seconds - later.age_seconds) <= AGE_SECONDS_APART_MAX
