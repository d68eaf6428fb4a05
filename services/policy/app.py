"""The composition root of policy."""

from __future__ import annotations

from libs.runtime.service import Ports, Service
from services.policy.api import DECLARED, policy_router


def build(ports: Ports) -> Service:
    """Return policy: its routes, and the view of what is declared."""
    commands = ports.commands(DECLARED)
    return Service(
        name="policy",
        router=policy_router(commands, ports.ids),
        consumers=[commands.view],
        kinds=DECLARED,
        commands=commands,
    )
