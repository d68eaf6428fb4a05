"""Moves a branch to another layout, one step at a time, and ends the grace of deleted clusters.

The one rule: a step begins only after every cluster has made the previous one and stores have had time to pull it: Flux
must never see a Kustomization removed that still owns something.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyroaring import BitMap

from libs.contracts.instants import UNIX_EPOCH
from libs.contracts.meaning import counted
from libs.contracts.refusals import Rejected
from libs.contracts.tree import cluster_path
from libs.fleet import bitmap, is_member, ordinals, packed
from services.rendering.deciding.gating import Gating
from services.rendering.deciding.leaving import (
    cluster_closed,
    emptied_at,
    grace_ended,
    layout_behind,
    layouts_now,
    moved_at,
)
from services.rendering.events import GraceEnded, LayoutChosen
from services.rendering.writing.layout import LAYOUTS, NEWEST, OLDEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.rendering.model import Model


class LayoutStepGoesOn(Rejected):
    """Some clusters have not taken the current step of the layout yet: their gates are closed."""

    code = "layout-step-goes-on"


class LayoutStepTooSoon(Rejected):
    """Stores need time to pull and apply the current step of the layout before the next one begins."""

    code = "layout-step-too-soon"


@dataclass(frozen=True, slots=True)
class UpgradeLayout:
    """Move a branch one step towards the newest layout; `hurry` says that all stores have applied the present step."""

    branch: str
    reason: str
    hurry: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class LayoutState:
    """Which layout is chosen (by code), how many clusters are behind it, and when the last one was moved."""

    chosen: int
    behind: int
    moved_at: datetime | None
    step: timedelta

    @classmethod
    def of(cls, model: Model) -> LayoutState:
        """Return the state of a model's branch."""
        chosen = model.layout or OLDEST.code
        return cls(chosen, len(layout_behind(model)), moved_at(model), model.timing.layout_step)


def decide_next(command: UpgradeLayout, state: LayoutState) -> Sequence[LayoutChosen]:
    """Return what follows from the command; nothing on a branch with the newest layout."""
    if state.chosen == NEWEST.code:
        return []
    if state.behind:
        raise LayoutStepGoesOn(
            f"{counted(state.behind, 'cluster')} still to be moved to layout {LAYOUTS[state.chosen].name}",
            fix="wait until their gates open; GET /v1/rendering counts the clusters of each layout",
        )
    due = None if state.moved_at is None else state.moved_at + state.step
    if due is not None and command.at < due and not command.hurry:
        raise LayoutStepTooSoon(
            f"the last cluster was moved to layout {LAYOUTS[state.chosen].name} at {state.moved_at}",
            fix=f"wait until {due.isoformat()}, or pass --now when every store has applied that step",
        )
    return [LayoutChosen(command.branch, state.chosen + 1, command.reason)]


def next_step(model: Model, now: datetime) -> dict[str, Any]:
    """Return the next step and its clusters: the plan that is shown first."""
    state = LayoutState.of(model)
    live = model.trees.registered & model.fleet.selection.everything
    among = ordinals(live)
    moving = bitmap(among[model.trees.layout.values[among] != NEWEST.code])
    step = LAYOUTS[min(state.chosen + 1, NEWEST.code)]
    kept_back = cluster_closed(model, Gating(model, now)) & moving
    return {
        "from": LAYOUTS[state.chosen].name,
        "to": step.name,
        "told": step.told,
        "steps_left": NEWEST.code - state.chosen,
        "clusters": len(moving) if state.chosen != NEWEST.code else 0,
        "kept_back": len(kept_back) if state.chosen != NEWEST.code else 0,
        "layouts": {LAYOUTS[code].name: count for code, count in sorted(layouts_now(model).items())},
    }


def retired(model: Model) -> list[dict[str, Any]]:
    """Return the deleted clusters whose directories still exist: since when, until when, and what is left in them."""
    clusters = model.trees.registered - model.fleet.selection.everything
    among = ordinals(clusters)
    since = emptied_at(model, among)
    ended = is_member(grace_ended(model, clusters), among, model.size)
    left = {int(ordinal): 0 for ordinal in among}
    for placement in model.placements.by_key.values():
        for ordinal in among[placement.release.values[among] != 0].tolist():
            left[ordinal] += 1
    items = []
    for row, ordinal in enumerate(among.tolist()):
        emptied = UNIX_EPOCH + timedelta(microseconds=int(since[row]))
        until = None if left[ordinal] else emptied if ended[row] else emptied + model.timing.grace
        name = model.fleet.selection.name(ordinal)
        items.append(
            {
                "name": name,
                "store": model.fleet.selection.store_of(ordinal),
                "path": cluster_path(name),
                "deleted_at": model.fleet.declared(ordinal).at.isoformat(),
                "placements": left[ordinal],
                "until": None if until is None else until.isoformat(),
            }
        )
    return sorted(items, key=lambda each: str(each["name"]))


def end_grace(model: Model, name: str, reason: str) -> Sequence[GraceEnded] | None:
    """Return the event that removes a deleted cluster's directory now; None if there is no such cluster."""
    ordinal = model.fleet.selection.ordinal_ever(name)
    clusters = model.trees.registered - model.fleet.selection.everything
    if ordinal is None or ordinal not in clusters:
        return None
    if ordinal in grace_ended(model, clusters):
        return []
    return [GraceEnded(model.branch, packed(BitMap([ordinal])), reason)]
