"""A throwaway Kafka broker for tests: a real one, on loopback ports and a data directory of its own.

It fails, and says what to install, where Java or the broker's jars are missing: a skipped test proves nothing. A broker
dies with the process that started it, and no two ever work on one data directory.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from libs.bus.topics import TOPICS, ensure_topics
from tests.support.children import end
from tests.support.ports import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
READY_SECONDS = 180.0
STOP_SECONDS = 30.0
_T = TypeVar("_T")
_SPAWNER = ThreadPoolExecutor(1, "kafka-spawner")
"""Starts the brokers: Linux ends them with the thread that started them, and this one lives as long as the process."""


class KafkaMissing(RuntimeError):  # noqa: N818 - it states the fact
    """What the broker needs is not installed: `scripts/setup --test` installs it."""


class KafkaNotRunning(RuntimeError):  # noqa: N818 - it states the fact
    """The broker ended, or was not ready in time; the end of what it said is in the message."""


def _check_installed() -> None:
    if shutil.which("java") is None:
        raise KafkaMissing("java was not found: run scripts/setup --test (apt-get install openjdk-17-jre-headless)")
    lib, pom = ROOT / ".cache/kafka/lib", ROOT / ".cache/kafka/pom.xml"
    wanted = (ROOT / "scripts/kafka-broker/pom.xml").read_bytes()
    if not lib.is_dir() or not pom.is_file() or pom.read_bytes() != wanted:
        raise KafkaMissing("the Kafka broker's jars are not in .cache/kafka: run scripts/kafka install")


def _in_own_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` in a thread of its own: the caller may be inside a running event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _lists_a_broker(servers: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=5_000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


class Broker:
    """One broker; it keeps its ports and its data from `start` to `start`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._port, self._controller_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self.servers = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the broker and return when it answers; 3 to 6 seconds.

        Raises:
            KafkaNotRunning: it ended, or did not answer in time.
        """
        assert self._process is None, "the broker runs already"
        self._process = _SPAWNER.submit(self._spawn).result()
        self.wait_ready()

    def _spawn(self) -> subprocess.Popen[bytes]:
        run = [str(ROOT / "scripts/kafka"), "run", str(self._data), str(self._port), str(self._controller_port)]
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *run],  # not even a test run that is killed leaves a broker behind
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it
            )

    def ensure_running(self) -> None:
        """Start the broker again if it was left dead."""
        if self._process is None or self._process.poll() is not None:
            self._process = None
            self.start()

    def wait_ready(self) -> None:
        """Return when the broker lists itself; the test's own event loop is left alone."""

        def answers() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise KafkaNotRunning(f"the broker ended while starting\n{self.said()}")
            return self._answers()

        until(answers, READY_SECONDS, "the broker is ready")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", self._port)) != 0:
                return False
        return _in_own_loop(_lists_a_broker(self.servers))

    def said(self) -> str:
        """Return the last of what the broker wrote, and its exit code where it has ended."""
        code = self._process.poll() if self._process is not None else None
        text = (self._directory / "log").read_text("utf-8", "replace")
        return text[-4_000:] + (f"\nexit code {code}" if code is not None else "")

    def kill(self) -> None:
        """End the broker as a power cut would: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the broker in good order: SIGTERM."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            end(self._process)
        self._process = None

    def wipe(self) -> None:
        """Kill the broker and delete all of its data; `start` then makes an empty one on the same address."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    def topics(self, prefix: str = "") -> Mapping[str, str]:
        """Create the topics under `prefix` and return the full name of each by its plain name."""
        report = _in_own_loop(ensure_topics(self.servers, prefix=prefix))
        assert not report.differing, report.differing
        return {topic.name: prefix + topic.name for topic in TOPICS}


@contextmanager
def kafka() -> Iterator[Broker]:
    """Run a broker without topics, and drop it with everything in it afterwards.

    Raises:
        KafkaMissing: Java or the jars are not here.
    """
    _check_installed()
    directory = Path(tempfile.mkdtemp(prefix="resedge-kafka-", dir="/tmp"))
    broker = Broker(directory)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)
