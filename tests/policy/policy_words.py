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
LOTTERY = document("Application", "lottery", namespace="pos")

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
    from_="2026-11-27T00:00:00",
    until="2026-12-01T00:00:00",
    at="store",
    clusters="/c/*",
    reason="Black Friday",
    owner="operations",
)
OVERRIDABLE = changed(BLACK_FRIDAY, signoff="freeze-override")
NO_LOTTERY = document(
    "PlacementPolicy",
    "no-lottery-in-utah",
    forbid={"applications": ["lottery"]},
    clusters="state = ut",
    basis="Utah Code 76-10-1102",
    from_="2026-01-01T00:00:00Z",
    enforcement="immediate",
)
OPERATIONS = document(
    "Role",
    "operations",
    rules=[
        {"verbs": ["approve", "get"], "kinds": ["*"]},
        {"verbs": ["apply", "delete"], "kinds": ["Calendar", "Freeze"]},
    ],
)
OVERRIDING = document(
    "SignOff",
    "freeze-override",
    stages=[{"roles": ["operations"], "quorum": 1}, {"roles": ["admin", "operations"], "quorum": 2}],
    expires_hours=24,
)
OPS_EAST = document(
    "RoleBinding",
    "ops-east",
    role="operations",
    subjects=[{"user": "ana@example.com"}, {"group": "ops-east"}, {"service_account": "deployer"}],
    clusters="/c/tx-1 or /c/tx-2",
    namespaces=["pos"],
    expires="2030-01-01T00:00:00Z",
)
ALL = (OPERATIONS, OVERRIDING, NIGHT, OVERRIDABLE, NO_LOTTERY, OPS_EAST)
PLACES = {
    "Role": "roles",
    "SignOff": "signoffs",
    "Calendar": "calendars",
    "Freeze": "freezes",
    "PlacementPolicy": "placementpolicies",
    "RoleBinding": "rolebindings",
}


def place(one: dict[str, Any]) -> str:
    return f"/v1/{PLACES[one['kind']]}/{one['metadata']['name']}"
