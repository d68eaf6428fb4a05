"""Whether API servers accept a release with the values of each cluster.

The one rule: it is a function of the `checks` that publishing stored with the release, and of the values. No schema is
read here, so that every later version of the product decides an admission in the same way. A release from before there
were such checks is not checked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from libs.contracts.names import NAME_CHARACTERS_MAX
from libs.fleet import bitmap, compact, distinct_rows, is_member
from libs.kubernetes import RELATIONS, SLOT, value_problem
from libs.templates import MISSING, Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from libs.contracts import ReleasePublished
    from libs.fleet import Fleet
    from libs.templates import Input, Slot, Template
    from services.rendering.target.inputs import Coded

_FORMAT = 1
_REASONS_MAX = 20
_OTHERS = "the value is refused, like others"
Judge: TypeAlias = "Callable[[Sequence[Any]], str | None]"
"""Returns what is wrong with the values of some slots, in their order."""
_NAMES = ("cluster.name", "store.name")
_ANY_NAME = frozenset({"", "label-value", "dns-label", "dns-subdomain", "env-name", "config-key", "host"})
"""Rules that every name of a store or cluster fulfils."""


@dataclass(frozen=True, slots=True)
class _Demand:
    """The requirement on one slot, with the first place that has it."""

    slot: int
    place: str
    wanted: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Relation:
    """Values that must fit together; `slots` are those among them."""

    rule: str
    place: str
    value: Any
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks that were stored with a release."""

    demands: tuple[_Demand, ...]
    relations: tuple[_Relation, ...]
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
        judge = _demanding(demand)
        if _around_a_name(slot, demand.wanted):
            yield from _judged_by_length(slot, read, judge)
        else:
            yield from _judged([slot], read, judge)
    for relation in checks.relations:
        slots = [template.slots[each] for each in relation.slots]
        if relation.rule != "bytes" or _longest(relation.value, slots, read) > relation.value["max"]:
            yield from _judged(slots, read, _relating(relation))


@lru_cache(maxsize=1024)
def _checks(body: bytes) -> Checks:
    kept = msgspec.json.decode(body)
    if kept["format"] != _FORMAT:
        raise ValueError(f"checks of format {kept['format']} are not known; this code reads {_FORMAT}")
    demands = tuple(_Demand(slot, f"{object_} {pointer}", wanted) for slot, object_, pointer, wanted in kept["demands"])
    relations = tuple(
        _Relation(rule, f"{object_} {pointer}", value, tuple(dict.fromkeys(_slots(value))))
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
            yield f"{lacking[0]}{more}", is_member(clusters, among, fleet.selection.size)


def _around_a_name(slot: Slot, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a slot is text around one name, so that only the length of the name decides.

    Names are the one input that is different on each cluster, and all of them are DNS labels.
    """
    named = len(slot.inputs) == 1 and slot.inputs[0].source in _NAMES
    return named and wanted.get("type") == "string" and "enum" not in wanted and wanted.get("rule", "") in _ANY_NAME


def _judged_by_length(slot: Slot, read: Mapping[Input, Coded], judge: Judge) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield what `_judged` does, having judged one name of each length; all names only of a length that is refused."""
    coded = read[slot.inputs[0]]
    used, places = compact(coded.codes)
    lengths = np.fromiter((len(coded.values[code]) for code in used.tolist()), np.int32, len(used))
    bad = [
        length
        for length in np.unique(lengths).tolist()
        if judge([slot.value([coded.values[int(used[np.argmax(lengths == length)])]])])
    ]
    if not bad:
        return
    rows = np.isin(lengths, bad)[places]
    some = {slot.inputs[0]: replace(coded, codes=coded.codes[rows])}
    for problem, here in _judged([slot], some, judge):
        mask = np.zeros(len(rows), np.bool_)
        mask[rows] = here
        yield problem, mask


def _demanding(demand: _Demand) -> Judge:
    def judge(values: Sequence[Any]) -> str | None:
        problem = value_problem(demand.wanted, values[0])
        return f"{demand.place}: {problem}" if problem else None

    return judge


def _relating(relation: _Relation) -> Judge:
    def judge(values: Sequence[Any]) -> str | None:
        part = _filled(relation.value, dict(zip(relation.slots, values, strict=True)))
        found = next(RELATIONS[relation.rule].judge(part), None)
        if found is None:
            return None
        below = "".join(f"/{each}" for each in found[0])
        return f"{relation.place}{below}: {found[1]}"

    return judge


def _longest(part: Mapping[str, Any], slots: Sequence[Slot], read: Mapping[Input, Coded]) -> int:
    """Return the largest size in bytes of a part, over all values of the clusters."""
    longest: dict[Input, int] = {}
    for each in dict.fromkeys(one for slot in slots for one in slot.inputs):
        if each.source in _NAMES:
            longest[each] = NAME_CHARACTERS_MAX
        elif each in read:
            values = (read[each].values[code] for code in compact(read[each].codes)[0].tolist())
            longest[each] = max((_bytes(value) for value in values), default=0)
    of_slot = {number: _slot_bytes(slot, longest) for number, slot in zip(_slots_of(part), slots, strict=True)}
    return int(part["constant"]) + sum(of_slot[each[SLOT]] for each in part["open"])


def _slots_of(part: Any) -> list[int]:
    return list(dict.fromkeys(_slots(part)))


def _slot_bytes(slot: Slot, longest: Mapping[Input, int]) -> int:
    return sum(
        len(part.encode())
        if isinstance(part, str)
        else max(longest.get(part.input, 0), len(part.default_text.encode()))
        for part in slot.parts
    )


def _bytes(value: Any) -> int:
    if value is MISSING:
        return 0
    return len(value.encode("utf-8", "replace") if isinstance(value, str) else msgspec.json.encode(value))


def _filled(value: Any, values: Mapping[int, Any]) -> Any:
    if isinstance(value, dict):
        return values[value[SLOT]] if SLOT in value else {key: _filled(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    return value


def _judged(
    slots: Sequence[Slot], read: Mapping[Input, Coded], judge: Judge
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
            problem = judge([slot.value([known[each] for each in slot.inputs]) for slot in slots])
        except (Unresolved, KeyError):
            continue  # refused as unresolved
        if problem:
            # Reasons are stored one by one: one for each store would be too many.
            reason = (
                problem if problem in wrong or len(wrong) < _REASONS_MAX else f"{problem.partition(': ')[0]}: {_OTHERS}"
            )
            wrong.setdefault(reason, []).append(index)
    for problem, indexes in wrong.items():
        yield problem, np.isin(codes, indexes)
