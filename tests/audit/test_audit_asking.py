"""What is asked of the trail: a slip is told, never answered with nothing."""

from __future__ import annotations

import pytest

from libs.contracts.problems import Problem
from services.audit.asking import subject_asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("store/tx-1", (("store",), "tx-1")),
        ("stores/tx-1", (("store",), "tx-1")),
        ("tx-1", ((), "tx-1")),
        ("/geo/us", ((), "/geo/us")),
        ("group/geo/us", (("group",), "/geo/us")),
        ("pos-api/1.2.0", ((), "pos-api/1.2.0")),
        ("pos-store/1.2.0", ((), "pos-store/1.2.0")),
        ("release/pos-api/1.2.0", (("release",), "pos-api/1.2.0")),
    ],
)
def test_a_subject_is_a_kind_and_a_name_or_a_plain_name(text: str, asked: object) -> None:
    assert subject_asked(text) == asked


@pytest.mark.parametrize(("text", "fix"), [("stoer/tx-1", "store/tx-1"), ("store/", "store/NAME")])
def test_a_slip_in_the_kind_is_refused_with_what_was_meant(text: str, fix: str) -> None:
    with pytest.raises(Problem) as refused:
        subject_asked(text)

    assert refused.value.status == 422
    assert fix in (refused.value.fix or "")
