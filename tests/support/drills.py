"""What drills share: the seed of a round, and killing a service at a point of its work.

The one rule: all chance in a drill comes from `chance()`, so that a round that failed can be told by its seed; what
the threads and the machine do in between stays different each time.
"""

from __future__ import annotations

import os
import random
import signal

from tests.support.system import System

SEED = "RESEDGE_DRILL_SEED"
DIE_SECONDS_MAX = 60.0


def seed() -> int:
    """Return the seed of this round; 0 where nobody has set one."""
    return int(os.environ.get(SEED, "0"))


def chance() -> random.Random:
    """Return the chance of this round."""
    return random.Random(seed())


def shuffled(chances: random.Random, points: tuple[str, ...]) -> list[str]:
    """Return crash points in an order of chance."""
    return chances.sample(points, len(points))


def die_at(system: System, service: str, crash: str, replica: str = "a") -> None:
    """Start a service that is to die at a crash point (`name:N`), and return once it has."""
    system.start(service, replica=replica, crash=crash, ready=False)
    process = system.processes[service, replica]
    code = process.wait_dead(DIE_SECONDS_MAX)
    assert code == -signal.SIGKILL, f"{service} was to die at {crash} and ended with {code}: {process.said()}"
