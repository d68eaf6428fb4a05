"""The events of this service; published types are defined in libs/contracts."""

from libs.contracts import ApprovalRequested, OverrideUsed
from libs.contracts.rendering import (
    AdmissionDecided,
    AdmissionWritten,
    ConfirmationLapsed,
    ForeignCommitFound,
    RemovalsConfirmed,
    RemovalsHeld,
    WritingRestored,
)

__all__ = [
    "AdmissionDecided",
    "AdmissionWritten",
    "ApprovalRequested",
    "ConfirmationLapsed",
    "ForeignCommitFound",
    "OverrideUsed",
    "RemovalsConfirmed",
    "RemovalsHeld",
    "WritingRestored",
]
