"""The events of this service; published types are defined in libs/contracts."""

from libs.contracts import ApprovalRequested, OverrideUsed
from libs.contracts.rendering import (
    AdmissionDecided,
    AdmissionWritten,
    ConfirmationAccepted,
    ConfirmationLapsed,
    ForeignCommitFound,
    GraceEnded,
    LayoutChosen,
    RemovalsConfirmed,
    RemovalsHeld,
    WritingRestored,
)

__all__ = [
    "AdmissionDecided",
    "AdmissionWritten",
    "ApprovalRequested",
    "ConfirmationAccepted",
    "ConfirmationLapsed",
    "ForeignCommitFound",
    "GraceEnded",
    "LayoutChosen",
    "OverrideUsed",
    "RemovalsConfirmed",
    "RemovalsHeld",
    "WritingRestored",
]
