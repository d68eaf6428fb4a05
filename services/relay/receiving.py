"""The inbound half of the relay: sources, the inbox over HTTP and Kafka, dead letters.

Everything here works without Kafka; the topic is an additional input.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from libs.bus.faults import passing
from libs.bus.metrics import DEAD_LETTERS
from libs.runtime.elsewhere import Api
from libs.runtime.service import Ports
from libs.web.application import ReadinessCheck
from services.relay.api import SOURCE, Events, LetterRoutes, relay_router
from services.relay.inbox import Inbox
from services.relay.inbox_commands import ApiCommands
from services.relay.inbox_kafka import InboxTopic
from services.relay.inbox_manifests import Fetcher, outside_client
from services.relay.letters import DeadLetters
from services.relay.projections import LettersView

COUNT_SECONDS = 5.0

log = structlog.get_logger("resedge.inbox")


class Receiving:
    """What a process needs to take events from outside; `api` reaches the services that decide about them."""

    def __init__(self, ports: Ports, api: Api, fetcher: Fetcher = outside_client) -> None:
        self.kinds = [SOURCE]
        self.commands = ports.commands(self.kinds)
        self.view = LettersView(ports.service, ports.log, ports.engine)
        self.consumers = [self.commands.view, self.view]
        self._api = ApiCommands(api)
        self.inbox = Inbox(log=ports.log, commands=self.commands, api=self._api, fetcher=fetcher)
        letters = DeadLetters(log=ports.log, commands=self.commands, view=self.view, inbox=self.inbox)
        self.router = relay_router(
            self.commands,
            Events(self.inbox, self.commands, self.view),
            LetterRoutes(letters, self.commands, self.view),
        )
        self.topic = None if ports.kafka is None else InboxTopic(ports.kafka.servers, self.inbox, ports.kafka.prefix)
        self.checks: list[ReadinessCheck] = [self.topic.ready] if self.topic is not None else []
        self._counting: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Begin to receive from Kafka, where there is one, and to count open dead letters."""
        self._counting = asyncio.create_task(self._count())
        if self.topic is not None:
            await self.topic.begin()

    async def end(self) -> None:
        """Finish what is at hand and close the connections."""
        if self.topic is not None:
            await self.topic.end()
        if self._counting is not None:
            self._counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._counting
        await self._api.close()

    async def _count(self) -> None:
        while True:
            try:
                for kind, count in (await self.view.open_counts()).items():
                    DEAD_LETTERS.labels(kind).set(count)
            except Exception as error:
                if not passing(error):
                    raise
                log.warning("dead letters cannot be counted", reason=str(error))
            await asyncio.sleep(COUNT_SECONDS)
