"""Events of the relay: sources, external events that changed nothing, and dead letters.

A dead letter is either an external event that was refused (`EventRefused`) or an event of the log that stopped a
consumer (`ConsumerHalted`). Both live in a stream `letter-<letter>`; `LetterRetried`, `LetterSkipped` and
`LetterSettled` record what happened next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.meaning import FLEET


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """How a foreign type is read: our `type`, and for each field of our data a JSON pointer into theirs."""

    foreign: str
    type: str
    fields: dict[str, str] = field(default_factory=dict)


@published("relay", "declared source {name} of {source}", FLEET)
@dataclass(frozen=True, slots=True)
class SourceDeclared:
    """The complete description of an external system that may send events. Stream `source-<name>`.

    `source` is the CloudEvents source that it signs with, `service_account` the actor whose token it uses over HTTP and
    under whose name its facts are recorded, `types` what it may send, `names` the globs that the names of what it
    speaks of must match (none: any), `public_key` its Ed25519 key in base64 (none: HTTP only), `manifests` the URL
    prefix from which its releases may be fetched (none: inline only).
    """

    name: str
    source: str
    service_account: str
    types: list[str]
    names: list[str] = field(default_factory=list)
    public_key: str = ""
    manifests: str = ""
    mappings: list[SourceMapping] = field(default_factory=list)


@published("relay", removed("source {name}"), FLEET)
@dataclass(frozen=True, slots=True)
class SourceRemoved:
    """An external system may no longer send events."""

    name: str
    by: By = NOBODY
    reason: str = ""


@published("relay", "took event {id} of {source}, which changed nothing", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class EventNoted:
    """An external event was valid and changed nothing. Stream `inbox-<letter>`."""

    source: str
    id: str
    type: str


def _refused(event: EventRefused) -> str:
    # A message that is not a CloudEvent may have neither a source nor an id.
    if not event.id and not event.source:
        return f"refused what came ({event.code})"
    return f"refused event {event.id or 'without id'} of {event.source or 'no source'} ({event.code})"


@published("relay", _refused, FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class EventRefused:
    """An external event was refused: `code` and `reason` say why, `body` is what came (text, cut at 64 KiB).

    `letter` is the digest of source and id (with the content's, where nobody vouched for the source); `blob` names the
    whole body's bytes where `body` is cut or was not text. `headers` is what came beside the body, `principal` whose
    token brought it (over HTTP): with them the event can be tried again exactly as it came.
    """

    letter: str
    source: str
    id: str
    type: str
    code: str
    reason: str
    body: str
    blob: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    principal: str = ""


@published("relay", "halted consumer {consumer} before position {position}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class ConsumerHalted:
    """A consumer cannot apply its next event; `letter` is `<consumer>@<position>`."""

    letter: str
    service: str
    consumer: str
    position: int
    type: str
    reason: str


@published("relay", "retried dead letter {letter}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class LetterRetried:
    """Somebody asked for a dead letter to be tried again."""

    letter: str
    reason: str


@published("relay", "skipped dead letter {letter}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class LetterSkipped:
    """Somebody decided to skip a dead letter; a consumer then continues after `position`."""

    letter: str
    reason: str
    consumer: str = ""
    position: int = 0


@published("relay", "settled dead letter {letter} ({how})", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class LetterSettled:
    """A dead letter was applied in the end."""

    letter: str
    how: str
