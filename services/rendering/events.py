"""The events of this service; published types are defined in libs/contracts."""

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
    "ForeignCommitFound",
    "RemovalsConfirmed",
    "RemovalsHeld",
    "WritingRestored",
]
