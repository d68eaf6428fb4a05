"""A server of its own for measuring: a real process, driven by HTTP only, with a synthetic fleet."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import yaml

NAMESPACES, APPLICATIONS = 5, 25
ZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
SIZES = ("small", "large")
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, labels: {app: NAME}}
spec:
  replicas: ${edge.config.replicas:-1}
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - name: main
        image: registry.example/NAME:VERSION
        args: ["--level", "${edge.config.logLevel:-info}"]
        env:
        - {name: STORE, value: "OWN"}
        - {name: TZ, value: "${edge.store.timezone}"}
        - {name: SIZE, value: "${edge.labels.size}"}
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
        livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 10}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{port: 80, targetPort: 8080}]}
"""


class Server:
    """`resedge up` on a temporary data directory."""

    def __init__(self, stores: int) -> None:
        self.stores = stores
        self.place = Path(tempfile.mkdtemp(prefix="resedge-bench-"))
        self.data_dir = self.place / "data"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx2.Client(base_url=self.url, timeout=600)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def start(self) -> float:
        """Start it and return the seconds until it is ready."""
        places = {"XDG_CONFIG_HOME": str(self.place), "XDG_STATE_HOME": str(self.place)}
        environment = {**os.environ, **self.environment, **places}
        started = time.perf_counter()
        with (self.place / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up", "--data-dir", str(self.data_dir), "--port", str(self.port)],
                env=environment,
                stdout=log,
                stderr=log,
            )
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                if self.client.get("/readyz").status_code == 200:
                    break
            if self.process.poll() is not None:
                raise RuntimeError((self.place / "server.log").read_text()[-2000:])
            time.sleep(0.02)  # what is measured is when it answers, within this
        seconds = time.perf_counter() - started
        contexts = yaml.safe_load((self.place / "resedge" / "config.yaml").read_text())["contexts"]
        self.client.headers["Authorization"] = f"Bearer {contexts[0]['token']}"
        return seconds

    def stop(self) -> None:
        """End it cleanly."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def remove(self) -> None:
        """End it and delete its files."""
        self.stop()
        self.client.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask, insist on success, and build the next request on what this one wrote."""
        answer = self.client.request(method, path, **more)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        if "Resedge-Position" in answer.headers:
            self.client.headers["Resedge-Position"] = answer.headers["Resedge-Position"]
        return answer

    def settled(self) -> dict[str, Any]:
        """Wait until all is rendered."""
        answer: dict[str, Any] = self.ask("GET", "/v1/rendering:settled", params={"timeout_seconds": 600}).json()
        return answer

    def timed(self, method: str, path: str, **more: Any) -> float:
        """Ask, wait until the commit exists, and return the seconds of both."""
        started = time.perf_counter()
        self.ask(method, path, **more)
        self.settled()
        return time.perf_counter() - started

    def peak_megabytes(self) -> float:
        """Return the peak resident memory of the server and its workers together."""
        return sum(map(_peak_kilobytes, self.processes())) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server and its workers have used, also those of them that have ended."""
        return sum(map(_cpu_seconds, self.processes()))

    def processes(self) -> tuple[int, ...]:
        """Return the ids of the server and of its workers."""
        if self.process is None:
            return ()
        children = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        return (self.process.pid, *map(int, children))

    def forget_snapshots(self) -> None:
        """Delete what a start could begin with; the log alone is left to it."""
        shutil.rmtree(self.data_dir / "snapshots", ignore_errors=True)

    def csv(self) -> bytes:
        """Return the fleet in the import's form."""
        rows = [
            f"store-{number:05d},{ZONES[number % 4]},{SIZES[number // 48 % 2]},s{number % 100},t{number // 4 % 6},"
            f"{'Acme3000|Acme3001' if number // 24 % 2 else 'Acme3000'}"
            for number in range(self.stores)
        ]
        return "\n".join(["name,timezone,size,state,tier,grill", *rows]).encode()

    def declare(self, *, shared: bool) -> None:
        """Declare namespaces, applications and two releases of each, on a group that is empty yet.

        With `shared`, 24 of 25 applications have 96 variants (4 zones x 6 tiers x 2 grills x 2 sizes); else every file
        is unique to its cluster.
        """
        self.open_to("none")
        documents: list[dict[str, Any]] = [
            {
                "kind": "Namespace",
                "metadata": {"name": f"team-{number}"},
                "spec": {"expression": "/g/live", "allow_empty": True},
            }
            for number in range(NAMESPACES)
        ]
        documents += [
            {
                "kind": "Application",
                "metadata": {"name": f"app-{number}"},
                "spec": {"namespace": f"team-{number % NAMESPACES}", "allow_empty": True},
            }
            for number in range(APPLICATIONS)
        ]
        self.ask("POST", "/v1/documents", json={"documents": documents})
        for number in range(APPLICATIONS):
            own = "${edge.labels.tier} ${edge.labels.grill}" if shared and number else "${edge.store.name}"
            for version in ("1.0.0", "2.0.0"):
                text = MANIFEST.replace("NAME", f"app-{number}").replace("VERSION", version).replace("OWN", own)
                self.ask("PUT", f"/v1/applications/app-{number}/releases/{version}", json={"manifests": text})
            choices = {"choices": [{"expression": "/c/*", "version": "1.0.0"}]}
            self.ask("PUT", f"/v1/applications/app-{number}/release-choices", json=choices)
        self.settled()

    def open_to(self, expression: str) -> None:
        """Declare the group whose clusters are live."""
        document = {"kind": "Group", "metadata": {"path": "/live"}, "spec": {"expression": expression}}
        self.ask("PUT", "/v1/groups/live", json=document)

    @contextlib.contextmanager
    def probed(self, paths: dict[str, str]) -> Iterator[dict[str, list[float]]]:
        """Ask paths all the while; yields the seconds that each answer took."""
        taken: dict[str, list[float]] = {name: [] for name in paths}
        ended = threading.Event()

        def probe(name: str, path: str) -> None:
            with httpx2.Client(base_url=self.url, timeout=60, headers=dict(self.client.headers)) as client:
                while not ended.is_set():
                    started = time.perf_counter()
                    client.get(path)
                    taken[name].append(time.perf_counter() - started)
                    time.sleep(0.02)  # a steady load, not a flood

        threads = [threading.Thread(target=probe, args=each) for each in paths.items()]
        for thread in threads:
            thread.start()
        try:
            yield taken
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def _peak_kilobytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0


def _cpu_seconds(pid: int) -> float:
    """Return user and system time of a process and of those of its children that have ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
