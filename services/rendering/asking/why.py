"""Why a cluster runs what it runs: the gates in order, each open or closed, for a reason, on evidence.

The one rule: no reason is empty, and `since` is when the log recorded the newest fact of the evidence.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from libs.fleet import Fact
from libs.fleet.parts import EPOCH
from libs.gates import GATES
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
        }
        refused = case.refused([code for gate in GATES for code in gate.refusals])
        earlier = [version for version, where in fleet.fallbacks(self.application) if ordinal in where]
        other = next((version for version in earlier if version != answer["chosen"]), None)
        return {"summary": summary(answer, closed, refused, other), **answer}


<<<<<<< HEAD
    def _registered(self) -> Gate:
        live = self.ordinal in self.fleet.selection.everything
        store = self.fleet.selection.store_of(self.ordinal)
        reason = f"cluster of store {store}" if live else "the cluster was removed, or its store"
        return Gate("registered", live, reason).cite(f"store {store}", self.fleet.declared(self.ordinal))

    def _in_namespace(self) -> Gate:
        declared = self.fleet.namespaces[self.namespace]
        gate = self._selected("namespace", f"namespace {self.namespace}", declared.expression)
        return gate.cite(f"namespace {self.namespace}", self.fleet.facts.get(("namespace", self.namespace)))

    def _in_application(self) -> Gate:
        fact = self.fleet.facts.get(("application", self.application))
        if self.declared.expression is None:
            gate = _opened("application", f"it goes wherever namespace {self.namespace} does")
        else:
            gate = self._selected("application", f"application {self.application}", self.declared.expression)
        return gate.cite(f"application {self.application}", fact)

    def _selected(self, name: str, owner: str, text: str) -> Gate:
        """Explain an expression: the terms that decided, and the facts behind them."""
        expression = parsed(text)
        found = self.fleet.selection.explain(expression, self.ordinal)
        deciding = [term for term in found.terms if term[1] == found.holds] or list(found.terms)
        why = "; ".join(each for _, _, each in deciding[:3])
        gate = Gate(name, found.holds, f"{owner} {'selects' if found.holds else 'does not select'} it: {why}")
        for term, holds, each in found.terms:
            gate.cite(term, None, holds=holds, why=each)
        for path in sorted(references(expression).groups):
            for declared in self._groups_behind(path):
                gate.cite(f"group {declared}", self.fleet.facts.get(("group", declared)))
        return gate.cite(f"labels of {self.name}", self.fleet.declared(self.ordinal))

    def _groups_behind(self, path: str) -> list[str]:
        """Return the declared groups through which the cluster is in `path`; the group itself where it is not."""
        inside = self.fleet.selection.groups_of(self.ordinal)
        found = [each for each in inside if each in self.fleet.groups and f"{each}/".startswith(f"{path}/")]
        return found or [path]

    def _refusal(self, codes: Sequence[str]) -> tuple[str, str] | None:
        for refusal, clusters in self.model.placements.refusals.items():
            if refusal.key == self.key and refusal.code in codes and self.ordinal in clusters:
                return refusal.code, refusal.detail
        return None

    def _law(self) -> Gate:
        policy = self.fleet.policy
        speaking = [law for law in policy.laws.values() if self.application in law.applications]
        binding = [law for law in speaking if in_force(law, self.now) and self._bound_by_law(law.name)]
        if not binding:
            gate = _opened("law", f"no law forbids {self.application} here")
        else:
            told = "; ".join(
                f"{law.name} forbids it here ({law.basis}){self._before(self._law_withheld(law.name))}"
                for law in binding
            )
            gate = _closed("law", told)
            ends = [law.ends for law in binding if law.ends is not None]
            gate.opens_at = max(ends) if len(ends) == len(binding) else None
        for law in binding:
            fact = self.fleet.facts.get(("law", law.name))
            gate.cite(f"placement policy {law.name}", fact, basis=law.basis, enforcement=law.enforcement)
            for change in self._law_withheld(law.name):
                gate.cite(f"withheld change {change}", self.fleet.facts.get(("withheld", change)))
        return gate

    def _bound_by_law(self, law: str) -> bool:
        return self.ordinal in self.fleet.bound("law", law) or bool(self._law_withheld(law))

    def _law_withheld(self, law: str) -> list[str]:
        """Return the withheld changes without which a law would not forbid anything here any more."""
        if self.ordinal in self.fleet.bound("law", law):
            return []
        withheld = self.fleet.policy.withheld
        return [name for name, each in withheld.items() if law in each.laws and self.ordinal in each.laws[law]]

    @staticmethod
    def _before(changes: Sequence[str]) -> str:
        return f" (as it was before withheld change {', '.join(changes)})" if changes else ""

    def _approval(self) -> Gate:
        name = self.fleet.signoff_of(self.application, self.namespace)
        if name is None:
            return _opened("approval", f"changes of {self.application} need nobody's approval")
        passing = self.gating.of(self.placement)
        runs = [
            run
            for run in self.fleet.policy.approvals.values()
            if run.request.kind == "change" and run.request.subject == self.application and self.ordinal in run.clusters
        ]
        last = runs[-1] if runs else None
        if self.ordinal in passing.approval:
            asked = "" if last is None else f"; approval {last.request.id} is {last.state_at(self.now)}"
            gate = _closed("approval", f"sign-off {name} has not approved this change{asked}")
        else:
            given = "" if last is None or not last.people else f", approved by {', '.join(last.people)}"
            gate = _opened("approval", f"nothing waits for sign-off {name}{given}")
        if last is not None:
            fact = self.fleet.facts.get(("approval", last.request.id))
            gate.cite(f"approval {last.request.id}", fact, state=last.state_at(self.now), people=list(last.people))
        return gate.cite(f"sign-off {name}", self.fleet.facts.get(("signoff", name)))

    def _freeze(self) -> Gate:
        first = self.ordinal in self.gating.first
        return self._explained("freeze", self.gating.instant.explain_freeze(self.application, self.ordinal, first))

    def _window(self) -> Gate:
        first = self.ordinal in self.gating.first
        return self._explained("window", self.gating.instant.explain_window(self.application, self.ordinal, first))

    def _explained(self, name: str, found: Explained) -> Gate:
        """Return a gate as the calendars explain it; what immediate law removes passes."""
        gate = Gate(name, found.open, found.reason, opens_at=found.opens_at)
        if not found.open and self._removed_at_once():
            gate = _opened(name, f"immediate law removes it, whatever is closed: {found.reason}")
        for what, key, more in found.evidence:
            gate.cite(what, self.fleet.facts.get(key), **more)
        return gate

    def _removed_at_once(self) -> bool:
        forbidden = self.gating.forbidden_at_once(self.application)
        return self.ordinal in forbidden and self.ordinal in self.placement.pending

    def _capacity(self) -> Gate:
        refused = self._refusal((CAPACITY,))
        limits = self.fleet.cluster_capacity(self.ordinal)
        takes = self.fleet.namespaces[self.namespace].capacity
        if refused is not None:
            gate = _closed("capacity", refused[1])
        elif not takes:
            gate = _opened("capacity", f"namespace {self.namespace} takes no capacity")
        else:
            told = ", ".join(f"{resource} {figure}" for resource, figure in sorted(takes.items()))
            gate = _opened("capacity", f"namespace {self.namespace} takes {told}, which fits")
        for resource, limit in sorted(limits.items()):
            taken = int(self.fleet.taken(resource)[self.ordinal])
            gate.cite(f"{resource} of {self.name}", None, limit=_whole(limit), taken=_whole(taken))
        gate.cite(f"namespace {self.namespace}", self.fleet.facts.get(("namespace", self.namespace)))
        return gate.cite(f"capacity of {self.name}", self.fleet.declared(self.ordinal))

    def _release(self) -> Gate:
        choices = self.fleet.choices.get(self.application, ())
        fact = self.fleet.facts.get(("choices", self.application))
        for number, choice in reversed(list(enumerate(choices, 1))):
            expression = parsed(choice.expression)
            if self.fleet.selection.explain(expression, self.ordinal).holds:
                told = f"choice {number} of {len(choices)} ({choice.expression}) gives {choice.version}"
                gate = _opened("release", told)
                gate.cite(f"release choices of {self.application}", fact, expression=choice.expression)
                published = self.fleet.facts.get(("release", f"{self.application}/{choice.version}"))
                return gate.cite(f"release {choice.version}", published)
        reason = "no release is chosen" if not choices else "no release choice selects this cluster"
        return _closed("release", reason).cite(f"release choices of {self.application}", fact)

    def _values(self) -> Gate:
        try:
            combination = self.fleet.resolve(self.application, self.ordinal)
        except Exception as error:
            if not isolates(error):
                raise
            return _opened("values", f"they cannot be read (see rendered): {said(error)}")
        layers = [] if combination is None else combination.layers
        refused = self._refusal(VALUE_CODES)
        if refused is not None:
            gate = _closed("values", f"{refused[0]}: {refused[1]}{self._still_runs()}")
        else:
            gate = _opened("values", f"values come from {', '.join(layers)}" if layers else "it takes no values")
        for layer in layers:
            gate.cite(f"configuration {layer}", self.fleet.facts.get(("configuration", layer)))
        if combination is not None:
            for pointer, layer in sorted(combination.merged.origins.items()):
                gate.cite(f"value {pointer}", None, layer=layer)
        return gate.cite(f"labels of {self.name}", self.fleet.declared(self.ordinal))

    def _still_runs(self) -> str:
        version = self._version(int(self.placement.release.values[self.ordinal]))
        return f"; {version} stays, as a refusal never removes" if version else ""

    def _rendered(self) -> Gate:
        refused = self._refusal(RENDER_CODES)
        chosen = self.fleet.release_on(self.application, self.ordinal)
        release = self.fleet.releases.get((self.application, chosen or ""))
        if refused is not None:
            gate = _closed("rendered", f"{refused[0]}: {refused[1]}{self._still_runs()}")
        elif self._wanted() is None:
            gate = _opened("rendered", "nothing to render here")
        elif self._wanted() != chosen and chosen is not None and self._falls_back():
            told = f"{chosen} is refused (see values); {self._wanted()} is given instead, as fallback: previous says"
            gate = _opened("rendered", told)
        else:
            variant = self.placement.target_variant.values[self.ordinal].tobytes().hex()
            gate = _opened("rendered", f"release {self._wanted()} renders, as variant {variant[:12]}")
        fact = self.fleet.facts.get(("release", f"{self.application}/{chosen}"))
        digest = {} if release is None else {"digest": release.digest}
        return gate.cite(f"release {chosen or 'none'}", fact, **digest)

    def _falls_back(self) -> bool:
        return any(self.ordinal in clusters for clusters in self.placement.fallbacks.values())

    def _wanted(self) -> str | None:
        return self._version(int(self.placement.target_release.values[self.ordinal]))

    def _settled(self) -> Gate:
        for each in self.gating.of(self.placement).settling:
            if self.ordinal in each.clusters:
                gate = _closed("settled", "the removal is admitted once it has been wanted for a while without a break")
                gate.opens_at = each.since + self.model.timing.settle
                return gate.cite("removal wanted", None, since=each.since)
        return _opened("settled", "no removal is waiting to settle")

    def _fuse(self) -> Gate:
        hold = self.hold
        if hold is not None and self.ordinal in hold.applications.get(self.key, ()):
            told = f"its removal is one of {hold.count:,} held as plan {hold.plan}: `resedge confirm {hold.plan}`"
            return _closed("fuse", told).cite(f"plan {hold.plan}", None, count=hold.count, cause=hold.cause)
        return _opened("fuse", "no removal of it is held back")

    def _admitted(self) -> Gate:
        placement, ordinal = self.placement, self.ordinal
        code = int(placement.release.values[ordinal])
        pending = ordinal in placement.pending
        number = int(placement.admission.values[ordinal])
        admission = self.model.placements.admissions[number - 1] if number else None
        runs = self._version(code)
        if not pending and runs is not None:
            gate = _opened("admitted", f"release {runs} is admitted")
        elif not pending:
            gate = _closed("admitted", "it is not placed on this cluster, so nothing is admitted")
        elif runs is None:
            gate = _closed("admitted", f"release {self._wanted()} waits for the next admission")
        else:
            gate = _closed("admitted", f"release {runs} is admitted; {self._wanted() or 'its removal'} waits")
        if admission is not None:
            fact = Fact(admission.position, admission.at, "")
            commit = {"commit": admission.commit} if admission.commit else {}
            gate.cite("admission", fact, path=f"{self.key.split('/', 1)[0]}/{placement.file}", **commit)
        return gate
=======
def _shown(gate: Gate, case: Case, fleet: Fleet) -> dict[str, Any]:
    """Return a gate as it is answered; its evidence is facts (with position and time) and what follows from them."""
    said, newest = gate.explain(case), EPOCH
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
        "since": newest.isoformat() if newest > EPOCH else None,
        **({"opens_at": said.opens_at.isoformat()} if said.opens_at is not None and not said.open else {}),
        "evidence": evidence,
    }
>>>>>>> c72e2f1 (Make gates one ordered list that whoever asks them goes through)
