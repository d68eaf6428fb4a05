"""Events from the log to their consumers: each applied in order, exactly once in effect."""

from libs.bus.chaos import ChaosFeed
from libs.bus.consumers import ModelConsumer, SnapshotHooks, ViewConsumer, view_engine
from libs.bus.contract import START, Checkpoint, Consumer, ConsumerStopped, LogSource
from libs.bus.feed import ConsumerState, LogFeed, stopped_reasons

__all__ = [
    "START",
    "ChaosFeed",
    "Checkpoint",
    "Consumer",
    "ConsumerState",
    "ConsumerStopped",
    "LogFeed",
    "LogSource",
    "ModelConsumer",
    "SnapshotHooks",
    "ViewConsumer",
    "stopped_reasons",
    "view_engine",
]
