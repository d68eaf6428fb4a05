"""The envelope of a recorded event, and the registry from type names to event classes.

The one rule: an event's bytes are made once, here, by msgspec; the log hashes and keeps exactly those bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from libs.contracts.meaning import Meaning, Mentions, Reach, Sentence

Event = Any
"""An instance of a class registered by `published`."""

T = TypeVar("T", bound=type)

_by_name: dict[str, tuple[type, msgspec.json.Decoder[Any]]] = {}
_by_class: dict[type, str] = {}
_meanings: dict[type, Meaning] = {}
_encoder = msgspec.json.Encoder()


def published(
    service: str,
    sentence: Sentence,
    reaches: Reach,
    mentions: Mentions | None = None,
    *,
    version: int = 1,
    folded: bool = True,
) -> Callable[[T], T]:
    """Register a frozen dataclass as the event type `dev.resedge.<service>.<ClassName>.v<version>`.

    `sentence` describes an event to people, `reaches` is the kind that it changes, `mentions` what else it names
    (`libs/contracts/meaning.py`). `folded` is off where it changes nothing in the fleet that processes
    hold in memory.
    """

    def register(cls: T) -> T:
        name = f"dev.resedge.{service}.{cls.__name__}.v{version}"
        _by_name[name] = (cls, msgspec.json.Decoder(cls))
        _by_class[cls] = name
        _meanings[cls] = Meaning(sentence, reaches, mentions or {}, folded)
        return cls

    return register


def event_types() -> Mapping[str, type]:
    """Every published type by name."""
    return {name: cls for name, (cls, _) in _by_name.items()}


def type_name(event: Event) -> str:
    """Return the CloudEvents type of an event."""
    return _by_class[type(event)]


def meaning_of(event: Event) -> Meaning:
    """Return the meaning of an event's type; a subclass of a published class means the same."""
    return next(_meanings[each] for each in type(event).__mro__ if each in _meanings)


def encode(event: Event) -> bytes:
    """Return the exact bytes that the log keeps (UTF-8 JSON)."""
    return _encoder.encode(event)


def decode(name: str, data: bytes) -> Event:
    """Return the event that `encode` made.

    Raises:
        UnknownEventType: no class is registered under `name`.
        msgspec.DecodeError: the bytes do not fit the class.
    """
    try:
        return _by_name[name][1].decode(data)
    except KeyError:
        raise UnknownEventType(name) from None


class UnknownEventType(LookupError):  # noqa: N818 - it states the fact
    """The log holds an event type that this version of the code does not know."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for an event that this version of the code cannot read; no consumer is ever handed one."""

    type: str
    reason: str


def stream_id(category: str, key: str) -> str:
    """Return the stream of one aggregate: `store-tx-austin-0042`, `group-/geo/us`, `release-pos-api/1.2.0`."""
    return f"{category}-{key}"


def category_of(stream: str) -> str:
    """Return the category of a stream: its id up to the first dash. Guards and head positions are per category."""
    return stream.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the log holds it: the fact (`event`) and its envelope.

    `position` counts from 1 through the whole log, `version` from 1 through the stream; `at` is `recorded_at` in UTC.
    """

    position: int
    epoch: str
    stream: str
    version: int
    type: str
    at: datetime
    actor: str
    event: Event
    hash: bytes
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
