"""What `why`, `blocked` and the plan answer through a history that closes and opens every gate, as recorded.

`python -m tests.rendering.test_rendering_answers` records them again; do that only where an answer is meant to change.
"""

from __future__ import annotations

import asyncio
import json
import lzma
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from libs.contracts import (
    ApprovalCompleted,
    ApprovalRefused,
    ApprovalRequested,
    By,
    ConfigurationDeclared,
    FreezeDeclared,
    GroupDeclared,
    LooseningWithheld,
    OverrideRequested,
    OverrideStarted,
    PlacementPolicyDeclared,
    SignOffDeclared,
    SignOffStage,
    StoreRemoved,
)
from libs.gates import KEEPING
from services.rendering.asking.blocked import blocked
from services.rendering.asking.why import Why
from services.rendering.deciding.gating import Gating
from services.rendering.deciding.leaving import cluster_closed
from services.rendering.deciding.plan import Plan
from services.rendering.timing import Timing
from tests.rendering.rendering_gated import FREEZE, nightly, ordinals_of
from tests.support.renderer import MANIFEST, Renderer, application, choose, namespace, store

ANSWERS = Path(__file__).parents[1] / "data" / "answers-of-gates.json.xz"
APPLICATIONS = ("pos-api", "lottery", "kiosk", "twin", "signage")
GRILL = MANIFEST.replace("${edge.labels.size:-unknown}", "${edge.labels.grill}")
TWIN = MANIFEST.replace("NAME", "pos-api")
SIGNOFF = SignOffDeclared("two-eyes", [SignOffStage(["release-manager"], 1)], 24)
STORES = 8
ASKED = OverrideRequested(
    "o1", "d", b"", "/c/s-0", 60, "till broke", By("rita"), freeze="black-friday", ticket="T-1"
)  # fmt: skip


class History:
    """A renderer, and what it answered at every moment."""

    def __init__(self) -> None:
        self.renderer = Renderer(timing=Timing(timedelta(seconds=15), timedelta(days=7), timedelta(0)))
        self.answers: dict[str, Any] = {}

    async def moment(self, name: str, *events: Any, at: datetime | None = None) -> None:
        """Take some facts, move the clock, settle, and ask everything."""
        renderer = self.renderer
        renderer.facts(*events)
        renderer.now = max(renderer.now, at or renderer.now)
        await renderer.settle()
        self.answers[name] = self._asked()

    def _asked(self) -> dict[str, Any]:
        renderer = self.renderer
        model, hold, now = renderer.model, renderer.last.hold, renderer.now
        known = [each for each in APPLICATIONS if each in model.fleet.applications]
        whys = [
            Why(model, hold, ordinal, application, now).answer()
            for application in known
            for ordinal in range(model.size)
        ]
        gating = Gating(model, now, hold)
        _agree(gating)
        return {
            "why": whys,
            "blocked": blocked(model, hold, now, None, None),
            "narrowed": blocked(model, hold, now, model.fleet.selection.everything & gating.first, "pos-api"),
            "closed": {
                "everywhere": sorted(gating.everywhere_closed()),
                "pos": sorted(gating.namespace_closed("pos")),
                "clusters": sorted(cluster_closed(model, gating)),
            },
            "plan": _planned(renderer.last),
            "position": model.position,
            "commit": model.parent,
        }


def _agree(gating: Gating) -> None:
    """What a gate tells of a cluster is what it does there."""
    for key, placement in gating.model.placements.by_key.items():
        change = gating.change(placement)
        for gate in KEEPING if placement.application in gating.model.fleet.applications else ():
            kept = gate.keeps_back(change).clusters
            waiting = [ordinal for each in gate.waiting(change, kept) for ordinal in each.clusters] if kept else []
            assert sorted(waiting) == list(kept), f"{gate.name} of {key}"
            for ordinal in change.pending:
                assert gate.explain(change.on(ordinal)).open == (ordinal not in kept), f"{gate.name} of {key}"


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "until": plan.until,
        "held": None if plan.hold is None else plan.hold.plan,
        "unapproved": {key: sorted(each) for key, each in plan.unapproved.items()},
        "settling": plan.settling,
        "settled_to": plan.settled_to,
    }


