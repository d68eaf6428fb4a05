"""Whether API servers take what a release becomes with the values of each cluster.

The one rule: it is a function of what publishing kept with the release (`checks`) and of the values. No schema is read
here, so that an admission is decided the same way in every later version of the product. A release that was published
before there were such checks has none, and is judged by none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from libs.fleet import bitmap, distinct_rows, held
from libs.kubernetes import RELATIONS, SLOT, value_problem
from libs.templates import Reference, Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from libs.contracts import ReleasePublished
    from libs.fleet import Fleet
    from libs.templates import Input, Slot, Template
    from services.rendering.inputs import Coded

NEVER = "never-applies"
FORMAT = 1
REASONS_MAX = 20
OTHERS = "the value is refused, as others are"
_NAMES = ("cluster.name", "store.name")
_ANY_NAME = frozenset({"", "label-value", "dns-label", "dns-subdomain", "env-name", "config-key", "host"})
"""Rules that every name of a store or cluster fulfils."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one slot must be like, with the first place that asks it."""

    slot: int
    place: str
    wanted: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Relation:
    """Values that must fit together; `slots` are those among them."""

    rule: str
    place: str
    value: Any
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checks:
    """What was kept with a release."""

    demands: tuple[Demand, ...]
    relations: tuple[Relation, ...]
    missing: Mapping[str, Sequence[str]]


def never_applied(
    fleet: Fleet,
    release: ReleasePublished,
    template: Template,
    read: Mapping[Input, Coded],
    among: NDArray[np.int64],
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield (why, mask over `among`) for the clusters whose API server would refuse what the release becomes there."""
    body = fleet.blob(release.checks) if release.checks else None
    if release.checks and body is None:
        raise LookupError(f"the log lost blob {release.checks} of {release.application} {release.version}")
    if body is None:
        return
    checks = _checks(body)
    if checks.missing:
        yield from _missing(fleet, release, checks, among)
    for demand in checks.demands:
        slot = template.slots[demand.slot]
        if not _trivial(slot, demand.wanted):
            yield from _judged([slot], read, _demanding(demand, slot))
    for relation in checks.relations:
        slots = [template.slots[each] for each in relation.slots]
        yield from _judged(slots, read, _relating(relation, slots))


@lru_cache(maxsize=1024)
def _checks(body: bytes) -> Checks:
    kept = msgspec.json.decode(body)
    if kept["format"] != FORMAT:
        raise ValueError(f"checks of format {kept['format']} are not known; this code reads {FORMAT}")
    demands = tuple(Demand(slot, f"{object_} {pointer}", wanted) for slot, object_, pointer, wanted in kept["demands"])
    relations = tuple(
        Relation(rule, f"{object_} {pointer}", value, tuple(dict.fromkeys(_slots(value))))
        for rule, object_, pointer, value in kept["relations"]
    )
    return Checks(demands, relations, kept["missing"])


def _slots(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        if SLOT in value:
            yield value[SLOT]
        else:
            for each in value.values():
                yield from _slots(each)
    elif isinstance(value, list):
        for each in value:
            yield from _slots(each)


def _missing(
    fleet: Fleet, release: ReleasePublished, checks: Checks, among: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for minor, clusters in fleet.kubernetes_on(release.namespace, bitmap(among)).items():
        if lacking := checks.missing.get(minor):
            more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            yield f"{lacking[0]}{more}", held(clusters, among, fleet.selection.size)


def _trivial(slot: Slot, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a slot is nothing but a name, which fits: the one input that each cluster has its own value of."""
    only = slot.parts[0] if len(slot.parts) == 1 else None
    named = isinstance(only, Reference) and only.input.source in _NAMES
    return named and wanted.get("type") == "string" and "enum" not in wanted and wanted.get("rule", "") in _ANY_NAME


def _demanding(demand: Demand, slot: Slot) -> Callable[[Mapping[Slot, Any]], str | None]:
    def judge(values: Mapping[Slot, Any]) -> str | None:
        problem = value_problem(demand.wanted, values[slot])
        return f"{demand.place}: {problem}" if problem else None

    return judge


def _relating(relation: Relation, slots: Sequence[Slot]) -> Callable[[Mapping[Slot, Any]], str | None]:
    def judge(values: Mapping[Slot, Any]) -> str | None:
        numbered = {number: values[slot] for number, slot in zip(relation.slots, slots, strict=True)}
        part = _filled(relation.value, numbered)
        found = next(RELATIONS[relation.rule].judge(part), None)
        if found is None:
            return None
        below = "".join(f"/{each}" for each in found[0])
        return f"{relation.place}{below}: {found[1]}"

    return judge


def _filled(value: Any, values: Mapping[int, Any]) -> Any:
    if isinstance(value, dict):
        return values[value[SLOT]] if SLOT in value else {key: _filled(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    return value


def _judged(
    slots: Sequence[Slot], read: Mapping[Input, Coded], judge: Callable[[Mapping[Slot, Any]], str | None]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield what is wrong with each distinct combination of the slots' inputs, and where it is so."""
    inputs = [each for each in dict.fromkeys(one for slot in slots for one in slot.inputs) if each in read]
    if not inputs:
        return
    rows, codes = distinct_rows(np.stack([read[each].codes.astype(np.int64) for each in inputs], axis=1))
    wrong: dict[str, list[int]] = {}
    for index, row in enumerate(rows.tolist()):
        known = {each: read[each].values[code] for each, code in zip(inputs, row, strict=True)}
        try:
            problem = judge({slot: slot.value([known[each] for each in slot.inputs]) for slot in slots})
        except (Unresolved, KeyError):
            continue  # refused as unresolved
        if problem:
            # Reasons are kept one by one: as many as there are stores would be too many.
            reason = (
                problem if problem in wrong or len(wrong) < REASONS_MAX else f"{problem.partition(': ')[0]}: {OTHERS}"
            )
            wrong.setdefault(reason, []).append(index)
    for problem, indexes in wrong.items():
        yield problem, np.isin(codes, indexes)
