"""External events: the CloudEvents types that we accept, and the data of each.

A type states a fact about the world, in the words of the documents. An unknown field is an error, because the sender
meant something by it (a later version can retry the dead letter).
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
    """Return a strict decoder for the data of an external type.

    Raises:
        KeyError: there is no such type.
    """
    return TypeAdapter(_by_name[name])


@dataclass(frozen=True, slots=True)
class Hours:
    """When a store is open on some days (`mon` … `sun`), in its own time; `close` before `open` is on the next day."""

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
    """A store exists; this is its complete description. Without `clusters` it has one, with its own name."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    timezone: str
    labels: Labels = field(default_factory=dict)
    hours: list[Hours] = field(default_factory=list)
    clusters: list[Cluster] | None = None


@external
@dataclass(frozen=True, slots=True)
class StoreChanged:
    """Some facts of a store have changed: given fields replace the old ones, the rest stays.

    `hours` are the weekly ones: exceptions on dates stay.
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
    """A store and its clusters were removed."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str


@external
@dataclass(frozen=True, slots=True)
class LabelsChanged:
    """Some labels of a store have changed: those in `set` are set, those in `remove` are removed, the rest stays."""

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
