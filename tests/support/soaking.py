"""The soak: a real embedded server under steady changes by HTTP, stopped and killed now and then, and watched.

What was answered as done is done, however the server ended just after; and what it takes of the machine stays flat. All
chance comes from the seed; what follows from a change is rendered while others come.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.bench.fleet_server import Server
from tests.support.flatness import Growth, Sample, growth
from tests.support.soaked import STORES, Change, Changes, fill

RETRY_SECONDS, RETRY_SECONDS_MAX = 0.1, 120.0
LOOKS_AT_HOLDS_EVERY = 25
SETTLED_SECONDS_MAX = 120
VERIFY_SECONDS_MAX = 900
WARM_SHARE, WARM_SECONDS_MAX = 0.05, 30.0
"""A process is warm after this share of the whole time, or after so long."""
BOUNDS: dict[str, tuple[float, float]] = {"rss_megabytes": (0.05, 8.0), "files": (0.0, 8.0), "threads": (0.0, 4.0)}
"""Figure → how much it may grow over the second half: share of its median, or (where that is more) so much.

Connections of the views open one by one as requests come together, each with its files and thread.
"""
JUDGED_SECONDS_MIN = 300.0
"""A shorter soak tells of growth and does not judge it: a process warms up for minutes."""
PARTS = {"log": ("log.db",), "views": ("views",), "snapshots": ("snapshots",), "repository": ("gitops.git",)}


class SoakServer(Server):
    """A server whose removals settle within a second, so that stores come and go often."""

    def __init__(self) -> None:
        super().__init__(STORES)
        self.environment = {"RESEDGE_RENDERING_REMOVALS_SETTLE_SECONDS": "1"}

    def kill(self) -> None:
        """End it without a warning."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
            self.process = None

    def figures(self) -> dict[str, float]:
        """Return the memory (MB), open files and threads of the server and its workers now.

        Memory is what is the processes' own: pages of the log's file that SQLite has mapped grow with the log, up to
        256 MB, and the system takes them back whenever it likes.
        """
        found: dict[str, float] = dict.fromkeys(BOUNDS, 0)
        for pid in self.processes():
            with contextlib.suppress(OSError):
                status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
                found["rss_megabytes"] += int(status["RssAnon"].split()[0]) / 1024
                found["threads"] += int(status["Threads"])
                found["files"] += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return found

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each part of the data directory."""
        return {name: sum(map(_bytes, _files(self.data_dir, patterns))) for name, patterns in PARTS.items()}


def _files(directory: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        for found in directory.glob(pattern):
            yield from found.rglob("*") if found.is_dir() else (found,)


def _bytes(path: Path) -> int:
    with contextlib.suppress(OSError):  # a file may go while it is looked at
        # What SQLite has not merged yet comes and goes.
        return path.stat().st_size if path.is_file() and not path.name.endswith(("-wal", "-shm")) else 0
    return 0


@dataclass(frozen=True, slots=True)
class Soaking:
    """For how long, how often a row is printed and the server restarted, and how many changes a second are asked."""

    seconds: float
    row_seconds: float = 60.0
    restart_seconds: float = 150.0
    rate: float = 10.0
    seed: int = 0


@dataclass
class Soak:
    """One soak, and what came of it."""

    asked: Soaking
    server: SoakServer = field(default_factory=SoakServer)
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    done: int = 0
    refused: int = 0
    runs: int = 0

    def __post_init__(self) -> None:
        self.changes = Changes(self.asked.seed)
        self._acknowledged: tuple[Change, str, str] | None = None
        self.began = self._started = time.monotonic()
        self._ready = False
        self._ended = threading.Event()

    def run(self, say: Callable[[str], None]) -> bool:
        """Soak, print a row now and then and the verdict at the end; return whether all is well."""
        try:
            self._start()
            fill(self.server)
            watcher = threading.Thread(target=self._watch)
            watcher.start()
            try:
                self._change_steadily(say)
            finally:
                self._ended.set()
                watcher.join()
            return self._verdict(say)
        finally:
            self.server.remove()

    def _start(self) -> None:
        self.server.start()
        self._started = time.monotonic()
        self.runs += 1
        self._ready = True

    # --- changes -------------------------------------------------------------------------------------------------

    def _change_steadily(self, say: Callable[[str], None]) -> None:
        self.began = time.monotonic()
        end, row_at, restart_at = (
            self.began + each for each in (self.asked.seconds, self.asked.row_seconds, self.asked.restart_seconds)
        )
        say(HEADING)
        row = Row.begun(self, self.began)
        while (now := time.monotonic()) < end:
            if now >= restart_at:
                self._restart()
                restart_at = time.monotonic() + self.asked.restart_seconds
            self._change()
            if self.done % LOOKS_AT_HOLDS_EVERY == 0:
                self._confirm()
            if time.monotonic() >= row_at:
                say(row.text())
                row = Row.begun(self, time.monotonic())
                row_at = row.since + self.asked.row_seconds
            time.sleep(max(0.0, now + 1 / self.asked.rate - time.monotonic()))  # the rate that was asked for
        if time.monotonic() - row.since > self.asked.row_seconds / 2:
            say(row.text())

    def _change(self) -> None:
        change, key = self.changes.next(), uuid.uuid4().hex
        started = time.perf_counter()
        answer = self._insist(change, key)
        self.taken.append(time.perf_counter() - started)
        self.done += 1
        if answer.status_code >= 500 or answer.status_code in {401, 403, 422}:
            self.failures.append(f"{change[0]} {change[1]}: {answer.status_code} {answer.text[:200]}")
        self.refused += answer.status_code in {404, 409}
        if answer.status_code < 300 and "Resedge-Position" in answer.headers:
            self._acknowledged = (change, key, answer.headers["Resedge-Position"])

    def _insist(self, change: Change, key: str) -> httpx2.Response:
        """Ask, and again with the same key where the server was away."""
        method, path, document = change
        deadline = time.monotonic() + RETRY_SECONDS_MAX
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                answer = self.server.client.request(method, path, json=document, headers={"Idempotency-Key": key})
                if answer.status_code != 503:
                    return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer to {method} {path}")
            time.sleep(RETRY_SECONDS)  # as a client that is told to come again

    def _confirm(self) -> None:
        """Let held removals go: somebody looks at the fuse."""
        for hold in self.server.client.get("/v1/holds").json()["items"]:
            path = f"/v1/holds/{hold['id']}/confirm"
            self.server.client.post(path, json={"reason": "soak"})  # 409 where it is another set by now

    def _restart(self) -> None:
        """End the server, politely or not, and hold its last answer against what the next one knows."""
        self._ready = False
        if self.runs % 2:
            self.server.stop()
        else:
            self.server.kill()
        self._start()
        if self._acknowledged is not None:
            change, key, position = self._acknowledged
            again = self._insist(change, key).headers.get("Resedge-Position", "")
            if again != position:
                self.failures.append(f"{change[1]} was acknowledged at {position}, and after a restart at {again}")

    # --- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Sample what the server takes; it is looked at from outside."""
        every = min(5.0, self.asked.seconds / 60)
        while not self._ended.wait(every):
            now, run, started = time.monotonic(), self.runs, self._started
            figures = self.server.figures() if self._ready else {}
            if figures and self._ready and run == self.runs:
                self.samples.append(Sample(now - self.began, run, now - started, figures))

    def commits(self) -> int:
        """Return how many commits the branch has."""
        command = ["git", "-C", str(self.server.data_dir / "gitops.git"), "rev-list", "--count", "main"]
        return int(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or 0)

    # --- judging -------------------------------------------------------------------------------------------------

    def growths(self) -> list[Growth]:
        """Return how much each figure grows."""
        warm = min(WARM_SECONDS_MAX, WARM_SHARE * self.asked.seconds)
        return [
            growth(self.samples, name, share=share, least=least, warm_seconds=warm)
            for name, (share, least) in BOUNDS.items()
        ]

    def _verdict(self, say: Callable[[str], None]) -> bool:
        found = [*self.failures[:10]]
        judged = self.asked.seconds >= JUDGED_SECONDS_MIN
        for each in self.growths():
            verdict = ("flat" if each.flat else "grows") if judged else "too short to judge"
            said = f"{each.name}: {each.grown:+.1f} over the second half (at {each.level:.0f}, {each.pairs} pairs)"
            say(f"{said}: {verdict}, {each.allowed:.1f} allowed")
            if judged and not each.flat:
                found.append(f"{each.name} grows, or could not be compared")
        found += self._checked()
        for problem in found:
            say(f"failed: {problem}")
        outcome = "failed" if found else "ok"
        say(f"{self.done} changes, {self.refused} of them refused, {self.runs - 1} restarts: {outcome}")
        return not found

    def _checked(self) -> Iterator[str]:
        parameters = {"timeout_seconds": SETTLED_SECONDS_MAX}
        if (answer := self.server.client.get("/v1/rendering:settled", params=parameters)).status_code != 200:
            yield f"rendering does not settle: {answer.status_code} {answer.text[:200]}"
        if (answer := self.server.client.get("/readyz", params={"verbose": "true"})).status_code != 200:
            yield f"readyz: {answer.status_code} {answer.text[:400]}"
        command = [sys.executable, "-m", "cli", "verify", "--all"]
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.server.place), "NO_COLOR": "1"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=VERIFY_SECONDS_MAX
        )
        if done.returncode:
            yield f"verify --all: {done.stdout[-800:]} {done.stderr[-400:]}"


