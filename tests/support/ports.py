"""Ports for servers of tests: free, and promised to one test run even before something listens there.

They lie below the ephemeral range, so that no outgoing connection takes one while its server is down.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path

_FIRST, _END = 20_000, 32_000
_promised: dict[int, int] = {}
"""Port → the open file whose lock is the promise; both end with this process."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has, in order."""
    found: set[int] = set()
    while len(found) < count:
        port = _FIRST + secrets.randbelow(_END - _FIRST)
        if _promise(port):
            found.add(port)
    return sorted(found)


def free_neighbours(count: int) -> int:
    """Return the first of so many ports in a row, none of which anybody has; it is a multiple of their number."""
    while True:
        first = count * (-(-_FIRST // count) + secrets.randbelow((_END - _FIRST) // count))
        if all(_promise(first + step) for step in range(count)):
            return first


def _promise(port: int) -> bool:
    """Take a port for this process; what was taken in vain, because its neighbour was not free, stays taken."""
    if port in _promised:
        return False
    promises = Path(tempfile.gettempdir()) / f"resedge-ports-{os.getuid()}"
    promises.mkdir(exist_ok=True)
    promise = os.open(promises / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    with socket.socket() as probe:
        try:
            fcntl.flock(promise, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(promise)
            return False
    _promised[port] = promise
    return True
