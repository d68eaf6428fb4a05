"""From a plan to what the log takes of it: the parts of a decision, the overrides it uses, the bytes of its commit.

The one rule: every word of a commit comes from the decision in the log, so that a rerun writes the same commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import stream_id
from libs.fleet import packed
from libs.gittree.commits import encode_commit
from services.rendering.events import AdmissionDecided, OverrideUsed, RemovalsHeld
from services.rendering.message import ACTORS_MAX, message, trailers
from services.rendering.placements import split_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.gittree import ObjectSink
    from services.rendering.carrying import Decision
    from services.rendering.domain import Hold
    from services.rendering.model import Model
    from services.rendering.plan import Plan

EVENT_BITMAP_BYTES_MAX = 150 * 1024
CAUSE_CHARACTERS_MAX = 2_000


def compose(model: Model, planned: Plan, fencing: int) -> list[AdmissionDecided]:
    """Return a plan as the events of a decision, each within the log's bound."""
    layouts = {str(code): clusters for code, clusters in planned.layouts.items()}
    chunks = split(planned.applications, planned.namespaces, layouts, planned.given)
    decision = planned.digest(model.parent, model.position)
    actors = sorted(model.reasons.actors)
    restoring = "Restore what is admitted" if planned.empty else planned.subject()
    return [
        AdmissionDecided(
            model.branch,
            decision,
            model.parent,
            model.position,
            model.hash.hex(),
            number,
            len(chunks),
            applications,
            namespaces,
            packed(planned.clusters) if number == 1 else b"",
            planned.placements,
            planned.removals,
            planned.confirmed,
            restoring,
            model.reasons.lines() if number == 1 else [],
            actors[:ACTORS_MAX],
            len(actors),
            fencing,
            planned.now,
            sorted(planned.used),
            list(planned.approved_by)[:ACTORS_MAX],
            planned.unconfirmed,
            laid_out,
            given,
        )
        for number, (applications, namespaces, laid_out, given) in enumerate(chunks, 1)
    ]


def held(branch: str, hold: Hold) -> list[RemovalsHeld]:
    """Return the fact that a plan is held, in parts that fit the log."""
    chunks = split(hold.applications)
    return [
        RemovalsHeld(
            branch,
            hold.plan,
            hold.count,
            hold.admitted,
            hold.recent,
            hold.cause[:CAUSE_CHARACTERS_MAX],
            applications,
            packed(hold.clusters) if number == 1 else b"",
            number,
            len(chunks),
        )
        for number, (applications,) in enumerate(chunks, 1)
    ]


def split(*sets: Mapping[str, BitMap]) -> list[tuple[dict[str, bytes], ...]]:
    """Return sets of clusters by name as chunks that fit an event: in each, for each of `sets`, some of its names."""
    chunks: list[tuple[dict[str, bytes], ...]] = [tuple({} for _ in sets)]
    room = EVENT_BITMAP_BYTES_MAX
    for kind, members in enumerate(sets):
        for key, clusters in sorted(members.items()):
            data = packed(clusters)
            size = len(data) + len(key)
            if size > room:
                chunks.append(tuple({} for _ in sets))
                room = EVENT_BITMAP_BYTES_MAX
            chunks[-1][kind][key] = data
            room -= size
    return chunks


def uses(model: Model, planned: Plan, decision: str) -> list[tuple[str, object]]:
    """Return what is recorded of the overrides that a decision uses: each with what went through it."""
    found: list[tuple[str, object]] = []
    for override, by_key in sorted(planned.used.items()):
        request = model.fleet.policy.overrides[override].request
        clusters = BitMap.union(BitMap(), *by_key.values())
        applications = sorted(split_key(key)[1] for key in by_key)
        used = OverrideUsed(override, decision, packed(clusters), applications, request.reason, request.ticket)
        found.append((stream_id("use", override), used))
    return found


def commit_of(model: Model, decision: Decision, tree: bytes, sink: ObjectSink) -> str:
    """Give the commit of a decision to a sink; its id depends on the log alone."""
    first = decision.first
    if decision.at is None:
        raise ValueError("a decision is carried out after the log took it")
    parents = [first.parent] if first.parent else []
    body = encode_commit(tree.hex(), parents, message(first), decision.at, trailers=trailers(first, model.epoch))
    return sink.add("commit", body).hex()
