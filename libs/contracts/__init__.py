"""Published event types and the envelope in which the log keeps them: all that services know of each other."""

from libs.contracts.catalog import (
    ApplicationDeclared,
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    NamespaceDeclared,
    NamespaceRemoved,
    ObjectRef,
    ReleaseChoice,
    ReleaseChoicesSet,
    ReleasePublished,
)
from libs.contracts.envelope import Event, Recorded, category_of, decode, encode, event_types, stream_id, type_name
from libs.contracts.grouping import GroupDeclared, GroupRemoved
from libs.contracts.inventory import ClusterSpec, Labels, OpeningHours, StoreDeclared, StoreRemoved
from libs.contracts.rendering import (
    AdmissionDecided,
    AdmissionWritten,
    ForeignCommitFound,
    RemovalsConfirmed,
    RemovalsHeld,
    WritingRestored,
)

__all__ = [
    "AdmissionDecided",
    "AdmissionWritten",
    "ApplicationDeclared",
    "ApplicationRemoved",
    "ClusterSpec",
    "ConfigurationDeclared",
    "ConfigurationRemoved",
    "Event",
    "ForeignCommitFound",
    "GroupDeclared",
    "GroupRemoved",
    "Labels",
    "NamespaceDeclared",
    "NamespaceRemoved",
    "ObjectRef",
    "OpeningHours",
    "Recorded",
    "ReleaseChoice",
    "ReleaseChoicesSet",
    "ReleasePublished",
    "RemovalsConfirmed",
    "RemovalsHeld",
    "StoreDeclared",
    "StoreRemoved",
    "WritingRestored",
    "category_of",
    "decode",
    "encode",
    "event_types",
    "stream_id",
    "type_name",
]