async def history() -> dict[str, Any]:
    """Tell the history; return what was answered, as JSON."""
    found = History()
    renderer = found.renderer
    renderer.facts(*(store(f"s-{n}", cpu="2" if n else "500m", size="small") for n in range(STORES)))
    renderer.facts(store("s-tokyo", zone="Asia/Tokyo", cpu="4"))
    renderer.facts(GroupDeclared("/geo/us", [f"s-{n}" for n in range(STORES)]), GroupDeclared("/geo/jp", ["s-tokyo"]))
    renderer.facts(namespace("pos", "/g/geo/us or /g/geo/jp", cpu="750m"), namespace("media"))
    await found.moment("declared", application("pos-api", "pos"), application("kiosk", "pos", "not /c/s-2"))
    await found.moment(
        "released",
        ConfigurationDeclared("loud", "/c/*", ["pos-api"], values={"level": "loud"}),
        renderer.release("pos-api", "pos", "1.0.0"),
        renderer.release("pos-api", "pos", "2.0.0"),
        renderer.release("pos-api", "pos", "3.0.0", GRILL),
        choose("pos-api", ("/c/*", "1.0.0")),
    )
    renderer.facts(application("twin", "pos", "/c/s-4"), renderer.release("twin", "pos", "1.0.0", TWIN))
    renderer.facts(application("signage", "media"), renderer.release("signage", "media", "1.0.0"))
    renderer.facts(application("lottery", "media"), renderer.release("lottery", "media", "1.0.0"))
    everywhere = ("/c/*", "1.0.0")
    await found.moment("conflicts", *(choose(each, everywhere) for each in ("twin", "signage", "lottery")))
    await _waits(found)
    await _opens(found)
    await _removes(found)
    answers = json.loads(json.dumps(found.answers, default=str))
    assert isinstance(answers, dict)
    return answers


async def _waits(found: History) -> None:
    """Freeze, window, approval and law close; some of them only for some."""
    renderer = found.renderer
    local = FreezeDeclared(
        "inventory", "2026-01-03T00:00:00", "2026-01-04T00:00:00", "/g/geo/jp", "stock", "ops", local=True,
        applications=["pos-api"], new_clusters="hold",
    )  # fmt: skip
    await found.moment("frozen", FREEZE, local, choose("pos-api", ("/c/*", "2.0.0")))
    await found.moment("a new store", store("s-new", cpu="3", size="small"))
    night, own = nightly("night", "01:00", "05:00"), replace(nightly("own", "02:00", "03:00"), applications=["signage"])
    await found.moment("both", night, own, ConfigurationDeclared("s", "/c/*", ["signage"], values={"level": "x"}))
    started = OverrideStarted("o1", renderer.now, renderer.now + timedelta(hours=1), ["ana"])
    asked = replace(ASKED, clusters=ordinals_of(renderer, "s-0", "s-1", "s-2"))
    await found.moment("overridden", replace(asked), started)
    asked = replace(asked, id="o2", freeze=None, calendar="night", clusters=ordinals_of(renderer, "s-1"))
    started = OverrideStarted("o2", renderer.now, renderer.now + timedelta(hours=1), ["bo"])
    await found.moment("overridden twice", asked, started)
    law = PlacementPolicyDeclared("no-lottery", ["lottery"], "size = small", "Code 1", renderer.now)
    ends = replace(law, name="brief", clusters="/c/s-1", ends=datetime(2026, 1, 20, tzinfo=UTC), basis="Code 2")
    await found.moment("forbidden", law, ends)
    withheld = LooseningWithheld("w1", ordinals_of(renderer, "s-3", "s-5"), ["store-s-3"], "labels")
    await found.moment("withheld", withheld, store("s-3", zone="Europe/Berlin", cpu="2", size="large"))
    await found.moment("at once", replace(law, name="now", clusters="/c/s-5", enforcement="immediate"))
    await found.moment("signed off", SIGNOFF, replace(namespace("pos", "/g/geo/us or /g/geo/jp"), signoff="two-eyes"))
    await found.moment("asked", choose("pos-api", ("/c/s-7", "1.0.0"), ("not /c/s-7", "2.0.0")))


