"""The feed by Kafka: one subscription per process, through FastStream, for all of its consumers.

The one rule: Kafka only announces. An event is applied only if its chain hash follows from its bytes and from the event
that the consumer applied last; for anything else (a hole, another hash) the log is read, and decides. A batch is
acknowledged by hand, after every running consumer has committed it. The relay sends a message even in silence, so that
a subscription that brings nothing is known to be dead, and is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Partition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage, TopicPartition
from faststream.kafka.message import KafkaAckableMessage

from libs.bus.batches import Batch
from libs.bus.contract import Consumer, ConsumerStopped, check_head, read_page
from libs.bus.feed import PAGE_EVENTS_MAX
from libs.bus.member import Member
from libs.bus.members import Feed
from libs.bus.messages import EVENTS_TOPIC, ForeignMessage, Linked, from_record
from libs.bus.metrics import KAFKA_CONNECTED, KAFKA_EVENTS
from libs.bus.quiet import speak_seldom
from libs.bus.untouched import as_it_is, untouched
from libs.contracts.crash import crash_point
from libs.eventlog import EventLog

_BATCH_EVENTS_MAX = 1_000
_GRACE_SECONDS = 0.25
"""How long a waiting request gives Kafka to bring its event, before the log is read instead."""
HEAD_SECONDS = 0.5
"""How often the log's head (one row, no event) is read, to know how far behind each consumer is."""
FAILURES_MAX = 4
"""Temporary faults in a row after which the others no longer wait for a consumer."""
_SILENT_SECONDS_MAX = 10.0
"""A subscription is renewed after so long without a message while consumers are behind: two messages were missed."""
_IDLE_MS = 8
"""How long FastStream waits for messages, and then pauses if there are none."""
_FETCH_WAIT_MS = 200
_FETCH_BYTES_MAX = 8 << 20
_METADATA_MS = 10_000
_CONNECT_AGAIN_SECONDS = 1.0
_END_SECONDS = 8.0

_log = logging.getLogger(__name__)


