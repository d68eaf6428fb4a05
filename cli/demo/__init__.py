"""The demo: a made-up restaurant chain on the real map of the United States, created through the public API only."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cli.errors import CliError, ExitCode, ServerProblem, UsageProblem

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from cli.client import Client
    from cli.config import Connection
    from cli.demo.journey import Journey, Step

_NAME_CELLS = 58
WHOLE_CHECKOUT_STORES_MAX = 2_000


def run_demo(stores: int, serve: bool, data_dir: Path | None, port: int, distributed: bool = False) -> int:
    """Run the demo and return its exit code: 0 when every step went through.

    `serve` leaves the server running until Ctrl-C; without `data_dir` the fleet lies in a new temporary directory;
    port 0 takes a free one. `distributed` drives separate services through their edge instead of one process.
    """
    before = {each: signal.signal(each, _interrupted) for each in _ended_by()}
    try:
        run = _distributed_demo if distributed else _demo
        return run(stores, _directory(data_dir), port, serve=serve)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except CliError as error:
        print(flush=True)
        print("\n".join(error.lines()), file=sys.stderr)
        if isinstance(error, ServerProblem):
            print(json.dumps(error.document(), indent=2, ensure_ascii=False), file=sys.stderr)
        return ExitCode.FAILED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended_by() -> list[signal.Signals]:
    """Return the signals that end the demo: not Ctrl-C where a shell has it ignored."""
    return [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]


def _interrupted(_number: int, _frame: object) -> NoReturn:
    """Raise once: the ending, which takes a bounded time, is not cut short by a second interrupt."""
    for each in _ended_by():
        signal.signal(each, lambda _number, _frame: None)  # a child that is started now does not inherit it
    raise KeyboardInterrupt


@contextlib.contextmanager
def ended_by_interrupt(what: str) -> Iterator[None]:
    """Take an interrupt for the end that was asked for, from before the sentence that says how to end it."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nending the {what}", flush=True)


def _directory(data_dir: Path | None) -> Path:
    """Return an empty directory: on a fleet that already exists the steps would not show what they say."""
    if data_dir is None:
        return Path(tempfile.mkdtemp(prefix="resedge-demo-"))
    data_dir.mkdir(parents=True, exist_ok=True)
    if any(data_dir.iterdir()):
        raise UsageProblem(f"{data_dir} is not empty", fix="give another --data-dir, or start it with `resedge up`")
    return data_dir.resolve()


def _demo(stores: int, data_dir: Path, port: int, *, serve: bool) -> int:
    from cli.demo.server import connection_to, free_port, running, up_command  # noqa: PLC0415 - start-up time

    address_port = free_port(port)
    started = _head(stores, f"data in {data_dir}")
    _began("start the server (`resedge up`)")
    with running(up_command(data_dir, address_port), address_port, data_dir / "server.log") as process:
        print(f"{time.monotonic() - started:>7.1f} s", flush=True)
        connection = connection_to(address_port)
        again = f"{_command()} up --data-dir {shlex.quote(str(data_dir))}"
        journey = _travel(connection, stores, started)
        if not serve:
            _farewell(connection, journey, again=again)
            return ExitCode.OK
        with ended_by_interrupt("server"):
            _farewell(connection, journey)
            _serve(process)
    return ExitCode.OK


def _distributed_demo(stores: int, data_dir: Path, port: int, *, serve: bool) -> int:
    from cli.demo.distributed import system  # noqa: PLC0415 - start-up time
    from cli.demo.server import free_port  # noqa: PLC0415 - start-up time

    started = _head(stores, "separate services")
    _began("bring the system up (`scripts/compose-local up`)")
    with system(data_dir, port or free_port(0)) as found:
        print(f"{time.monotonic() - started:>7.1f} s{'' if found.home else '  it runs already'}", flush=True)
        _check_new(found.connection)
        journey = _travel(found.connection, stores, started)
        if found.home is None or not serve:
            again = f"scripts/compose-local up --dir {shlex.quote(str(data_dir))}" if found.home else ""
            _farewell(found.connection, journey, again=again)
            return ExitCode.OK
        with ended_by_interrupt("system"):
            _farewell(found.connection, journey)
            while True:
                signal.pause()
    return ExitCode.OK