HEADING = (
    f"{'minute':>6} {'changes':>7} {'commits':>7} {'p50 ms':>6} {'p99 ms':>6} {'RSS MB':>6} {'files':>5} {'threads':>7}"
    f"   bytes a change: {' '.join(f'{name:>10}' for name in PARTS)}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a row is told from: the state of a soak when it began."""

    soak: Soak
    since: float
    done: int
    commits: int
    sizes: dict[str, int]

    @classmethod
    def begun(cls, soak: Soak, since: float) -> Row:
        """Return the row that begins now."""
        soak.taken.clear()
        return cls(soak, since, soak.done, soak.commits(), soak.server.sizes())

    def text(self) -> str:
        """Return the row that ends now."""
        soak, taken = self.soak, sorted(self.soak.taken)
        done = max(1, soak.done - self.done)
        p50, p99 = (taken[min(len(taken) - 1, int(len(taken) * each))] * 1e3 if taken else 0 for each in (0.5, 0.99))
        figures = soak.samples[-1].figures if soak.samples else soak.server.figures()
        sizes = soak.server.sizes()
        grown = " ".join(f"{(sizes[name] - self.sizes[name]) / done:>10,.0f}" for name in PARTS)
        minute = (time.monotonic() - soak.began) / 60
        return (
            f"{minute:>6.1f} {done:>7} {soak.commits() - self.commits:>7} {p50:>6.1f} {p99:>6.1f} "
            f"{figures['rss_megabytes']:>6.0f} {figures['files']:>5.0f} {figures['threads']:>7.0f}   {'':>15} {grown}"
        )
