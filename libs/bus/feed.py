"""The in-process feed: tails the log and hands its events to consumers, each at its own pace.

Consumers at the same position share one read and decode of a page, and events that this process has just appended are
not read at all; a consumer that is slow, late or broken reads for itself, waits or stops alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from libs.bus.contract import Consumer, ConsumerStopped, Page, check_head, read_page
from libs.bus.member import Member
from libs.bus.members import Feed
from libs.bus.recent import Recent
from libs.eventlog import EventLog

PAGE_EVENTS_MAX = 1_000
_INLINE_EVENTS_MAX = 64
"""A tail this short is read in the event loop of an embedded log: a thread would take longer than the read."""
POLL_SECONDS = 0.2
_PAGES_KEPT = 16

_log = logging.getLogger(__name__)


class LogFeed(Feed):
    """Brings a log's events to consumers in this process; made and used in one event loop."""

    def __init__(self, log: EventLog, consumers: Iterable[Consumer], service: str = "embedded") -> None:
        """Take the consumers; nothing happens before `start`."""
        super().__init__(log, consumers, service)
        self._pages: OrderedDict[int, asyncio.Task[Page]] = OrderedDict()
        self._recent = Recent()
        self._announced = 0
        self._look_scheduled = False
        self._unlisten: Callable[[], None] = lambda: None

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()

        def announce(position: int) -> None:
            self._announced = position
            if not self._look_scheduled:
                self._look_scheduled = True
                with contextlib.suppress(RuntimeError):  # the loop has ended: there is nobody to wake
                    loop.call_soon_threadsafe(self._look)

        endings = (self._log.on_commit(self._recent.take), self._log.on_append(announce))

        def unlisten() -> None:
            for end in endings:
                end()
            self._recent.clear()

        self._unlisten = unlisten

    async def _end(self) -> None:
        self._unlisten()
        self._pages.clear()

    def _beside(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._poll(),)

    async def _step(self, member: Member) -> None:
        if self._seen > member.position:
            await self._guarded(member, self._hand_over(member))
        else:
            await member.wake.wait()

    async def _hand_over(self, member: Member) -> None:
        consumer = member.consumer
        checkpoint = consumer.checkpoint
        page = await self._page(checkpoint.position)
        page.check(consumer.name, checkpoint)
        if not page.events:
            await self._ask_again(member)
            return
        await self._apply(member, page.events)
        going = (each.position for each in self._members.values() if each.stopped is None)
        self._recent.seen(min(going, default=0))
        if consumer.checkpoint.position <= checkpoint.position:
            raise ConsumerStopped(consumer.name, f"it did not move on from position {checkpoint.position}")

    async def _page(self, after: int) -> Page:
        """Return the page after a position, from the log or from another consumer that was there before."""
        task = self._pages.get(after)
        if task is None:
            if self._log.embedded and self._seen - after <= _INLINE_EVENTS_MAX:
                page = self._read(after)
                if len(self._members) == 1:
                    return page
                task = asyncio.create_task(_ready(page))
            else:
                task = asyncio.create_task(self._in_thread(lambda: self._read(after)))
            self._pages[after] = task
            while len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        try:
            page = await asyncio.shield(task)
        except Exception:
            self._pages.pop(after, None)
            raise
        if not page.events and self._pages.get(after) is task:  # the events after it are read again
            del self._pages[after]
        return page

    def _read(self, after: int) -> Page:
        return self._recent.page(after, PAGE_EVENTS_MAX) or read_page(self._log, after, PAGE_EVENTS_MAX, "tail")

    async def _poll(self) -> None:
        """Notice events that other processes append, and a log that was restored from a backup meanwhile."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            # Events applied before the head was read are in the log; those applied meanwhile may be past that head.
            applied = {member: member.consumer.checkpoint for member in self._members.values()}
            try:
                head = await self._in_thread(self._log.head)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at again
                _log.warning("the event log's head cannot be read: %s: %s", type(error).__name__, error)
                continue
            for member, before in applied.items():
                if member.stopped is None:
                    try:
                        check_head(member.name, before, head)
                    except ConsumerStopped as stopped:
                        self._stop_member(member, stopped)
                if member.position < self._seen:  # it may have started again by itself, while the log had no new event
                    member.wake.set()
            self._saw(head.position)

    def _look(self) -> None:
        self._look_scheduled = False  # cleared before reading the announced position, so that no announcement is lost
        self._saw(self._announced)


async def _ready(page: Page) -> Page:
    return page
