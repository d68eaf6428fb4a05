"""Freeze documents: an interval, in each store's own time or in UTC, with a reason and an owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.contracts.instants import instant_text, read_instant, read_local
from libs.web.schema import Spec, read_as
from services.policy.documents.rendering import document, one_of, saying
from services.policy.domain.checks import APPLICATIONS_MAX, check_distinct
from services.policy.domain.freezes import Command, DeclareFreeze
from services.policy.events import FreezeDeclared

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet

_EVERYWHERE = "/c/*"


class FreezeSpec(Spec):
    """The interval (`until` is exclusive); with `at: store` both are local times of each store."""

    from_: str = Field(alias="from")
    until: str
    at: str | None = None
    clusters: str = _EVERYWHERE
    applications: list[str] = Field(default_factory=list)
    reason: str
    owner: str
    signoff: str | None = None
    new_clusters: str = "pass"
    allow_empty: bool = False


def parse_freeze(written: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a freeze's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(written, kind="Freeze", spec=FreezeSpec, name=name)
    spec = read.spec
    if spec.at is not None:
        one_of(spec.at, ("store",), "/spec/at")
    check_distinct(spec.applications, "/spec/applications", count_max=APPLICATIONS_MAX)
    freeze = FreezeDeclared(
        name=read.name,
        begins=_edge(spec.from_, "/spec/from", local=spec.at is not None),
        ends=_edge(spec.until, "/spec/until", local=spec.at is not None),
        clusters=spec.clusters,
        reason=spec.reason,
        owner=spec.owner,
        local=spec.at is not None,
        applications=list(spec.applications),
        signoff=spec.signoff,
        new_clusters=one_of(spec.new_clusters, ("pass", "hold"), "/spec/new_clusters"),
        allow_empty=spec.allow_empty,
        labels=read.labels,
    )

    def make(actor: str, at: datetime) -> DeclareFreeze:
        return DeclareFreeze(freeze, actor, at)

    return read.name, make


def _edge(text: str, pointer: str, *, local: bool) -> str:
    return read_local(text, pointer).isoformat() if local else instant_text(read_instant(text, pointer))


def freeze_document(event: FreezeDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a freeze."""
    spec = {"from": event.begins, "until": event.ends}
    spec |= saying(at="store" if event.local else "", clusters=event.clusters, applications=event.applications)
    spec |= {"reason": event.reason, "owner": event.owner}
    spec |= saying(
        signoff=event.signoff,
        new_clusters="" if event.new_clusters == "pass" else event.new_clusters,
        allow_empty=event.allow_empty,
    )
    return document("Freeze", event.name, event.labels, spec)
