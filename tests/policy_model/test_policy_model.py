"""For every history: nothing is admitted at a closed gate, and nothing waits for an open one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RULE_MARKER, run_state_machine_as_test

from tests.policy_model.model_faults import FAULTS, Fault
from tests.policy_model.model_machine import PolicyHistory
from tests.policy_model.model_people import Violation

USUAL = settings(
    max_examples=80,
    stateful_step_count=60,
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
    said, rules = FAULTS[fault]
    histories = of_rules(rules)
    fault(monkeypatch)
    with pytest.raises(Violation, match=said):
        run_state_machine_as_test(histories, settings=settings(USUAL, max_examples=400))


def of_rules(names: Iterable[str]) -> type[PolicyHistory]:
    """Return the same histories with some of their rules: what is looked for comes about sooner."""
    every = [name for name, each in vars(PolicyHistory).items() if hasattr(each, RULE_MARKER)]
    left_out = set(every) - set(names)
    assert len(left_out) == len(every) - len(set(names))
    return type("FocusedHistory", (PolicyHistory,), dict.fromkeys(left_out))