async def _opens(found: History) -> None:
    """People answer and time passes."""
    await found.moment("thawed", at=datetime(2026, 1, 2, 0, 0, tzinfo=UTC))
    await found.moment("night", at=datetime(2026, 1, 2, 7, 30, tzinfo=UTC))
    await found.moment("expired", at=datetime(2026, 1, 2, 12, 0, tzinfo=UTC))
    await found.moment("refused", ApprovalRefused(_last(found).id, _last(found).digest, "no", By("omar")))
    await found.moment("asked again", choose("pos-api", ("/c/*", "2.0.0")))
    await found.moment("approved", ApprovalCompleted(_last(found).id, _last(found).digest, ["omar"]))
    await found.moment("in Japan", at=datetime(2026, 1, 2, 16, 30, tzinfo=UTC))
    await found.moment("after the night", at=datetime(2026, 1, 5, 8, 30, tzinfo=UTC))
    await found.moment("unresolved", choose("pos-api", ("/c/*", "3.0.0")))
    fallback = replace(application("pos-api", "pos"), fallback="previous")
    await found.moment("falls back", fallback, store("s-6", cpu="2", size="small", grill="Acme"))
    await found.moment("approved anew", ApprovalCompleted(_last(found).id, _last(found).digest, ["omar", "ana"]))
    await found.moment("broken", choose("kiosk", ("/c/*", "1.0.0")), choose("pos-api", ("/c/s-1", "2.0.0")))


def _last(found: History) -> ApprovalRequested:
    return [each.event for each in found.renderer.history if isinstance(each.event, ApprovalRequested)][-1]


async def _removes(found: History) -> None:
    """Removals settle, wait for windows, and are held by the fuse."""
    renderer = found.renderer
    await found.moment("deleted", StoreRemoved("s-6"))
    await found.moment("settled", at=renderer.now + timedelta(seconds=20))
    await found.moment("at night", at=datetime(2026, 1, 6, 8, 0, tzinfo=UTC))
    await found.moment("moved away", namespace("media", "/c/s-0"), choose("signage", ("/c/s-0", "1.0.0")))
    await found.moment("held", at=renderer.now + timedelta(seconds=20))
    await found.moment(
        "hurried", replace(FREEZE, name="late", begins="2026-01-06T00:00:00Z", ends="2026-02-01T00:00:00Z")
    )
    law = PlacementPolicyDeclared("all", ["pos-api"], "/c/s-1", "Code 9", enforcement="immediate")
    await found.moment("removed at once", law)
    await found.moment("much later", at=datetime(2026, 3, 1, 8, 30, tzinfo=UTC))


def recorded() -> dict[str, Any]:
    """What was answered."""
    found = json.loads(lzma.decompress(ANSWERS.read_bytes()))
    assert isinstance(found, dict)
    return found


async def test_a_history_of_all_gates_is_answered_as_recorded() -> None:
    answers, known = await history(), recorded()

    assert list(answers) == list(known)
    for moment, answer in answers.items():
        for what, said in answer.items():
            assert said == known[moment][what], f"{moment}: {what}"


def test_the_history_closes_and_opens_every_gate() -> None:
    """Otherwise it would say little about one of them."""
    answers = recorded().values()
    found = {(gate["gate"], gate["open"]) for each in answers for why in each["why"] for gate in why["gates"]}
    names = {name for name, _ in found}

    assert found == {(name, is_open) for name in names for is_open in (True, False)}
    waiting = {line["gate"] for each in answers for line in each["blocked"]}
    assert waiting == {"refused", "fuse", "settled", "approval", "freeze", "window"}


if __name__ == "__main__":
    text = json.dumps(asyncio.run(history()), separators=(",", ":"), ensure_ascii=False)
    ANSWERS.write_bytes(lzma.compress(text.encode(), preset=9))
