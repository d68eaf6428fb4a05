"""From a plan to the events of the log: the parts of a decision, the overrides that it uses, and held removals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import stream_id
from libs.fleet import packed
from services.rendering.events import AdmissionDecided, OverrideUsed, RemovalsHeld
from services.rendering.target.placements import split_key
from services.rendering.writing.message import NAMED_ACTORS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.rendering.deciding.plan import Plan
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model

SETS_BYTES_MAX = 180 * 1024
"""The largest encoded size of the sets in one event; the rest of its bound is for everything else in it."""
CAUSE_CHARACTERS_MAX = 2_000
NAMED_MAX = 1_000
"""Overrides, and confirmed plans, that a decision names; each override that was used is a fact of its own as well."""
_APPLICATIONS_MAX = 2_000
"""Applications that one event of a used override names."""


def compose(model: Model, planned: Plan, fencing: int) -> list[AdmissionDecided]:
    """Return a plan as the events of a decision, each within the log's bound."""
    layouts = {str(code): clusters for code, clusters in planned.layouts.items()}
    everywhere = packed(planned.clusters)
    sets = (planned.applications, planned.namespaces, layouts, planned.given)
    chunks = _split(*sets, taken=encoded_bytes("", everywhere))
    decision = planned.digest(model.parent, model.position)
    actors = sorted(model.reasons.actors)
    restoring = "Restore what is admitted" if planned.empty else planned.subject()
    return [
        AdmissionDecided(
            branch=model.branch,
            decision=decision,
            parent=model.parent,
            model_position=model.position,
            model_head=model.hash.hex(),
            part=number,
            parts=len(chunks),
            applications=applications,
            namespaces=namespaces,
            clusters=everywhere if number == 1 else b"",
            placements=planned.placements,
            removals=planned.removals,
            confirmed=planned.confirmed[:NAMED_MAX],
            subject=restoring,
            reasons=model.reasons.lines() if number == 1 else [],
            actors=actors[:NAMED_ACTORS_MAX],
            actors_count=len(actors),
            fencing=fencing,
            instant=planned.now,
            overrides=sorted(planned.used)[:NAMED_MAX],
            approved_by=list(planned.approved_by)[:NAMED_ACTORS_MAX],
            unconfirmed=planned.unconfirmed,
            layouts=laid_out,
            given=given,
        )
        for number, (applications, namespaces, laid_out, given) in enumerate(chunks, 1)
    ]


def holding_events(branch: str, hold: Hold) -> list[RemovalsHeld]:
    """Return the events that record a held plan, in parts that fit into the log."""
    everywhere = packed(hold.clusters)
    chunks = _split(hold.applications, taken=encoded_bytes("", everywhere))
    return [
        RemovalsHeld(
            branch=branch,
            plan=hold.plan,
            count=hold.count,
            admitted=hold.admitted,
            recent=hold.recent,
            cause=hold.cause[:CAUSE_CHARACTERS_MAX],
            applications=applications,
            clusters=everywhere if number == 1 else b"",
            part=number,
            parts=len(chunks),
        )
        for number, (applications,) in enumerate(chunks, 1)
    ]


def _split(*sets: Mapping[str, BitMap], taken: int = 0) -> list[tuple[dict[str, bytes], ...]]:
    """Return sets of clusters by name as chunks that fit an event: in each, for each of `sets`, some of its names.

    `taken` bytes of the first one are used by other fields.
    """
    chunks: list[tuple[dict[str, bytes], ...]] = [tuple({} for _ in sets)]
    room = SETS_BYTES_MAX - taken
    for kind, members in enumerate(sets):
        for key, clusters in sorted(members.items()):
            data = packed(clusters)
            size = encoded_bytes(key, data)
            if size > room:
                chunks.append(tuple({} for _ in sets))
                room = SETS_BYTES_MAX
            chunks[-1][kind][key] = data
            room -= size
    return chunks


def encoded_bytes(key: str, data: bytes) -> int:
    """Return the size in an event of a named set: bytes are base64 in JSON."""
    return len(key.encode()) + 4 * -(-len(data) // 3) + len('"":"",')


def uses(model: Model, planned: Plan, decision: str) -> list[tuple[str, object]]:
    """Return the events of the overrides that a decision uses: each with the changes that it let through."""
    found: list[tuple[str, object]] = []
    for override, by_key in sorted(planned.used.items()):
        request = model.fleet.policy.overrides[override].request
        clusters = BitMap.union(BitMap(), *by_key.values())
        applications = sorted(split_key(key)[1] for key in by_key)
        for start in range(0, len(applications), _APPLICATIONS_MAX):
            some = applications[start : start + _APPLICATIONS_MAX]
            used = OverrideUsed(
                id=override,
                decision=decision,
                clusters=packed(clusters),
                applications=some,
                reason=request.reason,
                ticket=request.ticket,
                part=start // _APPLICATIONS_MAX + 1,
            )
            found.append((stream_id("use", override), used))
    return found
