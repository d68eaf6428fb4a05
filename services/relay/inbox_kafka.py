"""The inbox's topic: external events from Kafka, one after the other.

The one rule: a message is acknowledged by hand, after its outcome is in the log; a message that cannot be decided now
is retried in place, and no later message of its partition overtakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import KafkaAckableMessage
from faststream.kafka.schemas import Topic
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.bus.metrics import QUEUE_DEPTH
from libs.bus.untouched import as_it_is, untouched
from libs.commands.problems import problem_of
from libs.contracts.crash import crash_point
from libs.contracts.problems import Problem
from libs.web.application import Readiness
from services.relay.inbox import REFUSED, EventOutcome, Inbox
from services.relay.inbox_events import Received, kafka_headers

TOPIC = "resedge.inbox"
DEAD_LETTERS_TOPIC = "resedge.inbox.dlq"
_GROUP = "resedge.relay"
QUEUE = "inbox"
CONNECT_AGAIN_SECONDS = 1.0
PROBE_MS = 5_000
SESSION_MS = 6_000
"""How long a relay that died keeps its partitions; the minimum of brokers by default."""
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
PATIENCE_SECONDS = 60.0
"""How long a message is retried in place before it is returned to Kafka: well below the time after which Kafka
considers us dead.
"""
DEFECTS_MAX = 3
"""How often a message on which our own code fails is retried before it becomes a dead letter: it must not block the
others.
"""
FETCH_BYTES_MAX = 8 * 1024 * 1024
END_SECONDS = 8.0
_LOOK_SECONDS = 5.0
_SILENT_SECONDS_MAX = 15.0
"""How long messages may wait in our partitions without one arriving, before we subscribe again."""

_log = structlog.get_logger("resedge.inbox")
_tracer = trace.get_tracer("resedge.inbox")
_propagator = TraceContextTextMapPropagator()


class InboxTopic:
    """Subscribes to the inbox's topic for as long as the process runs."""

    def __init__(self, servers: str, inbox: Inbox, prefix: str = "") -> None:
        """Take Kafka's address (`host:port,…`), the inbox that decides about events, and the prefix of topic names."""
        self._servers = servers.split(",")
        self._inbox = inbox
        self._topic, self._dead_letters, self._group = prefix + TOPIC, prefix + DEAD_LETTERS_TOPIC, prefix + _GROUP
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._deciding = False
        self._taken = 0
        self.trouble = "not connected yet"

    async def begin(self) -> None:
        """Begin to receive, now or as soon as Kafka answers."""
        self._task = asyncio.create_task(self._stay_subscribed())

    async def end(self) -> None:
        """Finish the current message, or return it; then leave the group."""
        self._ending.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._unsubscribe()

    async def ready(self) -> Readiness:
        """Return the state of the topic; an unreachable Kafka is reported, but does not make the process unready."""
        return Readiness("inbox", ok=True, detail=self.trouble or f"receives from {self._topic}")

    async def _stay_subscribed(self) -> None:
        while not self._ending.is_set():
            try:
                await self._subscribe()
            except Exception as error:  # noqa: BLE001 - whatever the client fell over, it is tried again
                self.trouble = f"Kafka cannot be reached: {error}"
                _log.warning("inbox.subscribe", reason=str(error))
                await self._unsubscribe()
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)
            else:
                self.trouble = ""
                _log.info("inbox.subscribed", topic=self._topic, group=self._group)
                await self._until_silent()
                _log.warning("inbox.silent", seconds=_SILENT_SECONDS_MAX)
                await self._unsubscribe()

    async def _until_silent(self) -> None:
        """Return when messages wait in our partitions, none is being decided, and none has come for too long.

        Kafka's client may lose its connection for ever, without an error.
        """
        heard = time.monotonic()
        taken = self._taken
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with asyncio.timeout(_SILENT_SECONDS_MAX):
                    waiting = await self._waiting(self._subscriber.consumer)
            except (KafkaError, OSError):
                waiting = 1  # it cannot even tell that
            if not waiting or self._deciding or taken != self._taken:
                heard, taken = time.monotonic(), self._taken
            elif time.monotonic() - heard > _SILENT_SECONDS_MAX:
                return

    @staticmethod
    async def _waiting(consumer: Any) -> int:
        """Ask Kafka how many messages of our partitions have not come yet."""
        ours = consumer.assignment()
        ends = await consumer.end_offsets(ours) if ours else {}
        return sum([max(0, end - await consumer.position(partition)) for partition, end in ends.items()])

    async def _look(self) -> None:
        """Check Kafka and the topic before subscribing: topics are created with their partitions elsewhere.

        Raises:
            KafkaError: Kafka does not answer, or has no such topic yet.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=PROBE_MS)
        try:
            await admin.start()
            if self._topic not in await admin.list_topics():
                raise UnknownTopicOrPartitionError(f"there is no topic {self._topic}")
        finally:
            await admin.close()

    async def _subscribe(self) -> None:
        await self._look()
        broker = KafkaBroker(self._servers, logger=None, graceful_timeout=5.0, apply_types=False)
        subscriber = broker.subscriber(
            Topic(self._topic, declare=False),
            group_id=self._group,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=SESSION_MS // 3,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            ack_policy=AckPolicy.MANUAL,
            parser=self._parsed,
            decoder=as_it_is,
        )
        subscriber(self._take)
        self._broker, self._subscriber = broker, subscriber
        await broker.start()

    async def _unsubscribe(self) -> None:
        broker, self._broker = self._broker, None
        if broker is None:
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await broker.stop()
        except Exception as error:  # noqa: BLE001 - its connections are broken in whatever way: it is dropped
            _log.warning("inbox.unsubscribe", reason=f"{type(error).__name__}: {error}")

    async def _parsed(self, record: Any, _original: Any = None) -> KafkaAckableMessage:
        """Wrap a message as it is: what its headers mean is decided where events are read."""
        return untouched(record, f"{record.partition}-{record.offset}", self._subscriber.consumer)

    async def _take(self, message: KafkaMessage) -> None:
        """Decide about a message; it is acknowledged only after its outcome is in the log."""
        taken = False
        self._deciding = True
        try:
            taken = await self._settled(message.raw_message)
        except Exception:
            _log.exception("inbox.not-taken")
            raise
        finally:
            self._deciding = False
            self._taken += 1
            if not taken:
                await message.nack()
        crash_point("relay.inbox.before-ack")
        with contextlib.suppress(KafkaError):  # it comes again, and then already has its outcome
            await message.ack()
        crash_point("relay.inbox.after-ack")
        with contextlib.suppress(KafkaError):  # the partition has just been given to another relay
            await self._measure(message)

    async def _settled(self, record: Any) -> bool:
        headers = [(name, value or b"") for name, value in record.headers]
        received = Received(kafka_headers(headers), record.value or b"")
        traced = {name: value.decode("latin-1") for name, value in headers if name in {"traceparent", "ce_traceparent"}}
        carrier = {"traceparent": next(iter(traced.values()))} if traced else {}
        with _tracer.start_as_current_span("inbox message", _propagator.extract(carrier), kind=SpanKind.CONSUMER):
            outcome = await self._decided(received)
        if outcome is None:
            return False
        return outcome.outcome != REFUSED or await self._told(record, headers, outcome)

    async def _decided(self, received: Received) -> EventOutcome | None:
        """Return the outcome; None: it was not decided in time, so the message is returned."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        attempt = 0
        while not self._ending.is_set() and loop.time() < until:
            try:
                outcome = await self._inbox.receive(received)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message has to go somewhere
                problem = problem_of(error)
                if problem is None and attempt >= DEFECTS_MAX:
                    return await self._inbox.gave_up(received, error)
                self.trouble = _said(problem, error)
                _log.warning("inbox.again", reason=self.trouble)
                with contextlib.suppress(TimeoutError):
                    wait = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
                    await asyncio.wait_for(self._ending.wait(), wait)
                attempt += 1
            else:
                self.trouble = ""
                return outcome
        return None

    async def _told(self, record: Any, came: list[tuple[str, bytes]], outcome: EventOutcome) -> bool:
        """Send what was refused to the dead letters' topic as it came, with the letter's name and the reason."""
        problem = outcome.problem or {}
        headers = {name: value.decode("utf-8", "replace") for name, value in came}
        ours = {"resedge_letter": outcome.letter, "resedge_code": str(problem.get("code", ""))}
        ours |= {"resedge_reason": str(problem.get("detail", ""))[:1_000]}
        broker = self._broker
        if broker is None:
            return False
        try:
            try:
                await broker.publish(record.value or b"", self._dead_letters, key=record.key, headers=headers | ours)
            except MessageSizeTooLargeError:  # as text it is larger than it came; the log has the letter
                await broker.publish(b"", self._dead_letters, headers=ours | {"resedge_cut": "true"})
        except (KafkaError, OSError) as error:
            _log.warning("inbox.dead-letter", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), CONNECT_AGAIN_SECONDS)
            return False
        return True

    async def _measure(self, message: KafkaMessage) -> None:
        """Set the metric of messages that wait in our partitions."""
        consumer: Any = message.consumer
        waiting = 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is not None:
                waiting += max(0, end - await consumer.position(partition))
        QUEUE_DEPTH.labels(QUEUE).set(waiting)


def _said(problem: Problem | None, error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if problem is None else problem.detail
