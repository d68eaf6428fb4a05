"""The composition root of the catalog."""

from __future__ import annotations

from libs.runtime.service import Ports, Service
from services.catalog.api import APPLICATION, CONFIGURATION, NAMESPACE, catalog_router
from services.catalog.choosing import CHOICES

_DECLARED = (NAMESPACE, APPLICATION, CONFIGURATION)


def build(ports: Ports) -> Service:
    """Return the catalog: its routes, and the view of what is declared and chosen."""
    commands = ports.commands([*_DECLARED, CHOICES])
    return Service(
        name="catalog",
        router=catalog_router(commands),
        consumers=[commands.view],
        kinds=_DECLARED,
        commands=commands,
    )
