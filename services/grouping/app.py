"""The composition root of grouping."""

from libs.runtime.service import Ports, Service
from services.grouping.api import GROUP, grouping_router


def build(ports: Ports) -> Service:
    """Return grouping over what the process gives it."""
    commands = ports.commands([GROUP])
    return Service(
        name="grouping",
        router=grouping_router(commands),
        consumers=[commands.view],
        kinds=[GROUP],
        commands=commands,
    )
