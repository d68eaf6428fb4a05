"""A withheld change would open a gate; gates ignore it until somebody who may affect policy there confirms it.

The one rule: it is confirmed whole, for all of its clusters, with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.contracts import LooseningConfirmed
from services.policy.domain.checks import check_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.contracts import By
    from libs.fleet import Withheld


@dataclass(frozen=True, slots=True)
class ConfirmLoosening:
    """Confirm a change, so that it counts for gates."""

    id: str
    reason: str
    by: By
    ticket: str = ""


def decide(command: ConfirmLoosening, state: Withheld | None) -> Sequence[LooseningConfirmed]:
    """Return what follows; nothing, if it counts already (`state` is None).

    Raises:
        Invalid: no reason is given.
    """
    if state is None:
        return []
    reason = check_text(command.reason, "/reason")
    ticket = check_text(command.ticket, "/ticket") if command.ticket else ""
    return [LooseningConfirmed(id=command.id, reason=reason, by=command.by, ticket=ticket)]
