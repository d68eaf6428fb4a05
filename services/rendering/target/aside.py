"""Sets aside one thing that cannot be evaluated, decided or requested, so that everything else continues.

A thing that is set aside keeps what was admitted (a refusal never removes), is reported as a refusal, and is retried
when facts about it change, and at intervals. A fault that affects everything (a log or a disk that does not answer) is
raised instead, and the whole step is retried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from libs.bus.faults import passing
from libs.eventlog import LogClosed

if TYPE_CHECKING:
    from pyroaring import BitMap

_REASON_CHARACTERS_MAX = 300
RETRY = timedelta(seconds=15)
log = structlog.get_logger("rendering")

T = TypeVar("T")


@dataclass(slots=True)
class Aside:
    """The things that a process has set aside and reported: `shared` belongs to no placement, such as a held plan.

    `tried_at` is when what is set aside was last tried again.
    """

    shared: dict[str, str] = field(default_factory=dict)
    tried_at: datetime | None = None
    _told: dict[str, str] = field(default_factory=dict)

    def begin(self, at: datetime) -> None:
        """Begin an interval, if none has begun."""
        self.tried_at = self.tried_at or at

    def due(self, now: datetime) -> bool:
        """Whether what is set aside is to be tried again, which begins a new interval."""
        if self.tried_at is not None and self.tried_at <= now < self.tried_at + RETRY:
            return False
        self.tried_at = now
        return True

    def retry_at(self, now: datetime) -> datetime:
        """Return when what is set aside is tried again."""
        due = now if self.tried_at is None else self.tried_at + RETRY
        return due if due > now else now + RETRY

    def tell(self, what: str, error: Exception, stage: str) -> str:
        """Log what is set aside, once for each reason; return the reason."""
        if not isolates(error):
            raise error
        reason = reason_text(error)
        if self._told.get(what) != reason:
            self._told[what] = reason
            log.error("rendering.set-aside", what=what, stage=stage, reason=reason, exc_info=error)
        return reason

    def share(self, what: str, error: Exception, stage: str) -> None:
        """Set aside what belongs to no placement."""
        self.shared[what] = self.tell(what, error, stage)

    def keep(self, placements: Mapping[str, BitMap]) -> None:
        """Forget the reports of all placements but these: they work again."""
        for what in [each for each in self._told if each not in self.shared]:
            if what.partition("@")[0] not in placements:
                self.clear(what)

    def clear(self, what: str) -> None:
        """Record that something works again."""
        if self._told.pop(what, None) is not None:
            log.info("rendering.set-aside-ended", what=what)
        self.shared.pop(what, None)

    @contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Do something that belongs to no placement; if it fails it is set aside under this name."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - what would fail everything is raised again
            self.share(what, error, what)
        else:
            self.clear(what)

    def attempt(self, what: str, ask: Callable[[], T], otherwise: T) -> T:
        """Return an answer that belongs to no placement; if that fails, the safe one."""
        with self.apart(what):
            return ask()
        return otherwise


def isolates(error: Exception) -> bool:
    """Whether an error is caused by the thing itself, and not by its environment."""
    return not (passing(error) or isinstance(error, MemoryError | LogClosed | SQLAlchemyError))


def reason_text(error: Exception) -> str:
    """Return an error as the reason of a refusal: the same error gives the same text."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text[:_REASON_CHARACTERS_MAX]
