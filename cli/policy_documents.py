"""The kinds of policy that are declared: calendars, freezes, law, sign-off, roles and bindings.

The one rule: a table shows what a thing binds and when; why it is there (reason, basis, owner) stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.kind import Kind
from cli.output import Column, Item, field


def _spec(item: Item, name: str) -> list[Any]:
    value = field(f"spec.{name}")(item)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _window(window: Mapping[str, Any]) -> str:
    if "closed" in window:
        return "while closed"
    if "rrule" in window:
        return f"{window['rrule']} {window.get('from')} for {window.get('duration_minutes')} min"
    days = window.get("days")
    return f"{','.join(map(str, days)) if isinstance(days, list) else ''} {window.get('from')}-{window.get('to')}"


def _windows(item: Item) -> str:
    return "; ".join(_window(each) for each in _spec(item, "windows"))


def _interval_in(item: Item) -> str:
    return "store time" if field("spec.at")(item) == "store" else "UTC"


def _stages(item: Item) -> str:
    return ", then ".join(
        f"{each.get('quorum', 1)} of {' or '.join(map(str, each.get('roles') or ()))}" for each in _spec(item, "stages")
    )


def _rules(item: Item) -> str:
    return "; ".join(
        f"{','.join(map(str, each.get('verbs') or ()))} {','.join(map(str, each.get('kinds') or ()))}"
        for each in _spec(item, "rules")
    )


def _subjects(item: Item) -> str:
    return ", ".join(f"{kind} {name}" for each in _spec(item, "subjects") for kind, name in each.items())


_NAME = Column("NAME", field("metadata.name"))
_CLUSTERS = Column("CLUSTERS", field("spec.clusters"))
_APPLICATIONS = Column("APPLICATIONS", lambda item: field("spec.applications")(item) or "all")
_SIGNOFF = Column("SIGN-OFF", field("spec.signoff"), wide=True)
_FROM = Column("FROM", field("spec.from"))
_UNTIL = Column("UNTIL", field("spec.until"))

POLICY_DOCUMENTS = (
    Kind(
        "calendar",
        "calendars",
        (
            _NAME,
            _CLUSTERS,
            _APPLICATIONS,
            Column("WINDOWS", _windows),
            Column("CUTOFF", field("spec.cutoff_minutes"), wide=True),
            Column("EXCLUDE", field("spec.exclude"), wide=True),
            _SIGNOFF,
        ),
        "Calendar",
        aliases=("cal",),
    ),
    Kind(
        "freeze",
        "freezes",
        (
            _NAME,
            _FROM,
            _UNTIL,
            Column("IN", _interval_in),
            _CLUSTERS,
            _APPLICATIONS,
            Column("OWNER", field("spec.owner")),
            Column("REASON", field("spec.reason")),
            Column("NEW-CLUSTERS", lambda item: field("spec.new_clusters")(item) or "pass", wide=True),
            _SIGNOFF,
        ),
        "Freeze",
    ),
    Kind(
        "placementpolicy",
        "placementpolicies",
        (
            _NAME,
            Column("FORBIDS", field("spec.forbid.applications")),
            _CLUSTERS,
            Column("BASIS", field("spec.basis")),
            Column("ENFORCEMENT", lambda item: field("spec.enforcement")(item) or "gated"),
            _FROM,
            _UNTIL,
            Column("ON-CONFLICT", lambda item: field("spec.on_conflict")(item) or "warn", wide=True),
        ),
        "PlacementPolicy",
        aliases=("policy", "policies", "law", "laws"),
    ),
    Kind(
        "signoff",
        "signoffs",
        (
            _NAME,
            Column("STAGES", _stages),
            Column("HOURS", field("spec.expires_hours")),
            Column("COUNTS", field("spec.count"), wide=True),
        ),
        "SignOff",
        aliases=("sign-off", "sign-offs"),
    ),
    Kind("role", "roles", (_NAME, Column("RULES", _rules)), "Role"),
    Kind(
        "rolebinding",
        "rolebindings",
        (
            _NAME,
            Column("ROLE", field("spec.role")),
            Column("SUBJECTS", _subjects),
            Column("CLUSTERS", lambda item: field("spec.clusters")(item) or "all"),
            Column("NAMESPACES", lambda item: field("spec.namespaces")(item) or "all"),
            Column("EXPIRES", field("spec.expires")),
        ),
        "RoleBinding",
        aliases=("binding", "bindings"),
    ),
)
