"""For every history: nothing is admitted at a closed gate, and nothing waits for an open one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.policy_model.model_faults import FAULTS, Fault
from tests.policy_model.model_machine import PolicyHistory
from tests.policy_model.model_people import Violation

USUAL = settings(
    max_examples=40,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def test_no_history_admits_at_a_closed_gate_or_waits_at_an_open_one() -> None:
    run_state_machine_as_test(PolicyHistory, settings=USUAL)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_model_finds_the_fault(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    with pytest.raises(Violation) as found:
        run_state_machine_as_test(PolicyHistory, settings=settings(USUAL, max_examples=200))
    print(f"{fault.__name__}: {found.value}")
