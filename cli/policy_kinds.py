"""What policy holds without being declared: overrides, approvals, tokens, withheld changes, openings, what waits.

The one rule: a table shows what a person acts on (id, state, what is missing); everything else is in `wide` and `json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cli.kind import Kind
from cli.output import Column, Item, field

OPENINGS_SHOWN = 3


def _closed(item: Item) -> str:
    return f"freeze {item['freeze']}" if item.get("freeze") else f"calendar {item.get('calendar')}"


def _person(path: str) -> Any:
    read = field(path)

    def person(item: Item) -> object:
        value = read(item)
        return value.get("person") if isinstance(value, Mapping) else value

    return person


def missing(item: Item) -> str:
    """Return what an approval still needs in its stage: `1 of release-manager`; empty when nothing is asked for."""
    stages, stage = item.get("stages"), item.get("stage")
    if not isinstance(stages, list) or not isinstance(stage, int) or not 0 < stage <= len(stages):
        return ""
    wanted = stages[stage - 1]
    return f"{wanted.get('missing')} of {' or '.join(map(str, wanted.get('roles') or ()))}"


def _stage(item: Item) -> str:
    stages = item.get("stages")
    return f"{item['stage']}/{len(stages)}" if item.get("stage") and isinstance(stages, list) else ""


def store_time(begin: object, end: object = None) -> str:
    """Return an instant, or an interval, as the clock on the store's wall shows it, with its offset from UTC.

    The day of the end and its offset are told where they are others.
    """
    first = _instant(begin)
    if first is None:
        return ""
    last = _instant(end)
    if last is None:
        return f"{first:%a %Y-%m-%d %H:%M}{_offset(first)}"
    told = f"{last:%H:%M}" if last.date() == first.date() else f"{last:%a %Y-%m-%d %H:%M}"
    between = "" if last.utcoffset() == first.utcoffset() else _offset(first)
    return f"{first:%a %Y-%m-%d %H:%M}{between} to {told}{_offset(last)}"


def _instant(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _offset(at: datetime) -> str:
    return f" {at.isoformat()[-6:]}" if at.tzinfo is not None else ""


def _openings(item: Item) -> str:
    if item.get("never_opens"):
        return "never opens"
    openings = [each for each in item.get("openings") or () if isinstance(each, Mapping)]
    told = [store_time(each.get("from"), each.get("to")) for each in openings[:OPENINGS_SHOWN]]
    more = [f"and {len(openings) - OPENINGS_SHOWN} more"] if len(openings) > OPENINGS_SHOWN else []
    return "; ".join([*told, *more])


def _calendars(item: Item) -> object:
    named = item.get("calendars", item.get("calendar"))
    return named or "none"


POLICY_KINDS = (
    Kind(
        "override",
        "overrides",
        (
            Column("ID", field("id")),
            Column("STATE", field("state")),
            Column("OF", _closed),
            Column("CLUSTERS", field("clusters")),
            Column("APPLICATIONS", lambda item: item.get("applications") or "all"),
            Column("MINUTES", field("minutes")),
            Column("ENDS", field("ends")),
            Column("APPROVAL", lambda item: "break-glass" if item.get("break_glass") else item.get("approval")),
            Column("REASON", field("reason")),
            Column("EXPRESSION", field("expression"), wide=True),
            Column("REQUESTED-BY", _person("requested_by"), wide=True),
            Column("PEOPLE", field("people"), wide=True),
            Column("TICKET", field("ticket"), wide=True),
            Column("USES", field("uses"), wide=True),
        ),
        key="id",
        filters=("state",),
    ),
    Kind(
        "approval",
        "approvals",
        (
            Column("ID", field("id")),
            Column("STATE", field("state")),
            Column("ABOUT", field("summary")),
            Column("SIGN-OFF", field("signoff")),
            Column("STAGE", _stage),
            Column("MISSING", missing),
            Column("EXPIRES", field("expires_at")),
            Column("KIND", field("kind"), wide=True),
            Column("SUBJECT", field("subject"), wide=True),
            Column("DIGEST", field("digest"), wide=True),
            Column("CLUSTERS", field("clusters"), wide=True),
            Column("REQUESTED-BY", _person("requested_by"), wide=True),
            Column("REASON", field("reason"), wide=True),
            Column("TICKET", field("ticket"), wide=True),
        ),
        key="id",
        filters=("state", "mine"),
    ),
    Kind(
        "token",
        "tokens",
        (
            Column("ID", field("id")),
            Column("USER", field("user")),
            Column("SERVICE-ACCOUNT", field("service_account")),
            Column("EXPIRES", field("expires_at")),
            Column("STATE", field("state")),
            Column("ISSUED-BY", _person("by")),
            Column("GROUPS", field("groups"), wide=True),
            Column("REASON", field("reason"), wide=True),
        ),
        key="id",
        picked=True,
        filters=(),
    ),
    Kind(
        "withheld",
        "withheld",
        (
            Column("ID", field("id")),
            Column("WHAT", field("what")),
            Column("CLUSTERS", field("clusters")),
            Column("BY", _person("by")),
            Column("SINCE", field("at")),
            Column("EXAMPLES", field("examples"), wide=True),
            Column("CAUSES", field("causes"), wide=True),
        ),
        key="id",
        picked=True,
        filters=(),
    ),
    Kind(
        "window",
        "windows",
        (
            Column("CALENDAR", _calendars),
            Column("ZONE", field("zone")),
            Column("CLUSTERS", field("count")),
            Column("OPEN", field("open_now")),
            Column("NEXT-CHANGE", lambda item: store_time(item.get("next_change"))),
            Column("OPENINGS", _openings),
            Column("HOURS", field("hours"), wide=True),
        ),
        key="calendar",
        picked=True,
        filters=("where", "from", "to"),
    ),
    Kind(
        "blocked",
        "blocked",
        (
            Column("GATE", field("gate")),
            Column("BY", field("by")),
            Column("APPLICATION", field("application")),
            Column("CLUSTERS", field("count")),
            Column("UNTIL", field("until")),
            Column("REASON", field("reason")),
            Column("EXAMPLES", field("examples")),
        ),
        key="gate",
        picked=True,
        filters=("where", "application"),
    ),
)
