"""The real places of the United States, and how many stores each of them gets.

Stores are apportioned by population, by largest remainders in whole numbers, so that one fleet size gives the same
counts on every machine.
"""

from __future__ import annotations

import csv
import io
import lzma
from dataclasses import dataclass
from functools import cache
from importlib import resources

PLACES_FILE = "us_places.csv.xz"


@dataclass(frozen=True, slots=True)
class Town:
    """A town: postal code of its state, name, people, IANA time zone, and the market that it belongs to."""

    state: str
    city: str
    population: int
    timezone: str
    market: str


@cache
def places() -> tuple[Town, ...]:
    """Return every place, by state and name (GeoNames data, CC BY 4.0, see `data/ATTRIBUTION.md`)."""
    packed = resources.files("cli.demo.data").joinpath(PLACES_FILE).read_bytes()
    rows = csv.reader(io.StringIO(lzma.decompress(packed).decode("ascii")))
    next(rows)
    return tuple(
        Town(state, city, int(population), timezone, market) for state, city, population, timezone, market in rows
    )


def apportion(stores: int, weights: tuple[int, ...]) -> list[int]:
    """Share out `stores` by `weights`: whole parts first, then the largest remainders, ties to the earlier place.

    The counts add up to `stores`; a place never gets more than one above or below its exact share.
    """
    total = sum(weights)
    counts = [stores * weight // total for weight in weights]
    remainders = [stores * weight % total for weight in weights]
    left = stores - sum(counts)
    for index in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[:left]:
        counts[index] += 1
    return counts
