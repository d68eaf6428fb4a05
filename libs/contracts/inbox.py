"""What systems outside may tell us: the CloudEvents types that mean something to us, and the data that each carries.

The one rule: a type says a fact about the world, in the words of the documents; a field that we do not know is an
error, because whoever sent it meant something by it (the dead letter can be tried again by a later version).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter

from libs.contracts.inventory import Labels

PREFIX = "dev.resedge.inbox."

T = TypeVar("T", bound=type)

_by_name: dict[str, type] = {}


def external(cls: T) -> T:
    """Register a frozen dataclass as the external type `dev.resedge.inbox.<ClassName>.v1`."""
    _by_name[f"{PREFIX}{cls.__name__}.v1"] = cls
    return cls


def external_types() -> Mapping[str, type]:
    """Every external type by name."""
    return dict(_by_name)


@cache
def adapter_of(name: str) -> TypeAdapter[Any]:
    """Return what reads the data of an external type, strictly.

    Raises:
        KeyError: there is no such type.
    """
    return TypeAdapter(_by_name[name])


@dataclass(frozen=True, slots=True)
class Hours:
    """When a store is open on some days (`mon` … `sun`), in its own time; a close before the open is the next day's."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    days: list[str]
    open: str
    close: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """One Kubernetes cluster of a store; `capacity` is in Kubernetes quantities by resource."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    labels: Labels = field(default_factory=dict)
    capacity: dict[str, str] = field(default_factory=dict)


@external
@dataclass(frozen=True, slots=True)
class StoreOpened:
    """A store exists, and is as this says, whole. Without `clusters` it has one, of its own name."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    timezone: str
    labels: Labels = field(default_factory=dict)
    hours: list[Hours] = field(default_factory=list)
    clusters: list[Cluster] | None = None


@external
@dataclass(frozen=True, slots=True)
class StoreChanged:
    """Some of what is known of a store is different now: what is given replaces what was, the rest stays.

    `hours` are those of the week: other hours on dates stay.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    timezone: str | None = None
    labels: Labels | None = None
    hours: list[Hours] | None = None
    clusters: list[Cluster] | None = None


@external
@dataclass(frozen=True, slots=True)
class StoreClosed:
    """A store is gone, and its clusters with it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str


@external
@dataclass(frozen=True, slots=True)
class LabelsChanged:
    """Some labels of a store are different now: those in `set` are put, those in `remove` go, the rest stays."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    set: Labels = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ManifestsReference:
    """Where plain manifests can be fetched, and the hex SHA-256 of exactly those bytes."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    url: str
    sha256: str


@external
@dataclass(frozen=True, slots=True)
class ReleasePublished:
    """A version of an application was built: its plain manifests, inline or by reference, never both.

    `schema` is the JSON Schema of its values, `defaults` its lowest configuration layer.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    application: str
    version: str
    manifests: str | None = None
    reference: ManifestsReference | None = None
    schema: dict[str, Any] | None = None
    defaults: dict[str, Any] | None = None


External = StoreOpened | StoreChanged | StoreClosed | LabelsChanged | ReleasePublished
