"""Why a cluster runs its release: the gates in order, each open or closed, with a reason and evidence.

No reason is empty, and `since` is when the log recorded the newest event of the evidence.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from libs.calendars import on_the_clock
from libs.contracts.instants import UNIX_EPOCH
from libs.fleet import Fact
from libs.gates import GATES, KEEPING
from libs.gates.schedules import unreadable
from services.rendering.asking.summary import summary
from services.rendering.deciding.gating import Gating
from services.rendering.target.placements import Placement, placement_key

if TYPE_CHECKING:
    from libs.fleet import Fleet
    from libs.gates import Case, Gate
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model


class Why:
    """Answers for one cluster and one application."""

    def __init__(self, model: Model, hold: Hold | None, ordinal: int, application: str, now: datetime) -> None:
        self.model = model
        self.gating = Gating(model, now, hold)
        self.ordinal = ordinal
        self.application = application
        key = placement_key(model.fleet.applications[application].namespace, application)
        self.placement = model.placements.by_key.get(key) or Placement.new(key, model.fleet.extent)

    def answer(self) -> dict[str, Any]:
        """Return the gates in order and which releases are admitted and targeted."""
        fleet, ordinal = self.model.fleet, self.ordinal
        case = self.gating.change(self.placement).on(ordinal)
        shown = [_shown(gate, case, fleet) for gate in GATES]
        closed = next((gate for gate in shown if not gate["open"]), None)
        if closed is not None:
            closed["first_closed"] = True
        answer = {
            "cluster": case.cluster,
            "application": self.application,
            "gates": shown,
            "closed": None if closed is None else closed["gate"],
            "at": case.now.isoformat(),
            "admitted": case.stands.runs,
            "target": case.stands.wanted,
            "chosen": fleet.release_on(self.application, ordinal),
            "position": self.model.position,
            **self._earliest(case, shown),
        }
        refused = case.refused([code for gate in GATES for code in gate.refusals])
        earlier = [version for version, where in fleet.fallbacks(self.application) if ordinal in where]
        other = next((version for version in earlier if version != answer["chosen"]), None)
        return {"summary": summary(answer, closed, refused, other), **answer}

    def _earliest(self, case: Case, shown: list[dict[str, Any]]) -> dict[str, Any]:
        """Return when all gates will be open for a change that waits, and what it waits for, one after the other.

        The instant is missing if a gate waits for people, or for something that no time is known of.
        """
        keeping = {gate.name for gate in KEEPING}
        closed = [gate for gate in shown if gate["gate"] in keeping and not gate["open"]]
        if self.ordinal not in case.change.pending or not closed:
            return {}
        zone = case.fleet.zones.names[case.fleet.zone_of.values[self.ordinal]]
        timed = {"freeze", "window", "settled"}
        people = [f"gate {gate['gate']}" for gate in closed if gate["gate"] not in timed]
        unsettled = case.change.unsettled if any(gate["gate"] == "settled" for gate in closed) else ()
        settles = next((each.until for each in unsettled if self.ordinal in each.clusters), None)
        begin = settles or case.now
        waits = [] if settles is None else [f"removal until {on_the_clock(begin, zone)}"]
        opens: datetime | None = begin
        if not case.removed_at_once:
            try:
                opens, more = case.change.instant.earliest(self.application, self.ordinal, begin, first=case.first)
            except Exception as error:  # noqa: BLE001 - what cannot be judged is closed, and its gate says why
                opens, more = None, [unreadable(error)]
            waits += more
        if people or opens is None:
            told = f"no time is known: {', then '.join([*people, *waits])}"
            return {"earliest": None, "earliest_reason": told}
        told = f"earliest {on_the_clock(opens, zone)}: {', then '.join(waits)}"
        return {"earliest": opens.isoformat(), "earliest_reason": told}


def _shown(gate: Gate, case: Case, fleet: Fleet) -> dict[str, Any]:
    """Return a gate for the answer; its evidence is events (with position and time) and what follows from them."""
    said, newest = gate.explain(case), UNIX_EPOCH
    evidence = []
    for what, source, more in said.evidence:
        plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in more.items()}
        entry: dict[str, Any] = {"what": what, **plain}
        fact = source if source is None or isinstance(source, Fact) else fleet.facts.get(source)
        if fact is not None and fact.position:
            entry |= {"position": fact.position, "time": fact.at.isoformat()}
            entry |= {"actor": fact.actor} if fact.actor else {}
            newest = max(newest, fact.at)
        evidence.append(entry)
    return {
        "gate": gate.name,
        "open": said.open,
        "reason": said.reason,
        "since": newest.isoformat() if newest > UNIX_EPOCH else None,
        **({"opens_at": said.opens_at.isoformat()} if said.opens_at is not None and not said.open else {}),
        "evidence": evidence,
    }
