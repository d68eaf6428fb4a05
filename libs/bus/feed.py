"""The in-process feed: tails the log and hands its events to consumers, each at its own pace.

The one rule: pages are read and decoded once for all consumers that stand at the same place; a consumer that is slow,
late or broken reads for itself, waits or stops alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import exc

from libs.bus.contract import START, Consumer, ConsumerStopped, Page, read_page
from libs.eventlog import EventLog, LogUnavailable

PAGE_EVENTS_MAX = 1_000
INLINE_EVENTS_MAX = 64
"""A tail this short is read in the event loop of an embedded log: a thread would take longer than the read."""
POLL_SECONDS = 0.2
_PAGES_KEPT = 16
_RETRY_SECONDS_MAX = 5.0
_PASSING = (exc.OperationalError, exc.InterfaceError, LogUnavailable, OSError)
"""Faults of a database that pass: the batch is handed over again, as the transaction was rolled back."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """A consumer's progress: `lag` events behind the log, `stopped` or failing (and being retried) for a reason."""

    name: str
    position: int
    lag: int
    stopped: str | None
    failing: str | None


class _Member:
    """A consumer in the feed."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.name = consumer.name
        self.started = False
        self.wake = asyncio.Event()
        self.stopped: ConsumerStopped | None = None
        self.failing: str | None = None
        self.failures = 0
        self.waiters: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def position(self) -> int:
        return self.consumer.checkpoint.position

    def progressed(self) -> None:
        """Answer those who wait for a position, or for a consumer that has stopped."""
        if not self.waiters:
            return
        position, stopped = self.position, self.stopped
        still = []
        for wanted, future in self.waiters:
            if future.done():
                continue
            if wanted <= position:
                future.set_result(None)
            elif stopped is not None:
                future.set_exception(ConsumerStopped(stopped.consumer, stopped.reason))
            else:
                still.append((wanted, future))
        self.waiters = still


class LogFeed:
    """Brings a log's events to consumers in this process; made and used in one event loop."""

    def __init__(self, log: EventLog, consumers: Iterable[Consumer]) -> None:
        """Take the consumers; nothing happens before `start`."""
        self._log = log
        self._members = {consumer.name: _Member(consumer) for consumer in consumers}
        self._pages: OrderedDict[int, asyncio.Task[Page]] = OrderedDict()
        self._seen = 0
        self._announced = 0
        self._look_scheduled = False
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._unlisten: Callable[[], None] = lambda: None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="feed")

    async def start(self) -> None:
        """Start every consumer, compare its checkpoint with the log, and begin to feed."""
        loop = asyncio.get_running_loop()
        for member in self._members.values():
            await self._guarded(member, self._start(member))
        self._seen = (await self._in_thread(self._log.head)).position

        def announce(position: int) -> None:
            self._announced = position
            if not self._look_scheduled:
                self._look_scheduled = True
                with contextlib.suppress(RuntimeError):  # the loop has ended: there is nobody to wake
                    loop.call_soon_threadsafe(self._look)

        self._unlisten = self._log.on_append(announce)
        self._tasks = [asyncio.create_task(self._feed(member)) for member in self._members.values()]
        self._tasks.append(asyncio.create_task(self._poll()))

    async def stop(self, drain_seconds: float = 5.0) -> None:
        """Bring the consumers to the log's present head, within `drain_seconds`, and end."""
        self._unlisten()
        if self._tasks and drain_seconds > 0:
            self._saw((await self._in_thread(self._log.head)).position)
            going = [name for name, member in self._members.items() if not (member.stopped or member.failing)]
            with contextlib.suppress(ConsumerStopped):
                await self.reached(going, self._seen, drain_seconds)
        self._stopping = True
        for member in self._members.values():
            member.wake.set()
        if self._tasks:
            poll = self._tasks.pop()
            poll.cancel()
            _, late = await asyncio.wait(self._tasks or [poll], timeout=max(drain_seconds, 1.0))
            for task in late:
                task.cancel()
            await asyncio.gather(poll, *self._tasks, return_exceptions=True)
        self._tasks = []
        self._pages.clear()
        self._threads.shutdown(wait=False)

    async def reached(
        self, consumers: str | Consumer | Iterable[str | Consumer], position: int, timeout_seconds: float
    ) -> bool:
        """Wait until the consumers have applied `position`; False when the time is up.

        Raises:
            ConsumerStopped: one of them has stopped before it.
            KeyError: no such consumer.
        """
        if isinstance(consumers, str) or not isinstance(consumers, Iterable):
            consumers = (consumers,)
        names = [each if isinstance(each, str) else each.name for each in consumers]
        futures = []
        for member in (self._members[name] for name in names):
            if member.position < position:
                if member.stopped is not None:
                    raise ConsumerStopped(member.stopped.consumer, member.stopped.reason)
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                member.waiters.append((position, future))
                futures.append(future)
        if not futures:
            return True
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*futures)
        except TimeoutError:
            return False
        return True

    def states(self) -> list[ConsumerState]:
        """Return every consumer's progress; anything stopped or failing makes the process not ready."""
        return [
            ConsumerState(
                name,
                member.position,
                max(0, self._seen - member.position),
                member.stopped.reason if member.stopped else None,
                member.failing,
            )
            for name, member in self._members.items()
        ]

    async def _feed(self, member: _Member) -> None:
        while not self._stopping and member.stopped is None:
            member.wake.clear()
            if not member.started:
                await self._guarded(member, self._start(member))
            elif self._seen > member.position:
                await self._guarded(member, self._hand_over(member))
            else:
                await member.wake.wait()

    async def _guarded(self, member: _Member, step: Awaitable[None]) -> None:
        """Take one step of a consumer; a fault that passes is waited out, any other stops this consumer alone."""
        try:
            await step
        except ConsumerStopped as stopped:
            self._stop_member(member, stopped)
        except _PASSING as error:
            await self._wait_out(member, error)
        except Exception as error:  # noqa: BLE001 whatever it is, the others go on
            self._stop_member(member, _poisoned(member, error))

    async def _start(self, member: _Member) -> None:
        checkpoint = await member.consumer.start() or START
        await self._in_thread(lambda: read_page(self._log, checkpoint.position, 0).check(member.name, checkpoint))
        member.started = True
        member.failing, member.failures = None, 0

    async def _hand_over(self, member: _Member) -> None:
        consumer = member.consumer
        checkpoint = consumer.checkpoint
        page = await self._page(checkpoint.position)
        page.check(consumer.name, checkpoint)
        if not page.events:
            raise ConsumerStopped(consumer.name, f"the log ends at position {checkpoint.position}, before its own head")
        await consumer.handle(page.events)
        member.failing, member.failures = None, 0
        if consumer.checkpoint.position <= checkpoint.position:
            raise ConsumerStopped(consumer.name, f"it did not move on from position {checkpoint.position}")
        member.progressed()

    async def _wait_out(self, member: _Member, error: Exception) -> None:
        member.failing = f"{type(error).__name__}: {error}"
        _log.warning("%s failed, trying again: %s", member.name, error)
        await asyncio.sleep(min(0.05 * 2**member.failures, _RETRY_SECONDS_MAX))
        member.failures = min(member.failures + 1, 10)

    async def _page(self, after: int) -> Page:
        """Return the page after a position: read here, or by whoever stood there before."""
        task = self._pages.get(after)
        if task is None:
            if self._log.embedded and self._seen - after <= INLINE_EVENTS_MAX:
                page = read_page(self._log, after, PAGE_EVENTS_MAX)
                if len(self._members) == 1:
                    return page
                task = asyncio.create_task(_ready(page))
            else:
                task = asyncio.create_task(self._in_thread(lambda: read_page(self._log, after, PAGE_EVENTS_MAX)))
            self._pages[after] = task
            while len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except Exception:
            self._pages.pop(after, None)
            raise

    async def _in_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def _poll(self) -> None:
        """Notice what other processes append, and a log that was put back under our feet."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            # What was applied before the head was read is in the log; what is applied meanwhile may be past that head.
            applied = {member: member.position for member in self._members.values()}
            try:
                position = (await self._in_thread(self._log.head)).position
            except _PASSING as error:
                _log.warning("the event log's head cannot be read: %s", error)
                continue
            for member, before in applied.items():
                if member.stopped is None and position < before:
                    what = f"the log ends at position {position}, before {before}, which it has applied"
                    self._stop_member(member, ConsumerStopped(member.name, what))
            self._saw(position)

    def _look(self) -> None:
        self._look_scheduled = False  # before reading what was announced, so that nothing is announced in between
        self._saw(self._announced)

    def _saw(self, position: int) -> None:
        if position > self._seen:
            self._seen = position
            for member in self._members.values():
                member.wake.set()

    def _stop_member(self, member: _Member, stopped: ConsumerStopped) -> None:
        _log.error("%s", stopped, exc_info=stopped.__cause__)
        member.stopped = stopped
        member.wake.set()
        member.progressed()


async def _ready(page: Page) -> Page:
    return page


def _poisoned(member: _Member, error: Exception) -> ConsumerStopped:
    stopped = ConsumerStopped(member.name, f"{type(error).__name__} after position {member.position}: {error}")
    stopped.__cause__ = error
    return stopped


def stopped_reasons(states: Sequence[ConsumerState]) -> dict[str, str]:
    """Return why consumers have stopped or fail, by name; empty when all go on."""
    return {state.name: reason for state in states if (reason := state.stopped or state.failing) is not None}
