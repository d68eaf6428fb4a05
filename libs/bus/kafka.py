"""The feed by Kafka: one subscription a process, through FastStream, for all of its consumers.

The one rule: Kafka is a doorbell. An event enters only if its chain hash follows from its bytes and from the event that
the consumer applied last; for anything else (a hole, another hash) the log is read, and decides. A batch is
acknowledged by hand, after every consumer that goes on has committed it. The relay rings even in silence, so that a
subscription that brings nothing while the log goes on is known to be dead, and is made anew.
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

BATCH_EVENTS_MAX = 1_000
GRACE_SECONDS = 0.25
"""How long Kafka may take to bring what somebody waits for, before the log is read instead."""
HEAD_SECONDS = 0.5
"""How often the log's head (one row, no event) is read, to know how far behind everybody is."""
FAILURES_MAX = 4
"""Faults that pass, one after the other, after which a consumer is not waited for any more."""
SILENT_SECONDS_MAX = 10.0
"""After so long without a message a subscription with consumers behind the log is made anew: two rings were missed."""
_IDLE_MS = 8
"""FastStream rests this long after it has waited this long for nothing."""
_FETCH_WAIT_MS = 200
_FETCH_BYTES_MAX = 8 << 20
_METADATA_MS = 10_000
_CONNECT_AGAIN_SECONDS = 1.0
_END_SECONDS = 8.0

_log = logging.getLogger(__name__)


class KafkaFeed(Feed):
    """Brings what comes by Kafka to consumers in this process; made and used in one event loop.

    At start consumers read the log up to its head; from then on they live on the topic. `group` is this process's own:
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
        self._subscriber: Any = None  # there is one before anything comes from it
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
        """Subscribe, and again for as long as Kafka is not there, or whenever nothing comes any more."""
        while not self._stopping:
            try:
                await self._subscribe()
            except Exception as error:  # noqa: BLE001 - whatever the client fell over, it is tried again
                _log.warning("Kafka cannot be reached, trying again: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_CONNECT_AGAIN_SECONDS)
            else:
                await self._until_silent()
                _log.warning("nothing has come by Kafka for %.0f s, subscribing anew", SILENT_SECONDS_MAX)
            await self._unsubscribe()

    async def _until_silent(self) -> None:
        """Return when consumers are behind, work on nothing, and nothing has come for too long.

        Kafka's client may lose its connection in a way that it never gets over; it does not say so.
        """
        self._heard = time.monotonic()
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            behind = any(self._keeps_up(each) and each.position < self._seen for each in self._members.values())
            if self._batch is not None or not behind:
                self._heard = time.monotonic()
            elif time.monotonic() - self._heard > SILENT_SECONDS_MAX:
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
            max_records=BATCH_EVENTS_MAX,
            batch_timeout_ms=_IDLE_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=_FETCH_BYTES_MAX,
            # Looked for only where Kafka has lost our offset: its data was wiped, so all that is there is new.
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
            _log.warning("a subscription did not end in good order: %s: %s", type(error).__name__, error)

    async def _begin_at_the_end(self) -> bool:
        """Let a group that Kafka does not know begin at the topic's end: what came before is read from the log."""
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
        """Take a batch; FastStream goes on to the next one whatever is raised here, and the log fills the hole then."""
        try:
            await self._hand_out(message)
        except Exception:
            _log.exception("a batch could not be taken")
            raise

    async def _hand_out(self, message: KafkaMessage) -> None:
        """Hand a batch to every consumer that goes on, and acknowledge it once all of them have committed it."""
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
        """Whether a consumer goes on and does not fail again and again: such a one reads the log once it can."""
        return self._goes_on(member) and member.failures < FAILURES_MAX

    async def _wait_out(self, member: Member, error: Exception) -> None:
        if member.failures + 1 >= FAILURES_MAX and self._batch is not None:
            self._batch.finished_by(member.name)  # the others' batches go on
        await super()._wait_out(member, error)

    def trouble(self) -> str:
        """Say whether Kafka is away: commands read the log then, readers wait."""
        quiet = time.monotonic() - self._heard > SILENT_SECONDS_MAX
        return "" if self.connected and not quiet else "nothing comes by Kafka"

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
        """Apply what follows by its chain hashes; if nothing does, let the log say what does."""
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
        batch.finished_by(member.name)  # what is left of it is of another log

    def _stop_member(self, member: Member, stopped: ConsumerStopped) -> None:
        super()._stop_member(member, stopped)
        if self._batch is not None:
            self._batch.finished_by(member.name)  # the others' batch is not kept from being acknowledged

    # --- what Kafka does not bring -------------------------------------------------------------------------------

    async def bring(
        self, consumers: str | Consumer | Iterable[str | Consumer], position: int, timeout_seconds: float
    ) -> bool:
        """Wait a moment for Kafka, then read the log up to `position`: a command goes on while Kafka is away."""
        if isinstance(consumers, str) or not isinstance(consumers, Iterable):
            consumers = (consumers,)
        wanted = list(consumers)
        started = time.monotonic()
        # Who has waited in vain does not wait again before anything has come: Kafka may be away for long.
        grace = 0.0 if self._waited_in_vain == self._batches else min(GRACE_SECONDS, timeout_seconds)
        if await self.reached(wanted, position, grace):
            return True
        self._waited_in_vain = self._batches
        for member in self._named(wanted):
            member.read_up_to(position, "conflict")
        return await self.reached(wanted, position, max(0.0, timeout_seconds - (time.monotonic() - started)))

    async def _watch_head(self) -> None:
        """Know how far the log is, and notice one that was put back under our feet."""
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
                if checkpoint.position < self._furthest.get(member.name, 0):  # it has begun anew by itself
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
