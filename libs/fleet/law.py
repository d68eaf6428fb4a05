"""What law takes away from an application at a declaration, as warnings and refusals.

Law subtracts. A placement that law in force forbids does not exist; a declaration that would leave an application
without any placement is refused, and so is one that reaches forbidden clusters if that law says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts.refusals import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from libs.contracts import PlacementPolicyDeclared
    from libs.fleet.fleet import Fleet

SENTENCES_MAX = 10
REFUSE = "refuse"


class LawLeavesNothing(Rejected):
    """The law in force forbids the application on every cluster."""

    code = "law-leaves-nothing"


class LawForbids(Rejected):
    """The law in force forbids the application on some of these clusters."""

    code = "law-forbids"


@dataclass(frozen=True, slots=True)
class _Taken:
    """The placements that one law takes from an application: some of the `total`, `example` among them."""

    law: PlacementPolicyDeclared
    application: str
    clusters: BitMap
    total: int
    example: str

    def sentence(self) -> str:
        """Return it as a sentence."""
        return (
            f"law {self.law.name} takes {len(self.clusters):,} of {self.total:,} placements of {self.application}, "
            f"e.g. {self.example}"
        )


def taken_by_law(facts: Fleet, application: str, among: BitMap, at: datetime) -> list[_Taken]:
    """Return the placements of an application `among` that each law in force takes away, by the law's name."""
    found: list[_Taken] = []
    for each in sorted(facts.laws_of(application, at), key=lambda each: each.law.name):
        clusters = among & each.clusters
        if clusters and (each.law.name, clusters) not in ((known.law.name, known.clusters) for known in found):
            example = min(facts.selection.name(ordinal) for ordinal in clusters[:1_000])
            found.append(_Taken(each.law, application, clusters, len(among), example))
    return found


def law_warnings(facts: Fleet, placements: Iterable[tuple[str, BitMap]], at: datetime) -> list[str]:
    """Return the sentences for the placements of some applications, up to a bound."""
    if not facts.policy.every_law:
        return []
    said = [taken.sentence() for name, among in placements for taken in taken_by_law(facts, name, among, at)]
    more = [f"and {len(said) - SENTENCES_MAX:,} more such"] if len(said) > SENTENCES_MAX else []
    return said[:SENTENCES_MAX] + more


def check_law(
    facts: Fleet, application: str, among: BitMap, fresh: BitMap, at: datetime, *, pointer: str | None, fix: str
) -> None:
    """Refuse placements `among`, of which `fresh` were not there before, where law leaves none or says `refuse`.

    Raises:
        LawLeavesNothing, LawForbids: why not.
    """
    if not fresh or not facts.policy.every_law:
        return
    taken = taken_by_law(facts, application, among, at)
    if not taken:
        return
    names = [each.law.name for each in taken]
    if among <= facts.forbidden(application, at):
        raise LawLeavesNothing(
            f"{application} would have no cluster left: {'; '.join(each.sentence() for each in taken[:3])}",
            pointer=pointer,
            fix=fix,
            laws=names,
        )
    for each in taken:
        law = each.law
        if law.on_conflict == REFUSE and not each.clusters.isdisjoint(fresh):
            raise LawForbids(
                f"{each.sentence()} ({law.basis})", pointer=pointer, fix=fix, laws=[law.name], count=len(each.clusters)
            )
