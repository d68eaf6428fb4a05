"""Limits repeated log messages of Kafka's client while a broker is away to two a minute.

The first message of each kind always passes, with its level.
"""

from __future__ import annotations

import logging
import threading
import time

SECONDS_BETWEEN = 30.0
_NAMES = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)


class Seldom(logging.Filter):
    """Lets each kind of message (its text without its values) pass once in `SECONDS_BETWEEN`."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record passes."""
        kind, now = (record.name, str(record.msg)), time.monotonic()
        with self._lock:
            if now - self._last.get(kind, -SECONDS_BETWEEN) < SECONDS_BETWEEN:
                return False
            self._last[kind] = now
        return True


_seldom = Seldom()


def speak_seldom() -> None:
    """Limit the messages of Kafka's client; safe to call again."""
    for name in _NAMES:
        logging.getLogger(name).addFilter(_seldom)
