"""A column comes back from a snapshot as it was, whether it is full, mostly empty or empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.fleet import Extent, FleetColumn
from libs.fleet.state import column_of, plain_column

ROWS_MAX = 2_000


@pytest.mark.parametrize(
    ("dtype", "width", "fill"), [(np.int32, 0, 0), (np.int64, 0, -1), (np.uint8, 20, 0), (np.bool_, 0, False)]
)
@given(
    size=st.integers(0, ROWS_MAX), share=st.sampled_from([0.0, 0.001, 0.1, 0.45, 0.55, 1.0]), seed=st.integers(0, 99)
)
def test_a_column_is_the_same_after_a_snapshot(
    dtype: Any, width: int, fill: Any, size: int, share: float, seed: int
) -> None:
    extent = Extent(size)
    column = FleetColumn(extent, dtype, width=width, fill=fill)
    chance = np.random.default_rng(seed)
    written = np.flatnonzero(chance.random(size) < share)
    column.values[written] = chance.integers(0, 2, (len(written), width) if width else len(written))

    again = column_of(plain_column(column), extent)

    assert again.values.dtype == column.values.dtype
    assert again.fill == fill
    assert np.array_equal(again.values[:size], column.values[:size])
    extent.reach(size + 100)
    assert (again.values[size:] == fill).all()


def test_a_column_that_is_mostly_empty_takes_little_of_a_snapshot() -> None:
    column = FleetColumn(Extent(100_000), np.uint8, width=20)
    column.values[::10] = 1

    plain = plain_column(column)
    assert len(plain["bytes"]) + len(plain["rows"]) < 0.15 * column.values.nbytes
