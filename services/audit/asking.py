"""The query parameters of audit, read from a request.

A parameter that cannot be read is refused, with what to write instead; an unknown actor or subject gives an empty
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches

from fastapi import Request

from libs.contracts import event_types
from libs.contracts.instants import UNIX_EPOCH
from libs.contracts.names import nearest
from libs.contracts.people import person_name
from libs.contracts.problems import Problem, invalid
from libs.contracts.refusals import Invalid
from libs.eventlog import EventLog
from libs.kinds import KINDS
from libs.web.positions import POSITION_DIGITS_MAX
from services.audit.domain import read_time
from services.audit.projections import Asked

_TEXT_CHARACTERS_MAX = 1_024
SLIP_MIN = 0.8
"""The similarity (0 to 1) from which a word counts as a mistyped kind."""

_KINDS: Mapping[str, tuple[str, ...]] = {
    **{word: tuple(kind.subject) for kind in KINDS if kind.subject for word in kind.words},
    **{each: (each,) for each in ("denial", "branch", "letter", "inbox", "log")},
}
"""Kind in `?subject=kind/name` → the kinds of subjects that are meant."""
_PATHS = {(kind.singular,) for kind in KINDS if kind.is_path}


def position(text: str, pointer: str) -> int:
    """Return a position of the log.

    Raises:
        Problem: 422, it is not a position.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > POSITION_DIGITS_MAX:
        raise invalid(f"{text[:40]!r} is not a position of the log", pointer=pointer, fix="write a whole number")
    return int(text)


def asked_of(request: Request) -> Asked:
    """Return the filters `subject`, `actor`, `type`, `from` and `until` of a query.

    Raises:
        Problem: 422, one of them cannot be read.
    """
    query = request.query_params
    for name in ("subject", "actor", "type", "from", "until"):
        if len(query.get(name, "")) > _TEXT_CHARACTERS_MAX or "\0" in query.get(name, ""):
            raise invalid(f"{name} has at most {_TEXT_CHARACTERS_MAX} characters and no NUL", pointer=f"?{name}")
    kinds, subject = subject_asked(query.get("subject") or None)
    since, until = _time(request, "from"), _time(request, "until")
    if since is not None and until is not None and until <= since:
        raise invalid("until must be later than from", pointer="?until", fix="until needs from")
    return Asked(
        subject=subject,
        kinds=kinds,
        actor=_actor(query.get("actor", "")),
        types=types_asked(query.get("type", "")),
        since=since,
        until=until,
    )


def _actor(text: str) -> str | None:
    """Return an actor as events have it, however an address or an accent was written; processes are as they are."""
    return person_name(text) or text or None


def _time(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    try:
        return read_time(text) if text else None
    except Invalid as unreadable:
        raise invalid(unreadable.detail, pointer=f"?{name}", fix=unreadable.fix) from None


def subject_asked(text: str | None) -> tuple[tuple[str, ...], str | None]:
    """Return the kinds and the name of `store/tx-austin-0042`, `stores/…`, or of a plain name (no kinds: any).

    Raises:
        Problem: 422, a kind is mistyped or has no name: an empty answer would look like proof that nothing was done.
    """
    if text is None:
        return (), None
    kind, slash, name = text.partition("/")
    kinds = _KINDS.get(kind) or _KINDS.get(kind.removesuffix("s"))
    if slash and kinds is not None and not name:
        raise invalid(f"{text[:80]!r} names no {kind}", pointer="?subject", fix=f"write {kind}/NAME")
    # Closer than elsewhere: `pos-store/1.2.0` is a release by its plain name.
    if slash and kinds is None and (near := next(iter(get_close_matches(kind, _KINDS, 1, SLIP_MIN)), None)):
        fix = f"did you mean {near}/{name[:80]}? A release is release/APPLICATION/VERSION"
        raise invalid(f"there is no kind {kind[:80]!r}", pointer="?subject", fix=fix, nearest=near)
    if kinds is None or not slash:
        return (), text
    return kinds, f"/{name.removeprefix('/')}" if kinds in _PATHS else name


def types_asked(text: str) -> tuple[str, ...]:
    """Return the event types that are meant: a whole type, `StoreDeclared`, `inventory.StoreDeclared` or `inventory`.

    Raises:
        Problem: 422, there is no such type; the nearest one is named.
    """
    if not text:
        return ()
    known: dict[str, list[str]] = {}
    for full in event_types():
        _, _, service, name, _ = full.split(".")
        for word in (full, name, f"{service}.{name}", service):
            known.setdefault(word, []).append(full)
    if text not in known:
        near = nearest(text, known)
        fix = f"did you mean {near}?" if near else "write a type such as StoreDeclared, or a service such as inventory"
        raise invalid(f"there is no event type {text[:80]!r}", pointer="?type", fix=fix, nearest=near)
    return tuple(known[text])


def range_asked(request: Request, log: EventLog) -> tuple[int, int]:
    """Return the positions (after, through] that `after`, `through`, `from` and `until` leave; reads the log.

    Raises:
        Problem: 422, one of them cannot be read, or is past the end of the log.
    """
    query, head = request.query_params, log.head().position
    after = position(query.get("after") or "0", "?after")
    through = position(query.get("through") or str(head), "?through")
    for name, value in (("after", after), ("through", through)):
        if value > head:
            raise _past(name, value, head)
    if (since := _time(request, "from")) is not None:
        after = max(after, log.position_at(_just_before(since)))
    if (until := _time(request, "until")) is not None:
        through = min(through, log.position_at(_just_before(until)))
    return after, max(after, through)


def _past(name: str, value: int, head: int) -> Problem:
    return invalid(f"the log ends at position {head}, before {value}", pointer=f"?{name}", fix=f"at most {head}")


def _just_before(time: datetime) -> datetime:
    """Return the last instant before a time; intervals are half-open, and the log counts microseconds."""
    return max(time, UNIX_EPOCH + timedelta(microseconds=1)) - timedelta(microseconds=1)
