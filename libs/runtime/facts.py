"""The process's query fleet: every service decides and answers on this one fold of the log.

The one rule: it is folded in the event loop and read there, so that a decision never sees half an event.
"""

from __future__ import annotations

from libs.bus import ModelConsumer
from libs.contracts import Recorded
from libs.eventlog import EventLog
from libs.fleet import Fleet


class FleetModel(ModelConsumer):
    """The consumer `fleet`, and the facts that it has folded."""

    def __init__(self, log: EventLog) -> None:
        """Take the log, from which bodies are read when a decision needs them."""

        def blob(digest: str) -> bytes | None:
            try:
                return log.blob(digest)
            except LookupError:
                return None

        self.fleet = Fleet(blob)
        super().__init__("fleet", log, self._take)

    def _take(self, recorded: Recorded) -> None:
        self.fleet.fold(recorded)
