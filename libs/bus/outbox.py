"""The outbox: publishes the log on Kafka, in log order, at least once.

The one rule: it never moves past the last event that Kafka has acknowledged. One relay leads, by a lease in the log's
database; its progress is recorded under the lease's fencing epoch, so that a relay that was paused cannot set it back.
Messages that such a relay still sends are repetitions, which every consumer drops. In silence it repeats the last event
now and then, so that consumers notice when Kafka has lost acknowledged messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.bus.contract import START, Checkpoint, ConsumerStopped, read_page
from libs.bus.faults import passing
from libs.bus.messages import EVENTS_TOPIC, Message, RawEvent, to_message
from libs.bus.metrics import LOG_EVENTS_READ, RELAY_LAG_EVENTS, RELAY_LAG_SECONDS, RELAY_LEADS, RELAY_POSITION
from libs.bus.quiet import speak_seldom
from libs.bus.topics import TopicNotCreated
from libs.contracts.crash import crash_point
from libs.eventlog import EventLog, Lease
from libs.eventlog.envelope import chain, decode_envelope

LEASE = "relay"
EPOCHS_STREAM = "log-epochs"
_BATCH_EVENTS_MAX = 1_000
BATCH_BYTES_MAX = 512 * 1024
REQUEST_BYTES_MAX = 1024 * 1024
REQUEST_TIMEOUT_MS = 8_000
"""How long Kafka may take to acknowledge a batch before a new producer sends it again from the recorded progress."""
RING_SECONDS = 5.0
"""How often the last event is repeated while there is no new one; a consumer that is behind it reads the log."""
_LOOK_SECONDS = 0.004
LOOK_IDLE_SECONDS = 0.02
"""How often the head is looked at: soon after an event, and after `IDLE_AFTER_SECONDS` without one."""
IDLE_AFTER_SECONDS = 2.0
STAND_BY_SECONDS = 1.0
AGAIN_SECONDS_MAX = 5.0

_log = logging.getLogger(__name__)


class Records(Protocol):
    """Where a relay records its progress."""

    async def kept(self) -> Checkpoint:
        """Return the last recorded checkpoint, or `START`."""

    async def record(self, checkpoint: Checkpoint, fencing: int) -> bool:
        """Record a checkpoint under a fencing epoch; False: a later epoch has recorded already."""


@dataclass(slots=True)
class _Progress:
    """The status of a relay."""

    leads: bool = False
    position: int = 0
    head: int = 0
    trouble: str = ""
    stopped: str = ""


async def _nothing() -> None:
    """Do nothing: the topics exist, or somebody else creates them."""


class Outbox:
    """The publishing loop of one relay; `progress` is its status."""

    def __init__(
        self,
        log: EventLog,
        records: Records,
        *,
        servers: str,
        holder: str,
        topic: str = EVENTS_TOPIC,
        lease_seconds: float = 10.0,
        prepare: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Take the log, the store of progress, and Kafka (`host:port,…`); nothing happens before `run`.

        `prepare` is awaited before each connection to Kafka: its data may have been lost, and with it the topics.
        """
        self._log = log
        self._records = records
        self._servers = servers.split(",")
        self._holder = holder
        self._topic = topic
        self._lease_seconds = lease_seconds
        self._prepare = prepare
        self._ring_at = 0.0
        self._lease: Lease | None = None
        self._renew_at = 0.0
        self._behind_since: float | None = None
        self._published_at = 0.0
        self._appended = asyncio.Event()
        self._unlisten: Callable[[], None] = lambda: None
        self.progress = _Progress()
        speak_seldom()

    async def run(self) -> None:
        """Lead or stand by until cancelled."""
        self._listen()
        failures = 0
        try:
            while True:
                try:
                    if await self._lead_or_wait():
                        failures = 0
                except ConsumerStopped as stopped:
                    self.progress.stopped = stopped.reason
                    _log.error("%s", stopped)
                    await self._give_up()
                    return
                except (TimeoutError, KafkaError, TopicNotCreated, OSError) as error:
                    failures = await self._again(error, failures)
                except Exception as error:
                    if not passing(error):
                        raise
                    failures = await self._again(error, failures)
        finally:
            self._unlisten()
            await self._give_up()

    async def _again(self, error: Exception, failures: int) -> int:
        self.progress.trouble = f"{type(error).__name__}: {error}"
        _log.warning("publishing failed, retrying: %s", error)
        await asyncio.sleep(min(0.1 * 2**failures, AGAIN_SECONDS_MAX))
        return min(failures + 1, 8)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def announce(_position: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: there is nobody to wake
                loop.call_soon_threadsafe(self._appended.set)

        self._unlisten = self._log.on_append(announce)

    async def _lead_or_wait(self) -> bool:
        lease = await asyncio.to_thread(self._log.acquire_lease, LEASE, self._holder, self._lease_seconds)
        if lease is None:
            self._leads(lease)
            await asyncio.sleep(STAND_BY_SECONDS)
            return True
        self._leads(lease)
        await self._prepare()
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=10_000,
        )
        try:
            await producer.start()
            await self._publish_on(producer, lease)
        finally:
            with contextlib.suppress(KafkaError, OSError, asyncio.TimeoutError):
                async with asyncio.timeout(2.0):
                    await producer.stop()
        return True

    def _leads(self, lease: Lease | None) -> None:
        self._lease = lease
        self._renew_at = time.monotonic() + self._lease_seconds / 3
        self.progress.leads = lease is not None
        RELAY_LEADS.set(self.progress.leads)

    async def _publish_on(self, producer: Any, lease: Lease) -> None:
        """Publish from the recorded progress for as long as we hold the lease."""
        checkpoint = await asyncio.to_thread(_go_on_from, self._log, await self._records.kept())
        self._published(checkpoint)
        self._ring_at = 0.0
        while await self._still_leads(lease):
            raws = await asyncio.to_thread(self._log.read_raw, checkpoint.position, _BATCH_EVENTS_MAX)
            if not raws:
                await self._ring(producer, checkpoint)
                await self._wait_for_more(checkpoint)
                continue
            _check_follows(raws[0], checkpoint)
            LOG_EVENTS_READ.labels("relay").inc(len(raws))
            crash_point("relay.after-read")
            checkpoint = await self._publish(producer, raws, checkpoint)
            crash_point("relay.before-record")
            if not await self._records.record(checkpoint, lease.epoch):
                _log.warning("another relay has published past this position")
                return
            self._published(checkpoint)
            self._published_at = time.monotonic()
            self.progress.trouble = ""

    async def _ring(self, producer: Any, checkpoint: Checkpoint) -> None:
        """Repeat the last event if it is due: this also shows whether Kafka still accepts messages."""
        if time.monotonic() < self._ring_at:
            return
        self._ring_at = time.monotonic() + RING_SECONDS
        if checkpoint == START:
            return
        before = checkpoint.position - 1
        try:
            previous = await asyncio.to_thread(self._log.hash_at, before)
        except LookupError:
            return  # the log was restored from a backup: the check of the head, which comes next, reports it
        raws = await asyncio.to_thread(self._log.read_raw, before, 1)
        if not raws or bytes(raws[0][2]) != checkpoint.hash:
            return  # as above
        message = to_message(raws[0], previous)
        await producer.send_and_wait(self._topic, message.value, key=message.key, headers=message.headers, partition=0)
        self.progress.trouble = ""

    async def _publish(self, producer: Any, raws: Sequence[RawEvent], after: Checkpoint) -> Checkpoint:
        """Send a batch and return the checkpoint after it, once Kafka has acknowledged all of it."""
        previous, sent = after.hash, []
        for raw in raws:
            message: Message = to_message(raw, previous)
            sent.append(
                await producer.send(self._topic, message.value, key=message.key, headers=message.headers, partition=0)
            )
            previous = bytes(raw[2])
            crash_point("relay.in-batch")
        crash_point("relay.before-acknowledged")
        for answer in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        crash_point("relay.after-acknowledged")
        said = decode_envelope(raws[-1][0])
        return Checkpoint(said.epoch, said.position, previous)

    async def _wait_for_more(self, checkpoint: Checkpoint) -> None:
        """Return when the log has new events."""
        while not self._renewal_due() and time.monotonic() < self._ring_at:
            self._appended.clear()
            head = await asyncio.to_thread(self._log.head)
            if head.position < checkpoint.position:
                what = f"the log ends at position {head.position}, before {checkpoint.position}, which was published"
                raise ConsumerStopped(LEASE, what)
            if head.position > checkpoint.position:
                self._saw(head.position)
                return
            if head.hash != checkpoint.hash and checkpoint.position:
                raise ConsumerStopped(LEASE, f"the log holds another event at position {head.position}")
            idle = time.monotonic() - self._published_at > IDLE_AFTER_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_IDLE_SECONDS if idle else _LOOK_SECONDS):
                    await self._appended.wait()

    # --- the lease -----------------------------------------------------------------------------------------------

    def _renewal_due(self) -> bool:
        return time.monotonic() >= self._renew_at

    async def _still_leads(self, lease: Lease) -> bool:
        if not self._renewal_due():
            return True
        if not await asyncio.to_thread(self._log.renew_lease, lease, self._lease_seconds):
            self._leads(None)
            _log.warning("the relay's lease was lost to another relay")
            return False
        self._renew_at = time.monotonic() + self._lease_seconds / 3
        return True

    async def _give_up(self) -> None:
        lease = self._lease
        self._leads(None)
        if lease is not None:
            with contextlib.suppress(Exception):  # it expires by itself
                await asyncio.to_thread(self._log.release_lease, lease)

    # --- its status ----------------------------------------------------------------------------------------------

    def _published(self, checkpoint: Checkpoint) -> None:
        self.progress.position = checkpoint.position
        self._saw(max(self.progress.head, checkpoint.position))

    def _saw(self, head: int) -> None:
        self.progress.head = head
        if head <= self.progress.position:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = time.monotonic()

    async def collect(self) -> None:
        """Bring the gauges up to date, whether this relay leads or not."""
        head = (await asyncio.to_thread(self._log.head)).position
        kept = await self._records.kept()
        RELAY_POSITION.set(kept.position)
        RELAY_LAG_EVENTS.set(max(0, head - kept.position))
        behind = self._behind_since
        RELAY_LAG_SECONDS.set(0.0 if behind is None or head <= kept.position else time.monotonic() - behind)


