"""The words of roles: which verbs on which kinds a role can name, and the built-in roles.

The right that a route needs is a verb and a kind from this module; a test walks all routes and fails on any other.
"""

from __future__ import annotations

from libs.kinds import KINDS

ROLE_VERBS = (
    "*",
    "apply",
    "approve",
    "bind",
    "break-glass",
    "choose",
    "confirm",
    "delete",
    "escalate",
    "get",
    "impersonate",
    "issue",
    "policy:affect",
    "publish",
    "rebuild",
    "request",
    "restore",
    "retry",
    "send",
    "skip",
    "upgrade",
    "verify",
)
"""`get` is every reading verb of a route, `apply` every declaring one, `delete` every removing one.

`escalate` and `bind` (on Role) and `impersonate` (on Principal) let somebody grant what they do not hold
(libs/access/granting.py).
"""

RELAY_VERBS = ("decide",)
"""Verbs of routes between services: the built-in role `relay` has them, and no document can give them."""

_BESIDES = (
    "Audit",
    "Branch",
    "DeadLetter",
    "Document",
    "Event",
    "ExternalEvent",
    "Kind",
    "Log",
    "Metrics",
    "Placement",
    "Principal",
    "Projection",
    "Rendering",
    "Schema",
)
"""Kinds that routes name besides the registered ones."""
ROLE_KINDS = ("*", *sorted({*_BESIDES, *(kind.right for kind in KINDS)}))
"""All kinds that routes name: kinds of documents, and other things that are read or done."""

BUILT_IN_ROLES = ("admin", "viewer", "source", "relay")
"""Roles without a document; no document may have their names."""
BOUND_ROLES = ("admin", "viewer")
"""The built-in roles that a binding may give; the others belong to tokens of processes and systems."""
ADMIN = "admin"
