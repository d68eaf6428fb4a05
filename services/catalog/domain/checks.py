"""Checks that the catalog's deciders share, besides those of all services (`libs.fleet.checks`)."""

from __future__ import annotations

from libs.contracts.refusals import Rejected
from libs.selection import canonical, parse

EVERYWHERE = canonical(parse("/c/*"))
"""The canonical expression that selects every cluster."""


class ValuesInvalid(Rejected):
    """The application's values do not match the schema of its release."""

    code = "values-invalid"
