"""The events of relay; the published types are defined in libs/contracts."""

from libs.contracts import (
    ConsumerHalted,
    EventNoted,
    EventRefused,
    LetterRetried,
    LetterSettled,
    LetterSkipped,
    SourceDeclared,
    SourceMapping,
    SourceRemoved,
)

__all__ = [
    "ConsumerHalted",
    "EventNoted",
    "EventRefused",
    "LetterRetried",
    "LetterSettled",
    "LetterSkipped",
    "SourceDeclared",
    "SourceMapping",
    "SourceRemoved",
]
