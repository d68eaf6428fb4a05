"""The vocabulary of the tests of policy: documents, and what refuses them."""

from __future__ import annotations

from typing import Any


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    said = {key.rstrip("_"): value for key, value in spec.items()}
    return {"apiVersion": "resedge.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": said}


def changed(one: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a document with some fields of its spec replaced, and those that are `None` left out."""
    said = {**one["spec"], **{key.rstrip("_"): value for key, value in spec.items()}}
    return {**one, "spec": {key: value for key, value in said.items() if value is not None}}


POS = document("Namespace", "pos", expression="/c/*")
API = document("Application", "lottery", namespace="pos")

NIGHT = document(
    "Calendar",
    "night",
    clusters="state = tx",
    windows=[
        {"days": ["mon", "tue", "wed", "thu"], "from": "01:00", "to": "05:00"},
        {"rrule": "FREQ=WEEKLY;BYDAY=SU", "from": "23:00", "duration_minutes": 240},
        {"closed": {"after_close_minutes": 30, "before_open_minutes": 60}},
    ],
    exclude=[{"date": "2026-12-24"}, {"from": "2026-12-31", "until": "2027-01-02"}],
    cutoff_minutes=15,
)
BLACK_FRIDAY = document(
    "Freeze",
    "black-friday",
    from_="2026-11-27T00:00",
    until="2026-12-01T00:00",
    at="store",
    clusters="/c/*",
    reason="Black Friday",
    owner="operations",
)
