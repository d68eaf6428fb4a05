"""How tables show registered columns: the forms of values, and the columns of a kind.

A form reads one item and returns the text of its cell; an unknown form changes nothing, so that a newer server's kinds
can be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.output import Item, TableColumn, field

if TYPE_CHECKING:
    from libs.kinds import Kind
    from libs.kinds import KindColumn as Registered

OPENINGS_SHOWN = 3
_EVENT_PREFIX = "dev.resedge.inbox."


def table_columns(kind: Kind) -> tuple[TableColumn, ...]:
    """Return the columns of a kind's table."""
    return tuple(TableColumn(each.heading, _cell(each), each.wide) for each in kind.columns)


def _cell(column: Registered) -> Callable[[Item], object]:
    readers = [field(path) for path in column.path.split("|")]
    form = FORMS.get(column.form, _as_it_is)

    def cell(item: Item) -> object:
        value = next((found for read in readers if (found := read(item)) is not None), None)
        return form(item, value) or column.otherwise if column.otherwise else form(item, value)

    return cell


def missing_votes_cell(item: Item) -> str:
    """Return what an approval still needs in its stage: `1 of release-manager`; empty when nothing is asked for."""
    stages, stage = item.get("stages"), item.get("stage")
    if not isinstance(stages, list) or not isinstance(stage, int) or not 0 < stage <= len(stages):
        return ""
    wanted = stages[stage - 1]
    return f"{wanted.get('missing')} of {' or '.join(map(str, wanted.get('roles') or ()))}"


def store_time(begin: object, end: object = None) -> str:
    """Return an instant, or an interval, in the store's local time, with its offset from UTC.

    The day of the end and its offset are shown if they differ.
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


def _as_it_is(_item: Item, value: object) -> object:
    return value


def _count(_item: Item, value: object) -> object:
    return len(value) if isinstance(value, list | Mapping) else value


def _clusters(item: Item, value: object) -> object:
    """Return the names of a document's clusters; without a list it has one with its own name."""
    return [each.get("name") for each in _maps(value)] if isinstance(value, list) else field("metadata.name")(item)


def _applies_to(item: Item, value: object) -> object:
    namespace = field("spec.namespace")(item)
    return value or (f"namespace {namespace}" if namespace else "all")


def _event_types(_item: Item, value: object) -> object:
    return [str(each).removeprefix(_EVENT_PREFIX) for each in value] if isinstance(value, list) else value


def _percent(_item: Item, value: object) -> object:
    return f"{value:g}%" if isinstance(value, int | float) else value


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _windows(_item: Item, value: object) -> str:
    return "; ".join(_window(each) for each in _maps(value))


def _window(window: Mapping[str, Any]) -> str:
    if "closed" in window:
        return "while closed"
    if "rrule" in window:
        return f"{window['rrule']} {window.get('from')} for {window.get('duration_minutes')} min"
    days = window.get("days")
    return f"{','.join(map(str, days)) if isinstance(days, list) else ''} {window.get('from')}-{window.get('to')}"


def _interval_in(_item: Item, value: object) -> str:
    return "store time" if value == "store" else "UTC"


def _stages(_item: Item, value: object) -> str:
    return ", then ".join(
        f"{each.get('quorum', 1)} of {' or '.join(map(str, each.get('roles') or ()))}" for each in _maps(value)
    )


def _rules(_item: Item, value: object) -> str:
    return "; ".join(
        f"{','.join(map(str, each.get('verbs') or ()))} {','.join(map(str, each.get('kinds') or ()))}"
        for each in _maps(value)
    )


def _subjects(_item: Item, value: object) -> str:
    return ", ".join(f"{kind} {name}" for each in _maps(value) for kind, name in each.items())


def _closed_by(item: Item, value: object) -> str:
    return f"freeze {value}" if value else f"calendar {item.get('calendar')}"


def _allowed_by(item: Item, value: object) -> object:
    return "break-glass" if item.get("break_glass") else value


def _person(_item: Item, value: object) -> object:
    return value.get("person") if isinstance(value, Mapping) else value


def _stage(item: Item, value: object) -> str:
    stages = item.get("stages")
    return f"{value}/{len(stages)}" if value and isinstance(stages, list) else ""


def _missing(item: Item, _value: object) -> str:
    return missing_votes_cell(item)


def _calendars(item: Item, value: object) -> object:
    return (value if "calendars" in item else item.get("calendar")) or "none"


def _store_time(_item: Item, value: object) -> str:
    return store_time(value)


def _openings(item: Item, value: object) -> str:
    if item.get("never_opens"):
        return "never opens"
    openings = _maps(value)
    told = [store_time(each.get("from"), each.get("to")) for each in openings[:OPENINGS_SHOWN]]
    more = [f"and {len(openings) - OPENINGS_SHOWN} more"] if len(openings) > OPENINGS_SHOWN else []
    return "; ".join([*told, *more])


FORMS: Mapping[str, Callable[[Item, object], object]] = {
    "allowed-by": _allowed_by,
    "applies-to": _applies_to,
    "calendars": _calendars,
    "closed-by": _closed_by,
    "clusters": _clusters,
    "count": _count,
    "event-types": _event_types,
    "interval-in": _interval_in,
    "missing": _missing,
    "openings": _openings,
    "percent": _percent,
    "person": _person,
    "rules": _rules,
    "stage": _stage,
    "stages": _stages,
    "store-time": _store_time,
    "subjects": _subjects,
    "windows": _windows,
}
"""`form` of a registered column → the function that makes its cell from the item and the value at the path."""
