"""Group commit: one appender per process appends the waiting submissions of all its callers in one transaction.

The one rule: the appender never waits for more submissions. While one transaction commits, the next batch collects; a
submission that the database refuses is tried again alone, so that it never fails its neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from libs.contracts.crash import crash_point
from libs.eventlog.commit import LogCommit
from libs.eventlog.dialects import Dialect
from libs.eventlog.model import Appended, LogClosed, LogUnavailable, Outcome
from libs.eventlog.prepare import Prepared
from libs.eventlog.writer import Writer

BATCH_SUBMISSIONS_MAX = 256
_BATCH_EVENTS_MAX = 20_000
WAITS_SECONDS = (0.05, 0.2, 0.8, 2.0, 2.0)
"""Waits between the attempts on a database that does not answer."""

_log = logging.getLogger(__name__)

_Answer = Outcome | Exception


class WaitingSubmission:
    """A submission whose caller waits in a thread."""

    __slots__ = ("_answer", "_done", "prepared")

    def __init__(self, prepared: Prepared) -> None:
        """Begin to wait."""
        self.prepared = prepared
        self._answer: _Answer | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def answer(self, answer: _Answer) -> None:
        """Wake the caller."""
        self._answer = answer
        self._done.release()

    def outcome(self) -> Outcome:
        """Wait for the appender, and return its outcome or raise its error."""
        self._done.acquire()
        if isinstance(self._answer, Exception):
            raise self._answer
        if self._answer is None:
            raise LogClosed("the log was closed")
        return self._answer


class WaitingAsync:
    """A submission whose caller waits in an event loop."""

    __slots__ = ("_loop", "future", "prepared")

    def __init__(self, prepared: Prepared) -> None:
        """Begin to wait in the running loop."""
        self.prepared = prepared
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Outcome] = self._loop.create_future()

    def answer(self, answer: _Answer) -> None:
        """Wake the caller, unless its loop is gone."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, answer)

    def _settle(self, answer: _Answer) -> None:
        if self.future.done():
            return
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


Job = WaitingSubmission | WaitingAsync

Meter = Callable[[int, int, float], None]
"""Told of a commit: events, submissions, seconds."""


_Follower = Callable[[LogCommit], None]
"""Handed what a commit appended."""


