"""Every view of every service, held against its fold: what the drills end with."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from libs.bus import ViewConsumer
from libs.bus.rebuild import view_problems
from libs.eventlog import EventLog
from libs.runtime.embedded import Embedded
from libs.runtime.wiring import Wiring


async def problems_of_views(log: EventLog, views: Mapping[str, str]) -> list[str]:
    """Return how the views of services (by the URL of their database) differ from their folds."""
    found: list[str] = []
    for service, url in views.items():
        with tempfile.TemporaryDirectory() as directory:
            build = import_module(f"services.{service}.app").build
            composed = Embedded(Path(directory), [build], name=service, wiring=Wiring(views_url=url))
            try:
                for each in composed.services[0].consumers:
                    if isinstance(each, ViewConsumer):
                        found += [f"{each.name}: {problem}" for problem in await view_problems(each, log)]
            finally:
                for engine in composed._engines:
                    await engine.dispose()
                await asyncio.to_thread(composed.log.close)
    return found
