"""Runs docker-compose.yml without Docker: our services as processes, against a local Kafka, PostgreSQL and nginx.

`scripts/compose-local up|down|status|logs [SERVICE…]`. Commands, environment, order, conditions and health checks are
those of the file; what differs stands in `scripts/compose_local_places.py`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts import dev_env
from scripts.compose_local_file import (
    COMPLETED,
    HEALTHY,
    ComposeError,
    Health,
    LocalService,
    in_levels,
    in_order,
    load,
    read_variables,
    with_needs,
)
from scripts.compose_local_parts import LocalPart, PartMissing, part
from scripts.compose_local_places import COMPOSE_FILE, LEFT_OUT, REPLACED, ROOT, Places, check_places, local
from scripts.compose_local_processes import Process, ProcessFailed, unhealthy

STEP_SECONDS = 120.0
PART_HEALTH = Health(test=(), interval=1.0, retries=10, start_period=60.0, start_interval=0.2)


def say(text: str) -> None:
    """Tell what happens, on stderr; stdout is for what `status` and `logs` print."""
    print(text, file=sys.stderr, flush=True)


class _System:
    """One local system: the services of the file that run here, in order."""

    def __init__(self, places: Places, *, secrets: bool = True) -> None:
        self.places = places
        variables = {**(read_variables(places.variables) if places.variables.exists() else {}), **os.environ}
        if not secrets:  # to look and to end, no secret is needed
            variables = {**dict.fromkeys((*dev_env.PASSWORDS, "RESEDGE_RELAY_TOKEN"), "unknown"), **variables}
        every = load(places.file, variables)
        check_places(every)
        self.services = local(every)
        self.parts: dict[str, LocalPart | None] = {}

    def process(self, name: str) -> Process:
        """Return the process of a service."""
        return Process(self.places.directory, name)

    def up(self, names: Sequence[str]) -> None:
        """Start what does not run, wait until all is healthy; on failure nothing that this started stays."""
        wanted = in_order(with_needs(self.services, list(names)) if names else self.services)
        self._check_ports(wanted)
        started: list[str] = []
        try:
            for service in wanted:
                for needed, condition in service.depends_on.items():
                    self._wait(self.services[needed], condition)
                if not self.process(service.name).runs and not self._still_done(service):
                    started.append(service.name)
                    self._start(service)
            for service in wanted:
                self._wait(service, COMPLETED if self._is_step(service) else HEALTHY)
        except BaseException:
            if started:  # no name at all would mean every service, those that ran before too
                say("stopping what was started")
                self.down(started)
            raise

    def _check_ports(self, wanted: Sequence[LocalService]) -> None:
        listening = self.places.listening()
        for service in wanted:
            for port in [] if self.process(service.name).runs else listening.get(service.name, []):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind(("127.0.0.1", port))
                    except OSError:
                        raise ComposeError(
                            f"port {port}, for {service.name}, is taken by another program: end it, or use --port-base"
                        ) from None

    def _start(self, service: LocalService) -> None:
        process = self.process(service.name)
        if not service.ours:
            found = self.parts[service.name] = part(service, self.services, self.places)
            if found is None:
                return
            process.start(
                found.command,
                {**_base(), **found.environment},
                signal_=found.signal,
                grace_seconds=found.grace_seconds,
                good_codes=found.good_codes,
            )
        else:
            for path in self.places.paths(service.name).values():
                if not path.endswith(".json"):
                    Path(path).mkdir(parents=True, exist_ok=True)
            process.start(
                _command(service.command),
                self.environment(service),
                once=self._is_step(service),
                grace_seconds=service.grace_seconds,
                cwd=ROOT,
            )
        say(f"started {service.name}")

    def environment(self, service: LocalService) -> dict[str, str]:
        """Return the whole environment of one of our processes: nothing of the caller's but where programs are."""
        return {**_base(), **self.places.environment(service)}

    def _is_step(self, service: LocalService) -> bool:
        return service.ours and service.health is None

    def _still_done(self, service: LocalService) -> bool:
        """Whether a step need not run again: it ended well, and nothing that it needs was started after it."""
        process = self.process(service.name)
        done = process.started
        if not self._is_step(service) or done is None or process.exit_code != 0:
            return False
        needed = [self.process(name).started for name in with_needs(self.services, [service.name])]
        return all(each is None or each.ticks <= done.ticks for each in needed)

    def _wait(self, service: LocalService, condition: str) -> None:
        process = self.process(service.name)
        if not service.ours:
            found = self.parts.get(service.name) or self._part_again(service)
            if found is not None and condition == HEALTHY:
                process.wait_healthy(PART_HEALTH, found.check)
        elif condition == COMPLETED:
            process.wait_completed(STEP_SECONDS)
        elif condition == HEALTHY and service.health is not None:
            health, environment = service.health, self.environment(service)
            process.wait_healthy(health, lambda: unhealthy(_with_command(health), environment, ROOT))

    def _part_again(self, service: LocalService) -> LocalPart | None:
        if service.name not in self.parts:
            self.parts[service.name] = part(service, self.services, self.places)
        return self.parts[service.name]

    def down(self, names: Sequence[str]) -> bool:
        """End the named services, or all, in reverse order; False: one did not end well.

        Those that do not depend on each other end side by side.
        """
        well = True
        for level in reversed(in_levels(self.services)):
            processes = [self.process(each.name) for each in level if not names or each.name in names]
            ending = [(each, each.runs, each.ask_to_end()) for each in processes if each.started is not None]
            for process, ran, deadline in ending:
                code = process.wait_ended(deadline)
                good = process.started is not None and code in process.started.good_codes
                well = well and good
                if ran or not good:
                    where = "" if good else f", see {process.log}"
                    say(f"{'stopped' if ran else 'had ended'}: {process.name}, exit code {code}{where}")
                process.forget()
        return well

    def status(self, names: Sequence[str]) -> bool:
        """Print a line for each service; False: one is not as it should be."""
        well, lines = True, []
        for service in in_order(self.services):
            if names and service.name not in names:
                continue
            state, good = self._state(service)
            well = well and good
            lines.append((service.name, state))
        width = max((len(name) for name, _ in lines), default=0)
        for name, state in lines:
            print(f"{name:{width}}  {state}")
        return well

    def _state(self, service: LocalService) -> tuple[str, bool]:
        process = self.process(service.name)
        started, runs, code = process.started, process.runs, process.exit_code
        wrong = self._ill(service) if runs else None
        if service.name in REPLACED and service.name not in self.places.listening():
            found = f"replaced by {REPLACED[service.name]}", True
        elif started is None:
            found = "not started", False
        elif started.once and code == 0:
            found = "completed", True
        elif not runs:
            found = f"crashed: exit code {'unknown' if code is None else code}, see {process.log}", False
        elif wrong:
            found = f"running, pid {started.pid}, not healthy: {wrong}", False
        else:
            found = f"healthy, pid {started.pid}" if service.health else f"running, pid {started.pid}", True
        return found

    def _ill(self, service: LocalService) -> str | None:
        if not service.ours:
            found = self._part_again(service)
            return found.check() if found is not None else None
        if service.health is None:
            return None
        return unhealthy(_with_command(service.health), self.environment(service), ROOT)

    def logs(self, names: Sequence[str], *, follow: bool) -> None:
        """Print what the services wrote; with `follow` until interrupted."""
        processes = [self.process(name) for name in self.services if not names or name in names]
        done: dict[str, int] = {}
        while True:
            for process in processes:
                if process.log.exists():
                    text = process.log.read_bytes()[done.get(process.name, 0) :]
                    done[process.name] = done.get(process.name, 0) + len(text)
                    for line in text.decode("utf-8", "replace").splitlines():
                        print(f"{process.name} | {line}")
            if not follow:
                return
            time.sleep(0.5)


