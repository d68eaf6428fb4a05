"""Worker processes that hash and pack large families beside the process that answers requests.

They are started by `exec`, so that running threads do not matter, and again when one has died. When a worker dies,
every sink that wrote to it fails with `WorkerDied`, and nothing of those sinks ever becomes visible.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from libs.children import environment, python
from libs.gittree.owner import temporary_name
from libs.gittree.pack import CHUNK_OBJECTS, remove_pack
from libs.gittree.wire import receive, send
from libs.gittree.worker import Abort, Failure, Finish, Request, Write

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

    from numpy.typing import NDArray

    from libs.gittree.family import Family
    from libs.gittree.merge import WrittenPack

# One chunk is worked on while the next one is on its way.
_IN_FLIGHT = 2
_END_SECONDS = 5


class WorkerDied(RuntimeError):  # noqa: N818 - it states the fact
    """A worker process ended or failed; its packs are lost and nothing of them is visible. Repeat the work."""

    code = "worker-died"


@dataclass(eq=False, slots=True)
class _Task:
    """One request. A chunk is cut out of its family only when a worker is about to get it."""

    packs: WorkerPacks
    family: Family | None = None
    start: int = 0
    stop: int = 0
    request: Request | None = None
    future: Future[Any] = field(default_factory=Future)

    def request_for(self, worker: _Worker) -> Request:
        if self.request is not None:
            return self.request
        if self.family is None:
            raise AssertionError("a task must be a request or a chunk")
        return Write(self.packs.path_for(worker), self.family.part(self.start, self.stop))


class _Worker:
    """One process, the thread that sends to it and the thread that receives from it."""

    def __init__(self, pool: Workers, number: int) -> None:
        self._pool = pool
        self.own: deque[_Task] = deque()
        self.alive = True
        self._sent: deque[_Task] = deque()
        self._room = threading.Semaphore(_IN_FLIGHT)
        own = environment()
        own.pop("RESEDGE_CRASH_AT", None)
        self.process = subprocess.Popen(
            python("-c", "from libs.gittree.worker import main; main()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=own,
        )
        self._threads = [
            threading.Thread(target=target, name=f"gittree-{name}-{number}", daemon=True)
            for name, target in (("send", self._send), ("hear", self._hear))
        ]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        stream = _open(self.process.stdin)
        while True:
            self._room.acquire()
            task = self._pool.next_task(self)
            if task is None:
                break
            if not task.future.set_running_or_notify_cancel():
                self._room.release()
                continue
            self._sent.append(task)
            try:
                send(stream, task.request_for(self))
            except OSError:
                break  # the receiving thread also sees the end of the process, and reports it
            except (WorkerDied, ValueError, TypeError, IndexError, MemoryError) as error:
                self._sent.pop()
                self._room.release()
                task.packs.fail(str(error))
                task.future.set_exception(error)
        with contextlib.suppress(OSError):
            stream.close()

    def _hear(self) -> None:
        stream = _open(self.process.stdout)
        while True:
            try:
                answer = receive(stream)
            except (EOFError, OSError):
                break
            task = self._sent.popleft()
            self._room.release()
            if isinstance(answer, Failure):
                task.packs.fail(answer.reason)
                task.future.set_exception(WorkerDied(answer.reason))
            else:
                task.future.set_result(answer)
        stream.close()
        self._pool.lose(self)

    def stop(self) -> None:
        """Wait for the process, which ends when its input closes, and for its threads."""
        self._room.release()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def drain(self) -> list[_Task]:
        """Return and forget the requests that will never be answered."""
        lost = [*self._sent, *self.own]
        self._sent.clear()
        self.own.clear()
        self._room.release()
        return lost


def _open(stream: Any) -> BinaryIO:
    if stream is None:
        raise AssertionError("a worker is started with pipes")
    opened: BinaryIO = stream
    return opened


class Workers:
    """A fixed number of worker processes. Thread-safe; use it as a context manager or `close` it."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError("at least one worker is needed")
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        self._shared: deque[_Task] = deque()
        self._closing = False
        self.count = count
        self._workers = [_Worker(self, number) for number in range(count)]

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def packs(self, directory: Path) -> WorkerPacks:
        """Return a new set of packs, one a worker, with temporary names in `directory`; starts dead workers again."""
        with self._starting:
            if self._closing:
                raise WorkerDied("the workers are closed")
            for number, worker in enumerate(self._workers):
                if not worker.alive:
                    worker.stop()
                    self._workers[number] = _Worker(self, number)
        return WorkerPacks(self, directory)

    def submit(self, tasks: list[_Task], worker: _Worker | None = None) -> None:
        """Queue tasks for whichever worker is free, or for one."""
        with self._changed:
            if self._closing or not all(each.alive for each in ([worker] if worker else self._workers)):
                raise WorkerDied("a worker process is gone")
            (self._shared if worker is None else worker.own).extend(tasks)
            self._changed.notify_all()

    def next_task(self, worker: _Worker) -> _Task | None:
        """Wait for the worker's next task and return it; None when there will be no more."""
        with self._changed:
            while True:
                if not worker.alive or self._closing:
                    return None
                if worker.own:
                    return worker.own.popleft()
                if self._shared:
                    return self._shared.popleft()
                self._changed.wait()

    def lose(self, worker: _Worker) -> None:
        """Record that a worker is gone; fail its tasks, and the waiting ones, which may be of the same sinks."""
        with self._changed:
            if not worker.alive:
                return
            worker.alive = False
            lost = [*worker.drain(), *self._shared]
            self._shared.clear()
            self._changed.notify_all()
        for task in lost:
            task.packs.fail("a worker process ended")
            with contextlib.suppress(InvalidStateError):  # cancelled meanwhile
                task.future.set_exception(WorkerDied("a worker process ended"))

    def close(self) -> None:
        """End the workers; what they were doing is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class WorkerPacks:
    """The packs of one sink, one a worker that got a chunk of it."""

    def __init__(self, pool: Workers, directory: Path) -> None:
        self._pool = pool
        self._directory = directory
        self._lock = threading.Lock()
        self._paths: dict[_Worker, Path] = {}
        self._failed: str | None = None

    def path_for(self, worker: _Worker) -> Path:
        """Return the temporary name of the worker's pack.

        Raises:
            WorkerDied: a part is lost or the sink was given up, so that further work would be useless.
        """
        with self._lock:
            if self._failed is not None:
                raise WorkerDied(self._failed)
            if worker not in self._paths:
                self._paths[worker] = self._directory / temporary_name("pack")
            return self._paths[worker]

    def fail(self, reason: str) -> None:
        """Record that a chunk is lost, so that `finish` refuses."""
        with self._lock:
            self._failed = self._failed or reason

    def write(self, family: Family) -> NDArray[np.uint8]:
        """Spread the family over the workers and return its ids; blocks."""
        tasks = self._submit(family)
        return np.concatenate([task.future.result() for task in tasks])

    async def write_async(self, family: Family) -> NDArray[np.uint8]:
        """Spread the family over the workers and return its ids."""
        tasks = self._submit(family)
        return np.concatenate(await asyncio.gather(*(asyncio.wrap_future(task.future) for task in tasks)))

    def _submit(self, family: Family) -> list[_Task]:
        step = min(CHUNK_OBJECTS, -(-family.count // self._pool.count))
        tasks = [_Task(self, family, start, min(start + step, family.count)) for start in range(0, family.count, step)]
        self._pool.submit(tasks)
        return tasks

    def finish(self) -> list[WrittenPack]:
        """Complete every pack, on disk, under temporary names.

        Raises:
            WorkerDied: a worker that had a part of it is gone.
        """
        if self._failed is not None:
            raise WorkerDied(self._failed)
        tasks = []
        for worker, path in self._paths.items():
            tasks.append(_Task(self, request=Finish(path)))
            self._pool.submit(tasks[-1:], worker)
        written = [task.future.result() for task in tasks]
        return [pack for pack in written if pack is not None]

    def abort(self) -> None:
        """Delete the packs."""
        self.fail("the sink was given up")
        for worker, path in self._paths.items():
            task = _Task(self, request=Abort(path))
            with contextlib.suppress(WorkerDied):
                self._pool.submit([task], worker)
                task.future.result()
            remove_pack(path)
