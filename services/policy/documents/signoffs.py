"""Sign-off documents: the stages of a process, and whose votes count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.web.schema import Spec, read_as
from services.policy.documents.rendering import document, one_of, saying
from services.policy.domain.checks import check_distinct
from services.policy.domain.overrides import BREAK_GLASS_HOURS
from services.policy.domain.signoffs import COUNTED, Command, DeclareSignOff
from services.policy.events import SignOffDeclared, SignOffStage

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet

STAGES_MAX = 20
ROLES_MAX = 50
QUORUM_MAX = 100
EXPIRES_HOURS = 24.0


class StageItem(Spec):
    """A number of distinct people who each hold one of these roles."""

    roles: list[str] = Field(min_length=1)
    quorum: int = Field(default=1, ge=1, le=QUORUM_MAX)


class SignOffSpec(Spec):
    """Stages in their order, how long a run may take, and who counts besides independent people."""

    stages: list[StageItem] = Field(min_length=1, max_length=STAGES_MAX)
    expires_hours: float = EXPIRES_HOURS
    break_glass_hours: float = Field(default=BREAK_GLASS_HOURS, ge=0, le=8_760)
    count: list[str] = Field(default_factory=list)


def parse_signoff(written: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a sign-off's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(written, kind="SignOff", spec=SignOffSpec, name=name)
    for index, stage in enumerate(read.spec.stages):
        check_distinct(stage.roles, f"/spec/stages/{index}/roles", count_max=ROLES_MAX)
    for index, word in enumerate(read.spec.count):
        one_of(word, COUNTED, f"/spec/count/{index}")
    check_distinct(read.spec.count, "/spec/count", count_max=len(COUNTED))
    signoff = SignOffDeclared(
        name=read.name,
        stages=[SignOffStage(list(stage.roles), stage.quorum) for stage in read.spec.stages],
        expires_hours=float(read.spec.expires_hours),
        count=sorted(read.spec.count, key=COUNTED.index),
        labels=read.labels,
        break_glass_hours=float(read.spec.break_glass_hours),
    )

    def make(actor: str, at: datetime) -> DeclareSignOff:
        return DeclareSignOff(signoff, actor, at)

    return read.name, make


def signoff_document(event: SignOffDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a sign-off."""
    hours = int(event.expires_hours) if float(event.expires_hours).is_integer() else event.expires_hours
    spec = {
        "stages": [{"roles": stage.roles, "quorum": stage.quorum} for stage in event.stages],
        "expires_hours": hours,
        **saying(count=event.count),
        **({} if event.break_glass_hours == BREAK_GLASS_HOURS else {"break_glass_hours": event.break_glass_hours}),
    }
    return document("SignOff", event.name, event.labels, spec)
