"""Changes of a release to objects that clusters already have from the release chosen there now.

A change of an immutable field is refused when the release is chosen, not when a store applies it. The chosen release
counts as admitted: a choice that was never admitted can be removed first.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from libs.contracts.meaning import counted
from libs.contracts.refusals import Rejected
from libs.kubernetes import Manifest, OpenSlot, immutable_changes
from libs.templates import Template, outline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyroaring import BitMap

    from libs.fleet import Fleet
    from libs.kubernetes import Finding
    from libs.templates import Slot


class ImmutableField(Rejected):
    """The release changes a field that no API server ever changes."""

    code = "immutable-field"


def check_changes(
    facts: Fleet, key: tuple[str, str], fresh: BitMap, before: Mapping[str, BitMap], pointer: str | None
) -> None:
    """Refuse a release (application, version) for `fresh` clusters where it changes what cannot be changed.

    `before` is where each version is chosen now.

    Raises:
        ImmutableField: with the object, the field and the way out.
    """
    for version, clusters, finding in _changes(facts, key, fresh, before):
        if finding.never:
            example = facts.selection.name(clusters[0])
            where = f"release {version} is chosen on {len(clusters):,} of these clusters, {example} among them"
            raise ImmutableField(
                f"{finding.object} {finding.pointer}: {finding.detail} ({where})",
                pointer=pointer,
                fix=finding.fix,
                object=finding.object,
                field=finding.pointer,
                cluster=example,
            )


def change_warnings(facts: Fleet, key: tuple[str, str], fresh: BitMap, before: Mapping[str, BitMap]) -> list[str]:
    """Return changes that an API server may refuse, depending on its defaults or on a cluster's values."""
    return [
        f"{finding} (on {counted(len(clusters), 'cluster')} running {version})"
        for version, clusters, finding in _changes(facts, key, fresh, before)
        if not finding.never
    ]


def _changes(
    facts: Fleet, key: tuple[str, str], fresh: BitMap, before: Mapping[str, BitMap]
) -> Iterator[tuple[str, BitMap, Finding]]:
    application, version = key
    for old, clusters in before.items():
        here = fresh & clusters
        if not here or old == version:
            continue
        was, new = _manifests(facts, (application, old)), _manifests(facts, key)
        for finding in immutable_changes(was, new):
            yield old, here, finding


def _manifests(facts: Fleet, key: tuple[str, str]) -> list[Manifest]:
    release = facts.releases.get(key)
    body = None if release is None else facts.blob(release.template)
    return [] if body is None else _read(body)


@lru_cache(maxsize=16)
def _read(body: bytes) -> list[Manifest]:
    template = Template.from_bytes(body)
    values = outline(template).values(lambda place: _open(template.slots[place]))
    return [
        Manifest(each.api_version, each.kind, each.namespace, each.name, value)
        for each, value in zip(template.objects, values, strict=True)
    ]


def _open(slot: Slot) -> OpenSlot:
    """Return what stands for a slot in both releases alike: equal slots write equal values from equal values."""
    identity = hashlib.blake2b(f"{slot.mode} {slot.parts!r}".encode(), digest_size=8).digest()
    return OpenSlot(int.from_bytes(identity), slot.mode == "text")
