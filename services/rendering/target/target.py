"""The target: what each cluster should have once every gate opens.

The one rule: it is a function of the facts. Admission, replay and verification all use this module, so that they get
the same result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pyroaring import BitMap

from libs.contracts.quantities import milli
from libs.fleet import UNLIMITED, bitmap, ordinals
from libs.gates.refusals import CONFLICT, INVALID, NEVER_APPLIES, OTHER_NAMESPACE, SET_ASIDE, UNRESOLVED
from libs.templates import Reference, Slot, Template, Unresolved
from services.rendering.target.applying import never_applied
from services.rendering.target.aside import isolates, reason_text
from services.rendering.target.inputs import CONSTANT_SOURCES, Coded, constant, fingerprints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from libs.contracts import ReleasePublished
    from libs.fleet import Combination, Fleet
    from libs.templates import Input
    from services.rendering.target.inputs import Inputs

Placeholder = tuple[Literal["typed", "text"], Reference]
"""A reference of a template and the mode of its slot."""


@dataclass(frozen=True, slots=True)
class TargetPart:
    """One release on some clusters, with all inputs of its template there."""

    release: ReleasePublished
    template: Template
    among: NDArray[np.int64]
    inputs: dict[Input, Coded]
    variants: NDArray[np.uint64]

    def only(self, kept: NDArray[np.bool_]) -> TargetPart:
        """Return the part on fewer clusters."""
        inputs = {
            each: Coded(coded.values, coded.codes[kept], coded.digests, coded.own)
            for each, coded in self.inputs.items()
        }
        return TargetPart(self.release, self.template, self.among[kept], inputs, self.variants[kept])


@dataclass(slots=True)
class Wanted:
    """The target of one application on some clusters: parts that can be rendered, and refusals."""

    parts: list[TargetPart] = field(default_factory=list)
    refused: dict[tuple[str, str], BitMap] = field(default_factory=dict)
    chosen: list[tuple[str, BitMap]] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    """The releases that were set aside, by version."""

    def refuse(self, code: str, detail: str, clusters: NDArray[np.int64]) -> None:
        """Record that the application cannot be rendered on some clusters."""
        if len(clusters):
            self.refused[code, detail] = self.refused.get((code, detail), BitMap()) | bitmap(clusters)


def wanted(
    fleet: Fleet,
    inputs: Inputs,
    application: str,
    among: NDArray[np.int64],
    at: datetime,
    given: Mapping[str, BitMap] | None = None,
    *,
    isolating: bool = False,
) -> Wanted:
    """Return the target of `application`, by facts and law at an instant, on the clusters of `among` (ascending).

    `given` are clusters that get this version whatever is chosen for them. Capacity is not considered. With
    `isolating`, a release that cannot be evaluated is refused, and the others are not; decided admissions are evaluated
    without it.
    """
    answer = Wanted()
    if application not in fleet.applications:
        return answer
    here = bitmap(among) & fleet.placed(application) & fleet.selection.everything
    here -= fleet.forbidden(application, at)
    given = given or {}
    elsewhere = BitMap.union(BitMap(), *given.values())
    chosen = [(version, clusters - elsewhere) for version, clusters in fleet.chosen(application)]
    for version, clusters in (*chosen, *given.items()):
        selected = here & clusters
        release = fleet.releases.get((application, version))
        if selected and release is not None and release.namespace != fleet.applications[application].namespace:
            answer.chosen.append((version, selected))
            detail = f"release {version} was published for namespace {release.namespace}; publish it again"
            answer.refuse(OTHER_NAMESPACE, detail, ordinals(selected))
        elif selected and release is not None:
            answer.chosen.append((version, selected))
            try:
                _add(fleet, inputs, release, selected, answer)
            except Exception as error:
                if not isolating or not isolates(error):
                    raise
                answer.failed[version] = error
                answer.refuse(SET_ASIDE, reason_text(error), ordinals(selected))
    return answer


def fall_back(fleet: Fleet, inputs: Inputs, application: str, at: datetime, answer: Wanted) -> dict[str, BitMap]:
    """Give clusters where the chosen release is refused the newest earlier choice that renders there.

    Adds to the parts of `answer`, whose refusals stay; returns the clusters by the version that they get.
    """
    left = BitMap.union(BitMap(), *answer.refused.values())
    found: dict[str, BitMap] = {}
    for version, clusters in fleet.fallbacks(application):
        some = left & clusters
        if not some or (application, version) not in fleet.releases:
            continue
        tried = wanted(fleet, inputs, application, ordinals(some), at, {version: some}, isolating=True)
        for part in tried.parts:
            rendered = bitmap(part.among)
            answer.parts.append(part)
            found[version] = found.get(version, BitMap()) | rendered
            left = left - rendered
    return found


def _add(fleet: Fleet, inputs: Inputs, release: ReleasePublished, selected: BitMap, answer: Wanted) -> None:
    among = ordinals(selected)
    template, references = _template(release_bodies(fleet, release))
    combined = fleet.combine(release.application, release.version, selected)
    refused = _refused_values(combined, among, answer)
    read: dict[Input, Coded] = {}
    for each in template.inputs:
        if each.source not in CONSTANT_SOURCES:
            read[each] = inputs.read(each, among, combined)
    refused |= _unresolved(references, read, among, answer)
    for why, here in never_applied(fleet, release, template, read, among):
        answer.refuse(NEVER_APPLIES, why, among[here & ~refused])
        refused |= here
    seed = f"{release.digest}\0{release.version}\0{release.namespace}\0{release.application}".encode()
    variants = fingerprints(seed, [read[each] for each in sorted(read)], len(among))
    part = TargetPart(release, template, among, read, variants)
    if refused.any():
        part = part.only(~refused)
    if len(part.among):
        answer.parts.append(part)


def _refused_values(
    combined: tuple[NDArray[np.int32], Sequence[Combination]], among: NDArray[np.int64], answer: Wanted
) -> NDArray[np.bool_]:
    codes, combinations = combined
    refused = np.zeros(len(among), np.bool_)
    for code, combination in enumerate(combinations):
        if not combination.conflicts and not combination.problems:
            continue
        here = codes == code
        refused |= here
        if combination.conflicts:
            conflict = combination.conflicts[0]
            detail = f"{' and '.join(conflict.layers)} have equal rank and set {conflict.key} differently"
            answer.refuse(CONFLICT, detail, among[here])
        else:
            answer.refuse(INVALID, combination.problems[0], among[here])
    return refused


def _unresolved(
    references: Sequence[Placeholder], read: dict[Input, Coded], among: NDArray[np.int64], answer: Wanted
) -> NDArray[np.bool_]:
    refused = np.zeros(len(among), np.bool_)
    for mode, reference in references:
        coded = read.get(reference.input)
        if coded is None:
            continue
        for code, why in _unusable(mode, reference, coded.values).items():
            here = (coded.codes == code) & ~refused
            answer.refuse(UNRESOLVED, why, among[here])
            refused |= here
    return refused


def _references(template: Template) -> tuple[Placeholder, ...]:
    found = {(slot.mode, part): None for slot in template.slots for part in slot.parts if isinstance(part, Reference)}
    return tuple(found)


def _unusable(mode: Literal["typed", "text"], reference: Reference, values: Sequence[Any]) -> dict[int, str]:
    """Return per code why the placeholder cannot take that value.

    Names always exist, labels are text or missing (code 0); only configuration can have values that do not fit.
    """
    alone = Slot((reference,), mode, (reference.input,))
    source = reference.input.source
    doubtful = values if source == "config" else values[:1] if source == "labels" else ()
    found = {}
    for code, value in enumerate(doubtful):
        try:
            alone.encode([value])
        except Unresolved as unresolved:
            found[code] = unresolved.reason
    return found


def constants(part: TargetPart) -> dict[Input, str]:
    """Return the inputs that are the same on every cluster."""
    release = part.release
    return {
        each: constant(each, release.application, release.version, release.namespace)
        for each in part.template.inputs
        if each.source in CONSTANT_SOURCES
    }


def template_of(fleet: Fleet, release: ReleasePublished) -> Template:
    """Return a release's compiled template.

    Raises:
        LookupError: the log does not hold the body that the event names.
    """
    return _template(release_bodies(fleet, release))[0]


def release_bodies(fleet: Fleet, release: ReleasePublished) -> bytes:
    """Return a release's template as published; its schema and its defaults are there too.

    Raises:
        LookupError: the log does not hold a body that the event names.
    """
    found = [fleet.blob(each) for each in (release.template, release.schema, release.defaults) if each]
    if found[0] is None or None in found:
        raise LookupError(f"the log lost a body of release {release.version} of {release.application}")
    return found[0]


@lru_cache(maxsize=1024)
def _template(body: bytes) -> tuple[Template, tuple[Placeholder, ...]]:
    template = Template.from_bytes(body)
    return template, _references(template)


def over_capacity(
    fleet: Fleet, admitted: Callable[[str, int], bool], among: NDArray[np.int64]
) -> dict[str, tuple[str, BitMap]]:
    """Return per namespace the (resource, clusters) for which its capacity is not free.

    Namespaces that are admitted on a cluster keep their place; the others come by name, each if it still fits.
    """
    limits = {resource: column.values[among] for resource, column in fleet.capacity.items()}
    crowded = np.zeros(len(among), np.bool_)
    for resource, limit in limits.items():
        crowded |= (limit != UNLIMITED) & (fleet.taken(resource)[among] > limit)
    if not crowded.any():
        return {}
    here = bitmap(among[crowded])
    takes = {
        name: {resource: milli(text) for resource, text in namespace.capacity.items() if resource in fleet.capacity}
        for name, namespace in sorted(fleet.namespaces.items())
    }
    member = {name: fleet.selection.saved(("in", name)) & here for name, take in takes.items() if take}
    found: dict[str, tuple[str, BitMap]] = {}
    for row in np.flatnonzero(crowded).tolist():
        ordinal = int(among[row])
        left = {resource: int(limit[row]) for resource, limit in limits.items() if limit[row] != UNLIMITED}
        inside = [(not admitted(name, ordinal), name) for name, some in member.items() if ordinal in some]
        for comes_new, name in sorted(inside):
            short = next((each for each, take in takes[name].items() if each in left and take > left[each]), None)
            if short is not None and comes_new:
                found.setdefault(name, (short, BitMap()))[1].add(ordinal)
                continue
            for resource in left.keys() & takes[name].keys():
                left[resource] -= takes[name][resource]
    return found