def _base() -> dict[str, str]:
    found = {name: os.environ[name] for name in ("HOME", "USER", "LANG", "TMPDIR") if name in os.environ}
    return {**found, "PATH": f"{ROOT / '.venv/bin'}:{os.environ.get('PATH', os.defpath)}", "PYTHONUNBUFFERED": "1"}


def _command(words: Sequence[str]) -> list[str]:
    # The environment's own PATH decides nothing here: `python` is the project's.
    return [str(ROOT / ".venv/bin/python") if words[0] == "python" else words[0], *words[1:]]


def _with_command(health: Health) -> Health:
    return Health(tuple(_command(health.test)), timeout=health.timeout)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one command at a time change a system."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ComposeError(f"another scripts/compose-local works in {directory}") from None
        yield


def _up(places: Places, names: Sequence[str]) -> int:
    places = places.remembered()
    with_needs(_System(places, secrets=False).services, list(names))  # says which one there is not
    if not places.variables.exists():
        if places.home == ROOT:
            raise ComposeError("there is no .env: run scripts/dev-env")
        dev_env.write(places.home, places.address, places.home / "config.yaml")
    for name, instead in REPLACED.items():
        say(f"{name} is replaced by {instead}")
    for name, why in LEFT_OUT.items():
        say(f"{name} is left out: {why}")
    begun = time.monotonic()
    with _alone(places.directory):
        system = _System(places)
        if places.moved and any(system.process(name).runs for name in system.services):
            raise ComposeError("it runs on other ports: take it down first, or leave --port-base out")
        places.remember()
        system.up(names)
    say(f"up on {places.address} after {time.monotonic() - begun:.1f} s; logs in {places.directory / 'logs'}")
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/compose-local", description=__doc__)
    parser.add_argument("verb", choices=["up", "down", "status", "logs"])
    parser.add_argument("service", nargs="*", help="only these (`up`: and what they need)")
    parser.add_argument("--dir", type=Path, default=ROOT, help="where .env and .dev are (the project)")
    parser.add_argument("--file", type=Path, default=COMPOSE_FILE, help="another compose file")
    parser.add_argument("--port-base", type=int, default=None, help="ports from here on instead of the usual ones")
    parser.add_argument("--follow", "-f", action="store_true", help="logs: go on until interrupted")
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Do what was asked: 0 all well, 1 something is not, 2 it cannot be done."""
    said = _parsed(arguments)
    places = Places(said.dir.resolve(), said.port_base, said.file)
    try:
        if said.verb == "up":
            return _up(places, said.service)
        places = places.remembered()
        system = _System(places, secrets=False)
        with_needs(system.services, said.service)  # says which one there is not
        if said.verb == "down":
            with _alone(places.directory):
                return 0 if system.down(said.service) else 1
        if said.verb == "status":
            return 0 if system.status(said.service) else 1
        system.logs(said.service, follow=said.follow)
    except (ComposeError, PartMissing, ProcessFailed) as error:
        say(f"error: {error}")
        return 2 if isinstance(error, ComposeError) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
