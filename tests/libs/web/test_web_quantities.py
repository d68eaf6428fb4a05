import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.quantities import check_capacity, milli
from libs.contracts.refusals import Invalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1_000),
        ("4", 4_000),
        ("100m", 100),
        ("0.5", 500),
        (".5", 500),
        ("1.", 1_000),
        ("1k", 1_000_000),
        ("1Ki", 1_024_000),
        ("8Gi", 8 * 1024**3 * 1000),
        ("2M", 2 * 10**9),
        ("1e3", 1_000_000),
        ("1E3", 1_000_000),
        ("1E", 10**21),
        ("12e-1", 1_200),
        ("1n", 1),
        ("1500u", 2),
    ],
)
def test_a_quantity_is_exact_thousandths_rounded_up(text: str, expected: int) -> None:
    assert milli(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1 Gi", "1gi", "1KI", "1e", "1e999", "9" * 21, "1Ei1", "9e20", "٣"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        milli(text)


@given(st.integers(0, 10**9))
def test_for_every_number_its_thousandths_add_up(number: int) -> None:
    assert milli(f"{number}m") * 1000 == milli(f"{number}")


def test_capacity_names_the_resource_that_is_wrong() -> None:
    assert check_capacity({"cpu": 4, "memory": "8Gi"}) == {"cpu": "4", "memory": "8Gi"}
    with pytest.raises(Invalid) as refusal:
        check_capacity({"nvidia.com/gpu": "many"})
    assert refusal.value.pointer == "/spec/capacity/nvidia.com~1gpu"
