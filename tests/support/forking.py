"""The process that `starting.py` forks programs off: it imports the libraries of all of them, and waits.

The one rule: only libraries are imported here, never a service or anything that reads the environment; and there is one
thread when a program is forked off, since the others would be missing in it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

from libs.contracts.crash import arm

LIBRARIES = (
    "aiosqlite",
    "asyncpg",
    "faststream.kafka",
    "libs.bus.kafka",
    "libs.gates",
    "libs.gittree",
    "libs.runtime.standalone",
    "libs.templates",
    "pg8000",
    "uvloop",
)
ADOPTED_SECONDS_MAX = 10.0
_PDEATHSIG = 1  # PR_SET_PDEATHSIG


def serve() -> dict[str, Any] | None:
    """Fork off a child for each line of the input; return, in that child, what it is to run, and None at the end."""
    while line := sys.stdin.buffer.readline():
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:  # the child of a child that has ended is adopted by who asked for it
            os.close(reading)
            pid = os.fork()
            if pid == 0:
                os.close(writing)
                return dict(json.loads(line))
            os.write(writing, str(pid).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            pid = int(told.read())
        os.waitpid(between, 0)
        print(pid, flush=True)
    return None


def become(asked: dict[str, Any]) -> None:
    """Be the process that was asked for; returns when it has ended well."""
    deadline = time.monotonic() + ADOPTED_SECONDS_MAX
    while os.getppid() != asked["parent"]:
        if time.monotonic() > deadline:
            os._exit(70)  # whoever asked has died
        time.sleep(0.001)  # the kernel tells of no adoption, and little is imported here
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != asked["parent"]:
        os._exit(70)  # it died before that was said
    os.setsid()
    for target, path, how in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, how, 0o644)
        os.dup2(opened, target)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["directory"])
    if crash := os.environ.get("RESEDGE_CRASH_AT"):  # which is read when the library is imported
        arm(crash)
    if asked["directory"] not in sys.path:
        sys.path.insert(0, asked["directory"])
    sys.argv = [asked["module"], *asked["arguments"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # it starts threads when it is imported, and a fork has one
    for name in LIBRARIES:
        importlib.import_module(name)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        sys.exit("a library has started a thread: a service that is forked off would miss it")
    gc.collect()
    gc.freeze()  # what all have in common stays in common
    if (service := serve()) is not None:
        become(service)
