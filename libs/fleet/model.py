"""The consumer that keeps a fleet up to date with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.bus import ModelConsumer, SnapshotHooks
from libs.fleet.blobs import Blobs
from libs.fleet.fleet import Fleet
from libs.fleet.snapshots import FLEET_VERSION, dump_fleet, load_fleet

if TYPE_CHECKING:
    from libs.contracts import Recorded
    from libs.eventlog import EventLog

FORGETS_EVERY_EVENTS = 64


class FleetModel(ModelConsumer):
    """A fleet that follows the log; read `fleet` in the event loop, never change it.

    Nobody reads its record of changes, so it is cleared now and then: otherwise it would grow with the log, and every
    fork with it.
    """

    def __init__(self, log: EventLog, name: str = "fleet") -> None:
        self.fleet = Fleet(Blobs(log.blob))
        hooks = SnapshotHooks(lambda: dump_fleet(self.fleet), lambda data: load_fleet(self.fleet, data), FLEET_VERSION)
        super().__init__(name, log, self._fold, hooks)

    def _fold(self, recorded: Recorded) -> None:
        self.fleet.fold(recorded)
        if recorded.position % FORGETS_EVERY_EVENTS == 0:
            self.fleet.forget_touched()