class KafkaFeed(Feed):
    """Brings events from Kafka to consumers in this process; made and used in one event loop.

    At start consumers read the log up to its head; from then on they follow the topic. `group` is this process's own:
    every process sees every event, and offsets only save it from reading old ones again.
    """

    def __init__(
        self,
        log: EventLog,
        consumers: Iterable[Consumer],
        service: str,
        *,
        servers: str,
        group: str,
        topic: str = EVENTS_TOPIC,
    ) -> None:
        """Take the consumers and where Kafka is (`host:port,…`); nothing happens before `start`."""
        super().__init__(log, consumers, service)
        self._servers = servers.split(",")
        self._group = group
        self._topic = topic
        self._batch: Batch | None = None
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None  # set before its first message
        self._heard = 0.0
        self._batches = 0
        self._waited_in_vain = -1
        self._furthest: dict[str, int] = {}
        self._caught_up_at_start = False
        self.connected = False
        speak_seldom()

    # --- the subscription ----------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        for member in self._members.values():
            member.read_up_to(self._seen, "start")

    def _beside(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._stay_subscribed(), self._watch_head())

    async def _end(self) -> None:
        if self._batch is not None:
            self._batch.done.set()
        await self._unsubscribe()

    async def _stay_subscribed(self) -> None:
        """Subscribe; repeat while Kafka cannot be reached, and whenever messages stop."""
        while not self._stopping:
            try:
                await self._subscribe()
            except Exception as error:  # noqa: BLE001 - whatever the client fell over, it is tried again
                _log.warning("Kafka cannot be reached, retrying: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_CONNECT_AGAIN_SECONDS)
            else:
                await self._until_silent()
                _log.warning("no message from Kafka for %.0f s, subscribing again", _SILENT_SECONDS_MAX)
            await self._unsubscribe()

    async def _until_silent(self) -> None:
        """Return when consumers are behind and idle, and no message has come for too long.

        Kafka's client may lose its connection for ever, without an error.
        """
        self._heard = time.monotonic()
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            behind = any(self._keeps_up(each) and each.position < self._seen for each in self._members.values())
            if self._batch is not None or not behind:
                self._heard = time.monotonic()
            elif time.monotonic() - self._heard > _SILENT_SECONDS_MAX:
                return

    async def _subscribe(self) -> None:
        moved = await self._begin_at_the_end()
        broker = KafkaBroker(
            self._servers,
            client_id=self._group,
            metadata_max_age_ms=_METADATA_MS,
            logger=None,  # it would log each batch, twice
            graceful_timeout=5.0,
            apply_types=False,
        )
        subscriber = broker.subscriber(
            partitions=[TopicPartition(self._topic, 0, declare=False)],
            group_id=self._group,
            batch=True,
            max_records=_BATCH_EVENTS_MAX,
            batch_timeout_ms=_IDLE_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            # Used only if Kafka has lost our offset: its data was wiped, so all that is there is new.
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=self._parsed,
            decoder=as_it_is,
        )
        subscriber(self._take)
        self._broker = broker
        self._subscriber = subscriber
        await broker.start()
        if moved or not self._caught_up_at_start:
            # What was published before the subscription began was in the log before that.
            head = (await self._in_thread(self._log.head)).position
            self._saw(head)
            for member in self._members.values():
                member.read_up_to(head, "start")
            self._caught_up_at_start = True
        self.connected = True
        KAFKA_CONNECTED.set(1)
        _log.info("subscribed to %s as %s", self._topic, self._group)

    async def _unsubscribe(self) -> None:
        broker, self._broker = self._broker, None
        self.connected = False
        KAFKA_CONNECTED.set(0)
        if broker is None:
            return
        try:
            async with asyncio.timeout(_END_SECONDS):
                await broker.stop()
        except Exception as error:  # noqa: BLE001 - its connections are broken in whatever way: it is dropped
            _log.warning("a subscription did not close cleanly: %s: %s", type(error).__name__, error)

    async def _begin_at_the_end(self) -> bool:
        """Let a group that Kafka does not know begin at the topic's end: earlier events are read from the log."""
        partition = Partition(self._topic, 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, group_id=self._group, enable_auto_commit=False)
        try:
            await consumer.start()
            consumer.assign([partition])
            if await consumer.committed(partition) is not None:
                return False
            await consumer.commit(await consumer.end_offsets([partition]))
            return True
        finally:
            await consumer.stop()

    async def _parsed(self, records: Any, _original: Any = None) -> KafkaAckableMessage:
        """Wrap a batch without copying or decoding headers, which the default parser does for each message."""
        return untouched(records, f"{records[0].offset}-{records[-1].offset}", self._subscriber.consumer)

    async def _take(self, message: KafkaMessage) -> None:
        """Take a batch; FastStream continues with the next one even after an error, and the log fills the hole."""
        try:
            await self._hand_out(message)
        except Exception:
            _log.exception("a batch from Kafka could not be handled")
            raise

    async def _hand_out(self, message: KafkaMessage) -> None:
        """Hand a batch to every running consumer, and acknowledge it once all of them have committed it."""
        self._heard = time.monotonic()
        self._batches += 1
        batch = self._understood(message.raw_message)
        if batch is not None and batch.waiting:
            self._batch = batch
            try:
                for name in tuple(batch.waiting):
                    self._members[name].wake.set()
                await batch.done.wait()
            finally:
                self._batch = None
        if not self._stopping:
            crash_point("bus.kafka.before-ack")
            with contextlib.suppress(KafkaError):  # it comes again, and is dropped then
                await message.ack()
            crash_point("bus.kafka.after-ack")

    def _understood(self, records: Any) -> Batch | None:
        found: dict[int, list[Linked]] = {}
        lowest = min((member.position for member in self._members.values() if self._goes_on(member)), default=0)
        new = taken = 0
        for record in records:
            try:
                linked = from_record(record)
            except (ForeignMessage, ValueError) as odd:
                KAFKA_EVENTS.labels("foreign").inc()
                _log.error("a message at offset %s of %s is left out: %s", record.offset, self._topic, odd)
                continue
            taken += 1
            same = found.setdefault(linked.recorded.position, [])
            if any(each.recorded.hash == linked.recorded.hash for each in same):
                continue
            same.append(linked)
            new += linked.recorded.position > lowest
        KAFKA_EVENTS.labels("new").inc(new)
        KAFKA_EVENTS.labels("duplicate").inc(taken - new)
        if not found:
            return None
        last = max(found)
        waiting = {name for name, member in self._members.items() if self._keeps_up(member) and last > member.position}
        return Batch(found, last, waiting)

    @staticmethod
    def _goes_on(member: Member) -> bool:
        return member.started and member.stopped is None

    def _keeps_up(self, member: Member) -> bool:
        """Whether a consumer runs without repeated failures; a failing one reads the log once it can."""
        return self._goes_on(member) and member.failures < FAILURES_MAX

    async def _wait_out(self, member: Member, error: Exception) -> None:
        if member.failures + 1 >= FAILURES_MAX and self._batch is not None:
            self._batch.finished_by(member.name)  # the other consumers continue
        await super()._wait_out(member, error)

    def trouble(self) -> str:
        """Record whether Kafka is away: commands then read the log, and readers wait."""
        quiet = time.monotonic() - self._heard > _SILENT_SECONDS_MAX
        return "" if self.connected and not quiet else "no events come from Kafka"

    # --- one consumer --------------------------------------------------------------------------------------------

    async def _step(self, member: Member) -> None:
        batch = self._batch
        if member.position < member.goal:
            await self._guarded(member, self._from_log(member))
        elif batch is not None and member.name in batch.waiting:
            await self._guarded(member, self._from_batch(member, batch))
        else:
            await member.wake.wait()
        if batch is not None and (member.stopped is not None or member.position >= batch.last):
            batch.finished_by(member.name)

    async def _from_log(self, member: Member) -> None:
        checkpoint = member.consumer.checkpoint
        limit = min(member.goal - checkpoint.position, PAGE_EVENTS_MAX)
        page = await self._in_thread(lambda: read_page(self._log, checkpoint.position, limit, member.why))
        page.check(member.name, checkpoint)
        if not page.events:
            await self._ask_again(member)
            return
        await self._apply(member, page.events)

    async def _from_batch(self, member: Member, batch: Batch) -> None:
        """Apply the events that follow by their chain hashes; if none does, read the log."""
        checkpoint = member.consumer.checkpoint
        if batch.differs(checkpoint):
            await self._compare(member)
        if run := batch.run_after(checkpoint):
            await self._apply(member, run)
            self._saw(member.position)
            return
        head = (await self._in_thread(self._log.head)).position
        if head > checkpoint.position:
            member.read_up_to(min(head, batch.last), "hole")
            return
        KAFKA_EVENTS.labels("unchained").inc()
        await self._compare(member)
        batch.finished_by(member.name)  # its remaining events are of another log

    def _stop_member(self, member: Member, stopped: ConsumerStopped) -> None:
        super()._stop_member(member, stopped)
        if self._batch is not None:
            self._batch.finished_by(member.name)  # the batch of the other consumers can still be acknowledged

    # --- events that Kafka does not bring -------------------------------------------------------------------------

    async def bring(
        self, consumers: str | Consumer | Iterable[str | Consumer], position: int, timeout_seconds: float
    ) -> bool:
        """Wait a moment for Kafka, then read the log up to `position`: commands work while Kafka is away."""
        if isinstance(consumers, str) or not isinstance(consumers, Iterable):
            consumers = (consumers,)
        wanted = list(consumers)
        started = time.monotonic()
        # After one timeout nobody waits for Kafka until a message has come: it may be away for long.
        grace = 0.0 if self._waited_in_vain == self._batches else min(_GRACE_SECONDS, timeout_seconds)
        if await self.reached(wanted, position, grace):
            return True
        self._waited_in_vain = self._batches
        for member in self._named(wanted):
            member.read_up_to(position, "conflict")
        return await self.reached(wanted, position, max(0.0, timeout_seconds - (time.monotonic() - started)))

    async def _watch_head(self) -> None:
        """Track how far the log is, and notice a log that was restored from a backup meanwhile."""
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            going = [member for member in self._members.values() if self._goes_on(member)]
            applied = {member: member.consumer.checkpoint for member in going}
            try:
                head = await self._in_thread(self._log.head)
                hashes = {at: await self._hash_at(at) for at in {each.position for each in applied.values()}}
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at again
                _log.warning("the event log's head cannot be read: %s: %s", type(error).__name__, error)
                continue
            for member, checkpoint in applied.items():
                if checkpoint.position < self._furthest.get(member.name, 0):  # it has started again by itself
                    member.read_up_to(head.position, "start")
                if not self._keeps_up(member):  # batches go by without it
                    member.read_up_to(head.position, "hole")
                self._furthest[member.name] = checkpoint.position
                try:
                    check_head(member.name, checkpoint, head)
                except ConsumerStopped as stopped:
                    self._stop_member(member, stopped)
                    continue
                if hashes[checkpoint.position] != checkpoint.hash:
                    await self._guarded(member, self._compare(member))
            self._saw(head.position)

    async def _hash_at(self, position: int) -> bytes:
        try:
            return await self._in_thread(lambda: self._log.hash_at(position))
        except LookupError:
            return b""
