"""The first line of `why`: the release on a cluster and, if another one was chosen, what keeps it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.gates import KEEPING

KEEPING_NAMES = {gate.name for gate in KEEPING}


def summary(
    answer: Mapping[str, Any],
    closed: Mapping[str, Any] | None,
    refused: tuple[str, str] | None,
    earlier: str | None,
) -> str:
    """Return one sentence or two.

    `closed` is the first closed gate, `refused` why the chosen release is refused here, `earlier` the newest version
    that was chosen before it.
    """
    runs, target, chosen = answer["admitted"], answer["target"], answer["chosen"]
    what = f"Release {runs} runs here" if runs else "Nothing runs here"
    if refused is not None:
        back = f" {earlier} was chosen before; `fallback: previous` of the application would bring it back."
        told = back if earlier is not None and not runs and not target else ""
        return f"{what}: release {chosen} is refused ({refused[0]}: {refused[1]}).{told}"
    if closed is None or runs == target is not None:
        return f"{what}, as chosen." if runs is not None and runs == chosen else f"{what}."
    if runs is None and target is None:
        return f"{what}: {closed['reason']}."
    waits = f"{target} waits" if target else "its removal waits"
    keeping = next((gate for gate in answer["gates"] if gate["gate"] in KEEPING_NAMES and not gate["open"]), None)
    if keeping is None:
        return f"{what}; {waits} for the next admission."
    until = f" until {keeping['opens_at']}" if keeping.get("opens_at") else ""
    return f"{what}; {waits} for gate {keeping['gate']}{until}: {keeping['reason']}."