def _check_new(connection: Connection) -> None:
    """See that the system has no stores yet: on a fleet that already exists the steps would not show what they say.

    Raises:
        UsageProblem: it has some.
    """
    with _client(connection) as client:
        count = int((client.get("/v1/stores:count", fresh=False).body or {}).get("count") or 0)
    if count:
        raise UsageProblem(
            f"the system at {connection.server} has {count:,} stores already",
            fix="end it with `scripts/compose-local down`: the demo then brings up one of its own",
        )


@contextlib.contextmanager
def _client(connection: Connection) -> Iterator[Client]:
    from cli.client import Client  # noqa: PLC0415 - `resedge --help` does not load the client
    from cli.config import state_path  # noqa: PLC0415 - the same
    from cli.positions import KeptPositions  # noqa: PLC0415 - the same

    client = Client(connection, KeptPositions(state_path(), connection))
    try:
        yield client
    finally:
        client.close()


def _head(stores: int, where: str) -> float:
    """Print what the steps' columns are; return when it began."""
    print(f"Resilient Edge demo: {stores:,} stores, {where}\n")
    print(f"  {'step':<{_NAME_CELLS}}{'time':>9}{'files':>12}  commit")
    return time.monotonic()


def _travel(connection: Connection, stores: int, started: float) -> Journey:
    """Go the whole journey and return it."""
    from cli.demo.journey import Journey  # noqa: PLC0415 - start-up time

    with _client(connection) as client:
        journey = Journey(client, stores, _began, _ended)
        journey.run()
    print(f"  {'together':<{_NAME_CELLS}}{time.monotonic() - started:>7.1f} s\n")
    return journey


def _serve(process: subprocess.Popen[bytes]) -> None:
    """Stay until the server ends.

    Raises:
        CliError: it ended by itself, and not well.
    """
    if status := process.wait():
        raise CliError(f"the server ended with {status}")


def _began(name: str) -> None:
    print(f"  {name:<{_NAME_CELLS}}", end="", flush=True)


def _ended(step: Step) -> None:
    files = f"{step.files:>12,}" if step.files else " " * 12
    row = f"{step.seconds:>7.1f} s{files}  {step.commit[:12]:<12}  {step.note}".rstrip()
    print(row if step.seconds >= 1 else row.replace(f"{step.seconds:>7.1f} s", f"{step.seconds * 1000:>6.0f} ms"))
    sys.stdout.flush()


def _farewell(connection: Connection, journey: Journey, *, again: str = "") -> None:
    """Say what is there now and what to try next; `again` is what starts a server that ends now."""
    store = journey.favourite.name
    with _client(connection) as client:
        path = str((client.get(f"/v1/clusters/{store}").body or {}).get("path") or "")
        repository = shlex.quote(str((client.get("/v1/rendering").body or {}).get("repository") or ""))
    if journey.stores < WHOLE_CHECKOUT_STORES_MAX:
        print(f"What the stores pull:\n  git clone {repository} fleet\n  ls fleet/{path}\n")
    else:
        print("What the stores pull (a whole checkout is millions of files, so take one store's):")
        print(f"  git clone --no-checkout {repository} fleet")
        print(f"  git -C fleet checkout main -- {path}\n")
    if again:
        print(f"The server ends now. To start it again: {again}")
        return
    print(f"The server runs at {connection.server}; Ctrl-C ends it. Try in another terminal:")
    from cli.demo.hierarchies import SMART_GRILLS  # noqa: PLC0415 - only a demo that runs needs its data

    for line in (
        f"why {store} menu-boards",
        f"get cluster {store}",
        f"get clusters --limit 5 -l '{SMART_GRILLS}'",
        f"get configuration --cluster {store} --application point-of-sale",
        "set-release menu-boards 9.2.0 -l /g/geo/us/central/tx",
        "log --tail 5",
        "verify",
    ):
        print(f"  {_command()} {line}")
    sys.stdout.flush()


def _command() -> str:
    """Return the command with which a person calls `resedge` here."""
    beside = Path(sys.executable).with_name("resedge")
    if not beside.exists():
        return "resedge"
    shown = os.path.relpath(beside)
    return shlex.quote(shown if not shown.startswith("..") else str(beside))
