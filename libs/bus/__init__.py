"""Events from the log to their consumers: each applied in order, exactly once in effect."""

from libs.bus.chaos import ChaosFeed
from libs.bus.consumers import ModelConsumer, SnapshotHooks, ViewConsumer
from libs.bus.contract import START, Checkpoint, Consumer, ConsumerStopped, EventCannotBeApplied, LogSource
from libs.bus.feed import LogFeed
from libs.bus.members import Feed
from libs.bus.states import ConsumerState, stopped_reasons
from libs.bus.storage import view_engine

__all__ = [
    "START",
    "ChaosFeed",
    "Checkpoint",
    "Consumer",
    "ConsumerState",
    "ConsumerStopped",
    "EventCannotBeApplied",
    "Feed",
    "LogFeed",
    "LogSource",
    "ModelConsumer",
    "SnapshotHooks",
    "ViewConsumer",
    "stopped_reasons",
    "view_engine",
]
