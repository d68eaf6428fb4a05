"""What the catalog's deciders share beside what all services check alike (`libs.fleet.checks`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.contracts import encode
from libs.contracts.refusals import Invalid, Rejected
from libs.selection import canonical, parse

if TYPE_CHECKING:
    from libs.contracts import Event

EVERYWHERE = canonical(parse("/c/*"))
"""The canonical expression that selects every cluster."""
EVENT_BYTES_MAX = 250_000
"""What a declared thing may come to as an event; the log takes 256 KiB."""


class ValuesInvalid(Rejected):
    """The values that an application would get do not fit the schema of its release."""

    code = "values-invalid"


@dataclass(frozen=True, slots=True)
class Absent:
    """Not declared: never, or not any more."""


def check_size(event: Event) -> None:
    """Refuse what would not fit an event.

    Raises:
        Invalid: it is larger than `EVENT_BYTES_MAX`.
    """
    if len(encode(event)) > EVENT_BYTES_MAX:
        raise Invalid(
            f"the document comes to more than {EVENT_BYTES_MAX:,} bytes",
            pointer="/spec",
            fix="divide it, or let an expression say what it lists",
        )
