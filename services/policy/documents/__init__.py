"""The documents of policy: read into commands, and rendered from what was declared.

The one rule: what a document renders, declared again, changes nothing; fields that say nothing are left out.
"""

from services.policy.documents.calendars import CalendarSpec, calendar_document, parse_calendar
from services.policy.documents.freezes import FreezeSpec, freeze_document, parse_freeze

__all__ = [
    "CalendarSpec",
    "FreezeSpec",
    "calendar_document",
    "freeze_document",
    "parse_calendar",
    "parse_freeze",
]