class Appender:
    """The one appender of a process: its thread, or a caller if nobody else is waiting; one at a time."""

    def __init__(self, writer: Writer, dialect: Dialect) -> None:
        """Start the thread."""
        self._writer = writer
        self._dialect = dialect
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._closed = False
        self._listeners: tuple[Callable[[int], None], ...] = ()
        self._meters: tuple[Meter, ...] = ()
        self._followers: tuple[_Follower, ...] = ()
        self._announced = 0
        self._waits_seconds: tuple[float, ...] = WAITS_SECONDS
        self._thread = threading.Thread(target=self._run, name="eventlog-appender", daemon=True)
        self._thread.start()

    def append(self, job: WaitingSubmission) -> Outcome:
        """Append in this thread if nobody else is appending: waking another thread takes a large part of an append.

        Raises:
            LogClosed: the log was closed.
        """
        if self._turn.acquire(blocking=False):
            try:
                if not self._closed and self._queue.empty():
                    self._append([job])
                    return job.outcome()
            finally:
                self._turn.release()
        self.submit(job)
        return job.outcome()

    def submit(self, job: Job) -> None:
        """Queue a submission.

        Raises:
            LogClosed: the log was closed.
        """
        with self._lock:
            if self._closed:
                raise LogClosed("the log was closed")
            self._queue.put(job)

    def listen(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call `callback` with the new last position after each commit; return a function that ends that."""
        with self._lock:
            self._listeners = (*self._listeners, callback)

        def end() -> None:
            with self._lock:
                self._listeners = tuple(each for each in self._listeners if each is not callback)

        return end

    def measure(self, callback: Meter) -> Callable[[], None]:
        """Call `callback` after each commit with its counts and duration; return a function that ends that."""
        with self._lock:
            self._meters = (*self._meters, callback)

        def end() -> None:
            with self._lock:
                self._meters = tuple(each for each in self._meters if each is not callback)

        return end

    def follow(self, callback: _Follower) -> Callable[[], None]:
        """Call `callback` with the events of each commit; return a function that ends that."""
        with self._lock:
            self._followers = (*self._followers, callback)
            self._writer.followed = True

        def end() -> None:
            with self._lock:
                self._followers = tuple(each for each in self._followers if each is not callback)
                self._writer.followed = bool(self._followers)

        return end

    def close(self) -> None:
        """Append the waiting submissions, then end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            job = self._queue.get()
            with self._turn:
                batch, closing = self._gather(job)
                if batch:
                    self._append(batch)
                if closing:
                    self._writer.close()

    def _gather(self, job: Job | None) -> tuple[list[Job], bool]:
        """Return `job` and the other waiting jobs, and whether the order to close is among them."""
        batch: list[Job] = []
        events = 0
        while job is not None:
            batch.append(job)
            events += len(job.prepared.submission.events)
            if len(batch) >= BATCH_SUBMISSIONS_MAX or events >= _BATCH_EVENTS_MAX or self._queue.empty():
                return batch, False
            job = self._queue.get()
        return batch, True

    def _append(self, batch: Sequence[Job]) -> None:
        answers = self._answers([job.prepared for job in batch])
        crash_point("eventlog.before-answer")
        for job, answer in zip(batch, answers, strict=True):
            job.answer(answer)
        if (position := self._writer.position) > self._announced:
            self._announced = position
            for listener in self._listeners:
                try:
                    listener(position)
                except Exception:  # noqa: BLE001 a listener's fault is not the appender's
                    _log.exception("a listener of the event log failed")

    def _answers(self, batch: Sequence[Prepared]) -> Sequence[_Answer]:
        waits = iter(self._waits_seconds)
        started = time.perf_counter()
        while True:
            try:
                outcomes = self._writer.write(batch)
            except Exception as error:  # noqa: BLE001 whatever it is, the callers must get an answer
                self._writer.forget()
                self._dialect.renew(error)
                passing = isinstance(error, self._dialect.failures) and not self._dialect.refuses(error)
                if not passing and not self._writer.unknown:
                    return self._alone(batch, error)
                if (wait_seconds := next(waits, None)) is None:
                    self._writer.settle()
                    return [_unavailable(error)] * len(batch)
                _log.warning("the event log's database failed, retrying: %s", error)
                time.sleep(wait_seconds)
            except BaseException:  # a caller's thread was interrupted: its batch must not be taken for another's
                self._writer.forget()
                self._writer.settle()
                raise
            else:
                self._meter(outcomes, time.perf_counter() - started)
                self._hand_over()
                return outcomes

    def _meter(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        appended = (each for each in outcomes if isinstance(each, Appended))
        if not self._meters or not (taken := [each for each in appended if each.first <= each.last]):
            return
        events = sum(each.last - each.first + 1 for each in taken)
        for meter in self._meters:
            try:
                meter(events, len(taken), seconds)
            except Exception:  # noqa: BLE001 a meter's fault is not the appender's
                _log.exception("a meter of the event log failed")

    def _hand_over(self) -> None:
        commit, self._writer.commit = self._writer.commit, None
        if commit is None:
            return
        for follower in self._followers:
            try:
                follower(commit)
            except Exception:  # noqa: BLE001 a follower's fault is not the appender's
                _log.exception("a follower of the event log failed")

    def _alone(self, batch: Sequence[Prepared], error: Exception) -> Sequence[_Answer]:
        """Append each submission alone after `error`, which a single one of them caused."""
        if len(batch) == 1:
            self._writer.settle()
            return [error]
        return [answer for prepared in batch for answer in self._answers([prepared])]


def _unavailable(error: Exception) -> LogUnavailable:
    unavailable = LogUnavailable(
        f"the event log's database does not answer ({error}); whether this was appended is unknown: retry with its key",
    )
    unavailable.__cause__ = error
    return unavailable
