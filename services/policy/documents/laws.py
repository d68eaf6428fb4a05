"""Placement policy documents: which applications are forbidden where, on what legal basis, in which interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.contracts.instants import instant_text, read_instant
from libs.web.schema import Spec, read_as
from services.policy.documents.rendering import document, one_of, saying
from services.policy.domain.checks import APPLICATIONS_MAX, check_distinct
from services.policy.domain.laws import FORBIDDEN, Command, DeclarePlacementPolicy
from services.policy.events import PlacementPolicyDeclared

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet

GATED, WARN = "gated", "warn"


class ForbidItem(Spec):
    """What the law forbids."""

    applications: list[str] = Field(min_length=1)


class PlacementPolicySpec(Spec):
    """The interval of the law (`until` is exclusive); without a start or an end it is unlimited there."""

    forbid: ForbidItem
    clusters: str
    basis: str
    from_: str | None = Field(default=None, alias="from")
    until: str | None = None
    enforcement: str = GATED
    on_conflict: str = WARN
    signoff: str | None = None
    allow_empty: bool = False


def parse_law(written: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a placement policy's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(written, kind="PlacementPolicy", spec=PlacementPolicySpec, name=name)
    spec = read.spec
    check_distinct(spec.forbid.applications, FORBIDDEN, count_max=APPLICATIONS_MAX)
    law = PlacementPolicyDeclared(
        name=read.name,
        applications=list(spec.forbid.applications),
        clusters=spec.clusters,
        basis=spec.basis,
        begins=None if spec.from_ is None else read_instant(spec.from_, "/spec/from"),
        ends=None if spec.until is None else read_instant(spec.until, "/spec/until"),
        enforcement=one_of(spec.enforcement, ("immediate", GATED), "/spec/enforcement"),
        on_conflict=one_of(spec.on_conflict, (WARN, "refuse"), "/spec/on_conflict"),
        allow_empty=spec.allow_empty,
        labels=read.labels,
        signoff=spec.signoff,
    )

    def make(actor: str, at: datetime) -> DeclarePlacementPolicy:
        return DeclarePlacementPolicy(law, actor, at)

    return read.name, make


def law_document(event: PlacementPolicyDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a placement policy."""
    spec = {"forbid": {"applications": event.applications}, "clusters": event.clusters, "basis": event.basis}
    spec |= saying(
        **{"from": "" if event.begins is None else instant_text(event.begins)},
        until="" if event.ends is None else instant_text(event.ends),
        enforcement="" if event.enforcement == GATED else event.enforcement,
        on_conflict="" if event.on_conflict == WARN else event.on_conflict,
        signoff=event.signoff,
        allow_empty=event.allow_empty,
    )
    return document("PlacementPolicy", event.name, event.labels, spec)
