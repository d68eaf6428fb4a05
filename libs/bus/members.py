"""What every feed does for its consumers, wherever the events come from: start, retry, halt, resume, wait, report.

A temporary fault is waited out, and an announced position counts only once the log has it; an event that cannot be
applied halts that consumer alone, as a dead letter in the log; anything that puts the log itself in doubt stops the
consumer permanently.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from libs.bus.contract import START, Consumer, ConsumerStopped, EventCannotBeApplied, check_head, read_page
from libs.bus.faults import passing
from libs.bus.letters import Letter, Letters, Verdict
from libs.bus.member import Member
from libs.bus.metrics import (
    CONSUMER_LAG_EVENTS,
    CONSUMER_LAG_SECONDS,
    CONSUMER_POSITION,
    CONSUMER_STOPPED,
    LOG_POSITION,
)
from libs.bus.states import ConsumerState
from libs.bus.tracing import batch_span
from libs.contracts import Recorded
from libs.contracts.envelope import Undecodable
from libs.eventlog import EventLog, LogClosed

VERDICT_SECONDS = 1.0
"""How often a halted consumer checks whether somebody has decided."""
_RETRY_SECONDS_MAX = 5.0
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Feed(abc.ABC):
    """Brings events to consumers in this process; made and used in one event loop."""

    def __init__(self, log: EventLog, consumers: Iterable[Consumer], service: str = "embedded") -> None:
        """Take the consumers; nothing happens before `start`."""
        self._log = log
        self._members = {consumer.name: Member(consumer) for consumer in consumers}
        self._letters = Letters(log, service)
        self._seen = 0
        self._hearings = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="feed")

    async def start(self) -> None:
        """Start every consumer, compare its checkpoint with the log, and begin to feed."""
        for member in self._members.values():
            await self._guarded(member, self._start(member))
        self._seen = (await self._in_thread(self._log.head)).position
        await self._begin()
        self._tasks = [asyncio.create_task(self._feed(member)) for member in self._members.values()]
        self._tasks += [asyncio.create_task(each) for each in self._beside()]

    async def stop(self, drain_seconds: float = 5.0) -> None:
        """Bring the consumers to the log's present head, within `drain_seconds`, and end."""
        if self._tasks and drain_seconds > 0:
            try:
                self._saw((await self._in_thread(self._log.head)).position)
            except Exception as error:
                if not passing(error):
                    raise
            going = [name for name, member in self._members.items() if not (member.stopped or member.failing)]
            with contextlib.suppress(ConsumerStopped):
                await self.bring(going, self._seen, drain_seconds)
        self._stopping = True
        await self._end()
        for member in self._members.values():
            member.wake.set()
        feeding, beside = self._tasks[: len(self._members)], self._tasks[len(self._members) :]
        for task in beside:
            task.cancel()
        if feeding:
            _, late = await asyncio.wait(feeding, timeout=max(drain_seconds, 1.0))
            for task in late:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._threads.shutdown(wait=False)

    def trouble(self) -> str:
        """Return why events do not arrive by themselves; empty if they do."""
        return ""

    @abc.abstractmethod
    async def _step(self, member: Member) -> None:
        """Take one step of a consumer that has started, or wait until it is woken."""

    @abc.abstractmethod
    async def _begin(self) -> None:
        """Start listening, before consumers are fed."""

    @abc.abstractmethod
    async def _end(self) -> None:
        """Stop listening."""

    def _beside(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what runs beside the consumers."""
        return ()

    async def reached(
        self, consumers: str | Consumer | Iterable[str | Consumer], position: int, timeout_seconds: float
    ) -> bool:
        """Wait until the consumers have applied `position`; False when the time is up.

        Raises:
            ConsumerStopped: one of them has stopped before it.
            KeyError: no such consumer.
        """
        futures = []
        for member in self._named(consumers):
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

    async def bring(
        self, consumers: str | Consumer | Iterable[str | Consumer], position: int, timeout_seconds: float
    ) -> bool:
        """Do the same as `reached`, but read the log if events do not come by themselves."""
        return await self.reached(consumers, position, timeout_seconds)

    def resume(self, consumer: str) -> None:
        """Restart a stopped consumer from its stored state, after that was repaired."""
        member = self._members[consumer]
        if member.stopped is None or self._stopping:
            return
        member.letter = member.settling = member.stopped = member.failing = None
        member.started = False
        member.wake.set()
        index = list(self._members).index(consumer)
        if self._tasks[index].done():
            self._tasks[index] = asyncio.create_task(self._feed(member))

    @property
    def head(self) -> int:
        """The last known position of the log."""
        return self._seen

    def _named(self, consumers: str | Consumer | Iterable[str | Consumer]) -> list[Member]:
        if isinstance(consumers, str) or not isinstance(consumers, Iterable):
            consumers = (consumers,)
        return [self._members[each if isinstance(each, str) else each.name] for each in consumers]

    def states(self) -> list[ConsumerState]:
        """Return every consumer's progress; anything stopped or failing makes the process not ready."""
        now = time.monotonic()
        return [
            ConsumerState(
                name,
                member.position,
                max(0, self._seen - member.position),
                member.stopped.reason if member.stopped else None,
                member.failing,
                0.0 if member.behind_since is None else now - member.behind_since,
            )
            for name, member in self._members.items()
        ]

    def collect(self) -> None:
        """Bring the gauges up to date."""
        LOG_POSITION.set(self._seen)
        for state in self.states():
            CONSUMER_POSITION.labels(state.name).set(state.position)
            CONSUMER_LAG_EVENTS.labels(state.name).set(state.lag)
            CONSUMER_LAG_SECONDS.labels(state.name).set(state.lag_seconds if state.lag else 0.0)
            CONSUMER_STOPPED.labels(state.name).set(state.stopped is not None)

    # --- one consumer --------------------------------------------------------------------------------------------

    async def _feed(self, member: Member) -> None:
        while not self._stopping and (member.stopped is None or member.letter is not None):
            if member.letter is not None:
                await self._guarded(member, self._await_verdict(member, member.letter))
                continue
            member.wake.clear()
            if not member.started:
                await self._guarded(member, self._start(member))
            elif (letter := member.to_settle) is not None:
                await self._guarded(member, self._settle(member, letter))
            else:
                await self._step(member)
                self._note(member)

    def _note(self, member: Member) -> None:
        """Record since when a consumer is behind."""
        if member.position >= self._seen:
            member.behind_since = None
        elif member.behind_since is None:
            member.behind_since = time.monotonic()

    async def _guarded(self, member: Member, step: Awaitable[None]) -> None:
        """Take one step of a consumer; a temporary fault is waited out, any other stops this consumer alone."""
        try:
            await step
        except EventCannotBeApplied as halted:
            member.letter = Letter(halted)
            self._stop_member(member, halted)
        except ConsumerStopped as stopped:
            self._stop_member(member, stopped)
        except LogClosed:
            self._stopping = True
        except Exception as error:  # noqa: BLE001 whatever it is, the others go on
            if passing(error):
                await self._wait_out(member, error)
            else:
                self._stop_member(member, _unexpected(member, error))

    async def _start(self, member: Member) -> None:
        checkpoint = await member.consumer.start() or START
        await self._compare(member)
        if member.position < checkpoint.position:
            raise ConsumerStopped(member.name, "it began before its own checkpoint")
        member.started = True
        member.recovered()
        member.read_up_to(self._seen, "start")

    async def _ask_again(self, member: Member) -> None:
        """Check an announced position that is not in the log; if the consumer is at the log's end, wait for more.

        Raises:
            ConsumerStopped: the log is another one than the consumer has read.
        """
        heard, asked, checkpoint = self._hearings, member.asked, member.consumer.checkpoint
        head = await self._in_thread(self._log.head)
        page = await self._in_thread(lambda: read_page(self._log, checkpoint.position, 1, member.why))
        page.check(member.name, checkpoint)
        check_head(member.name, checkpoint, head)
        if head.position > checkpoint.position:
            if not page.events:
                what = f"the log ends at position {checkpoint.position}, before its own head at {head.position}"
                raise ConsumerStopped(member.name, f"{what}: verify it")
            return
        _log.warning(
            "%s is behind a position that the log does not have: it ends at position %s", member.name, head.position
        )
        if member.asked == asked:
            member.goal = min(member.goal, head.position)
        if self._hearings == heard:
            self._seen = head.position
        member.recovered()

    async def _compare(self, member: Member) -> None:
        """Compare a consumer's checkpoint with the log."""
        checkpoint = member.consumer.checkpoint
        page = await self._in_thread(lambda: read_page(self._log, checkpoint.position, 0, member.why))
        page.check(member.name, checkpoint)

    async def _apply(self, member: Member, events: Sequence[Recorded]) -> None:
        """Hand events over; if they cannot be applied together, find the one that cannot.

        Raises:
            EventCannotBeApplied: it is the one after the checkpoint.
        """
        before = member.position
        readable = events
        odd = next((each for each in events if isinstance(each.event, Undecodable)), None)
        if odd is not None and odd.position > before:
            readable = [each for each in events if each.position < odd.position]
        try:
            with batch_span(member.name, readable):
                await member.consumer.handle(readable)
        except ConsumerStopped:
            raise
        except Exception as error:
            if passing(error):
                raise
            await self._one_by_one(member, readable)
        if odd is not None and member.position == odd.position - 1:
            raise EventCannotBeApplied(member.name, odd, odd.event.reason)
        member.recovered()
        member.progressed()
        if (letter := member.to_settle) is not None:
            await self._settle(member, letter)

    async def _settle(self, member: Member, letter: Letter) -> None:
        await self._letters.settle(letter)
        member.settling = member.failing = None

    @staticmethod
    async def _one_by_one(member: Member, events: Sequence[Recorded]) -> None:
        for recorded in events:
            try:
                await member.consumer.handle([recorded])
            except ConsumerStopped:
                raise
            except Exception as error:
                if passing(error):
                    raise
                why = f"{type(error).__name__}: {error}"
                raise EventCannotBeApplied(member.name, recorded, why) from error

    async def _await_verdict(self, member: Member, letter: Letter) -> None:
        verdict = await self._letters.verdict(letter)
        if verdict is Verdict.WAIT:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(VERDICT_SECONDS):
                    await member.wake.wait()
            member.wake.clear()
            return
        if verdict is Verdict.SKIP:
            await member.consumer.skip(letter.halted.recorded)
        else:
            member.settling = letter
        _log.warning("%s continues: %s of %s", member.name, verdict, letter.name)
        member.letter, member.stopped, member.failing = None, None, None
        member.read_up_to(self._seen, "hole")
        member.progressed()

    async def _wait_out(self, member: Member, error: Exception) -> None:
        member.failing = f"{type(error).__name__}: {error}"
        # The text only: a log record with the exception would keep the failed connection open.
        _log.warning("%s failed, retrying: %s", member.name, str(error))
        await asyncio.sleep(min(0.05 * 2**member.failures, _RETRY_SECONDS_MAX))
        member.failures = min(member.failures + 1, 10)

    async def _in_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    def _saw(self, position: int) -> None:
        self._hearings += 1
        if position > self._seen:
            self._seen = position
            for member in self._members.values():
                self._note(member)
                member.wake.set()

    def _stop_member(self, member: Member, stopped: ConsumerStopped) -> None:
        _log.error("%s", stopped, exc_info=stopped.__cause__)
        member.stopped = stopped
        member.wake.set()
        member.progressed()


def _unexpected(member: Member, error: Exception) -> ConsumerStopped:
    stopped = ConsumerStopped(member.name, f"{type(error).__name__} after position {member.position}: {error}")
    stopped.__cause__ = error
    return stopped
