"""Finds the placement that is to blame if a whole plan cannot become a decision.

Only placements that fail by themselves are set aside; if none does, the plan fails as a whole and is retried.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libs.eventlog import EventTooLarge, NewEvent, check_events
from services.rendering.deciding.composing import compose, uses
from services.rendering.deciding.keeping import set_aside
from services.rendering.target.aside import isolates

if TYPE_CHECKING:
    from services.rendering.deciding.plan import Plan
    from services.rendering.model import Model


def set_aside_in(model: Model, planned: Plan, error: Exception) -> bool:
    """Set aside the placements of a plan that cannot be decided; return whether there are any."""
    if not isolates(error):
        return False
    blamed = {key: reason for key in planned.applications if (reason := _fails(model, planned, key)) is not None}
    if not blamed and isinstance(error, EventTooLarge) and planned.applications:
        largest = max(planned.applications, key=lambda key: len(planned.applications[key].serialize()))
        blamed[largest] = error
    for key, reason in blamed.items():
        set_aside(model, model.placements.by_key[key], planned.applications[key], reason, "decide")
    return bool(blamed)


def _fails(model: Model, planned: Plan, key: str) -> Exception | None:
    """Return why a placement cannot be decided by itself."""
    used = {override: {key: by_key[key]} for override, by_key in planned.used.items() if key in by_key}
    given = {name: clusters for name, clusters in planned.given.items() if name.partition("@")[0] == key}
    alone = replace(
        planned, applications={key: planned.applications[key]}, namespaces={}, layouts={}, used=used, given=given
    )
    try:
        parts = compose(model, alone, 0)
        said = [("branch-", each) for each in parts] + uses(model, alone, parts[0].decision)
        check_events([NewEvent.of(stream, each) for stream, each in said])
    except Exception as error:  # noqa: BLE001 - it is told as the reason
        return error
    return None
