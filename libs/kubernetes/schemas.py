"""The APIs of one Kubernetes minor version: its kinds and the schemas of their types.

The packs are made by scripts/kubernetes_schemas.py from Kubernetes' own OpenAPI document; one is read when it is first
asked for. The words are OpenAPI's (`type`, `properties`, `x-kubernetes-list-map-keys`, …), so that the schema of a
CustomResourceDefinition is read by the same code.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from libs.contracts.refusals import Invalid

PACKS = Path(__file__).parent / "packs"
_VERSION = re.compile(r"v?(1\.[0-9]{1,3})(?:\.[0-9]{1,3})?(?:[-+][0-9A-Za-z.+-]{1,40})?", re.ASCII)

TypeSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind that can be applied: the name of its type, and whether its objects have a namespace."""

    type: str
    namespaced: bool


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """One version of Kubernetes; `custom` are the schemas of kinds that CustomResourceDefinitions add."""

    minor: str
    kinds: Mapping[str, Mapping[str, _Kind]]
    types: Mapping[str, TypeSchema]
    custom: Mapping[tuple[str, str], TypeSchema] = field(default_factory=dict)

    def schema(self, api_version: str, kind: str) -> tuple[str, TypeSchema] | None:
        """Return the (type's name, schema) of a kind; a custom one has no name; None where there is no such API."""
        known = self.kinds.get(api_version, {}).get(kind)
        if known is not None:
            return known.type, self.types[known.type]
        custom = self.custom.get((api_version, kind))
        return None if custom is None else ("", custom)

    def versions_of(self, api_version: str, kind: str) -> list[str]:
        """Return the versions of the group that serve a kind."""
        group = api_version.rpartition("/")[0]
        return sorted(each for each, kinds in self.kinds.items() if each.rpartition("/")[0] == group and kind in kinds)


@lru_cache(maxsize=1)
def minors() -> tuple[str, ...]:
    """Return the minor versions whose schemas are at hand, oldest first."""
    found = (path.name.removesuffix(".json.xz") for path in PACKS.glob("*.json.xz"))
    return tuple(sorted(found, key=lambda minor: int(minor.split(".")[1])))


def newest() -> str:
    """Return the newest minor version at hand."""
    return minors()[-1]


def minor_of(version: str) -> str | None:
    """Return the minor version that a text such as 1.31, v1.31.4 or v1.31.4+k3s1 names, whether known or not."""
    match = _VERSION.fullmatch(version)
    return match[1] if match else None


def check_kubernetes_version(version: str, pointer: str = "/spec/kubernetes") -> str:
    """Return the minor version that a document names, empty where it names none.

    Raises:
        Invalid: the text is not a version of Kubernetes.
    """
    if not version:
        return ""
    minor = minor_of(version)
    if minor is None:
        raise Invalid(
            f"{version[:80]!r} is not a version of Kubernetes",
            pointer=pointer,
            fix='write the minor version in quotes, such as "1.31"',
        )
    return minor


@lru_cache(maxsize=16)
def kubernetes(minor: str) -> Kubernetes:
    """Return a version by its minor (`1.31`).

    Raises:
        LookupError: there is no pack of it.
    """
    if minor not in minors():
        raise LookupError(f"no schemas of Kubernetes {minor}; known: {', '.join(minors())}")
    read = msgspec.json.decode(lzma.decompress((PACKS / f"{minor}.json.xz").read_bytes()))
    kinds = {
        api: {name: _Kind(type_, namespaced) for name, (type_, namespaced) in each.items()}
        for api, each in read["kinds"].items()
    }
    return Kubernetes(minor, kinds, read["types"])
