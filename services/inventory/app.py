"""The composition root of inventory."""

from __future__ import annotations

from libs.runtime.service import Ports, Service
from services.inventory.api import STORE, inventory_router


def build(ports: Ports) -> Service:
    """Return inventory: its routes, and the view of the stores that are declared."""
    commands = ports.commands([STORE])
    return Service(
        name="inventory",
        router=inventory_router(commands),
        consumers=[commands.view],
        kinds=[STORE],
        commands=commands,
    )