def _go_on_from(log: EventLog, checkpoint: Checkpoint) -> Checkpoint:
    """Return where to continue: after the last published event, or where a new epoch of the log began.

    A log that was restored from a backup is published only after its administrator has begun a new epoch.

    Raises:
        ConsumerStopped: it is another log, or an older one.
    """
    if checkpoint == START:
        return START
    try:
        read_page(log, checkpoint.position, 0, "start").check(LEASE, checkpoint)
    except ConsumerStopped:
        epochs = log.read_stream(EPOCHS_STREAM)
        if not epochs or log.head().epoch == checkpoint.epoch:
            raise
        before = log.read_recorded(max(0, epochs[-1].position - 2), 1, tolerant=True)[0]
        _log.warning(
            "the log was restored from a backup: publishing from the start of its new epoch, %s", epochs[-1].position
        )
        return Checkpoint.after(before) if before.position < epochs[-1].position else START
    return checkpoint


def _check_follows(raw: RawEvent, checkpoint: Checkpoint) -> None:
    """Compare the next event with the last published one.

    Raises:
        ConsumerStopped: the log was restored from a backup, and has new events since.
    """
    envelope, data, hash_ = raw
    if chain(checkpoint.hash, envelope, data) != hash_:
        what = f"the event after position {checkpoint.position} in the log does not follow from the one published last"
        raise ConsumerStopped(LEASE, what)
