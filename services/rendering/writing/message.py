"""The message of a commit: what changed, why, after which position, by whom.

The one rule: every word comes from the decision in the log, so that a rerun writes the same commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.gittree import Trailer
from libs.gittree.commits import encode_commit

if TYPE_CHECKING:
    from libs.contracts import AdmissionDecided
    from libs.gittree import ObjectSink
    from services.rendering.model import Model
    from services.rendering.model.decision import DecidedAdmission

NAMED_ACTORS_MAX = 20


def message(decision: AdmissionDecided) -> str:
    """Return a commit's message without its trailers."""
    reasons = [f"- {line}" for line in decision.reasons]
    return "\n".join([decision.subject, *(["", *reasons] if reasons else [])])


def trailers(decision: AdmissionDecided, epoch: str) -> list[Trailer]:
    """Return a commit's trailers: the log's epoch, position and chain hash, the people, overrides."""
    found = [
        Trailer("Epoch", epoch),
        Trailer("Position", str(decision.model_position)),
        Trailer("Head", decision.model_head),
    ]
    found += [Trailer("Actor", actor) for actor in decision.actors]
    if decision.actors_count > len(decision.actors):
        found.append(Trailer("Actor", f"and {decision.actors_count - len(decision.actors)} more"))
    found += [Trailer("Approved-by", person) for person in decision.approved_by]
    found += [Trailer("Override", override) for override in decision.overrides]
    return found


def commit_of(model: Model, decision: DecidedAdmission, tree: bytes, sink: ObjectSink) -> str:
    """Write the commit of a decision into a sink; its id depends on the log alone."""
    first = decision.first
    parents = [first.parent] if first.parent else []
    body = encode_commit(tree.hex(), parents, message(first), decision.taken_at, trailers=trailers(first, model.epoch))
    return sink.add("commit", body).hex()
