"""The list of the services that `resedge up` runs in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.audit.app import build as audit
from services.catalog.app import build as catalog
from services.grouping.app import build as grouping
from services.inventory.app import build as inventory
from services.policy.app import build as policy
from services.relay.app import build as relay
from services.rendering.app import build as rendering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.runtime.service import Build

SERVICES: Sequence[Build] = (inventory, grouping, catalog, policy, rendering, audit, relay)
