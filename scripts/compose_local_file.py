"""Reads docker-compose.yml as far as processes of this machine can honour it, and refuses the rest by name.

A key is honoured, or ignored on purpose because it only concerns containers, or an error. Nothing that the file says
gets lost silently.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

HONOURED = frozenset({"command", "depends_on", "environment", "healthcheck", "ports", "stop_grace_period"})
IGNORED = frozenset(
    {
        "build",  # the working tree runs
        "cap_drop",
        "image",
        "init",
        "networks",
        "profiles",  # `up` runs what has a place here
        "read_only",
        "restart",  # whoever watches wants to see a crash
        "security_opt",
        "tmpfs",
        "user",
        "volumes",  # their paths are rewritten in the environment
    }
)
IGNORED_AT_THE_TOP = frozenset({"name", "networks", "volumes"})
HONOURED_IN_HEALTHCHECKS = frozenset({"interval", "retries", "start_interval", "start_period", "test", "timeout"})
STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?])(?P<text>[^{}$]*))?\}|(?P<bad>))"
)


class ComposeError(ValueError):
    """The file says what cannot be honoured here, or a variable is missing; the message names it."""


@dataclass(frozen=True, slots=True)
class Health:
    """When a service counts as healthy; times in seconds."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


@dataclass(frozen=True, slots=True)
class LocalService:
    """One service of the file, with every variable filled in."""

    name: str
    ours: bool
    """Its image is built here, so that the working tree can stand for it."""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    depends_on: Mapping[str, str] = field(default_factory=dict)
    """Service → the condition that it must meet first."""
    health: Health | None = None
    published: Mapping[int, int] = field(default_factory=dict)
    """Port in the container → port of this machine."""
    grace_seconds: float = 10.0


def interpolated(text: str, variables: Mapping[str, str], at: str) -> str:
    """Return `text` with `$X`, `${X}`, `${X:-default}`, `${X:?why}` (and without the colon) filled in; `$$` is `$`.

    Raises:
        ComposeError: a variable is missing that must be there, or the form is another one.
    """

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if found["bad"] is not None:
            raise ComposeError(f"{at}: cannot read the variable in {text!r}")
        name, how, alternative = found["plain"] or found["name"], found["how"] or "", found["text"] or ""
        known = variables.get(name)
        if known is not None and (known or not how.startswith(":")):
            return known
        if how.endswith("?"):
            raise ComposeError(f"{at}: {name} is missing: {alternative or 'set it'}")
        return alternative

    return _VARIABLE.sub(value, text)


def _filled(value: Any, variables: Mapping[str, str], at: str) -> Any:
    match value:
        case str():
            return interpolated(value, variables, at)
        case dict():
            return {key: _filled(each, variables, f"{at}.{key}") for key, each in value.items()}
        case list():
            return [_filled(each, variables, f"{at}[{index}]") for index, each in enumerate(value)]
        case _:
            return value


def load(path: Path, variables: Mapping[str, str]) -> dict[str, LocalService]:
    """Return the services of a compose file by name.

    Raises:
        ComposeError: it says what is neither honoured nor ignored on purpose.
    """
    raw = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    for key in raw:
        if key != "services" and not key.startswith("x-") and key not in IGNORED_AT_THE_TOP:
            raise ComposeError(f"{key}: this key is not understood here")
    services = {
        name: _service(name, _filled(said, variables, f"services.{name}")) for name, said in raw["services"].items()
    }
    for service in services.values():
        for needed in service.depends_on:
            if needed not in services:
                raise ComposeError(f"services.{service.name}.depends_on: there is no service {needed}")
    return services


def _service(name: str, said: Mapping[str, Any]) -> LocalService:
    at = f"services.{name}"
    for key in said:
        if key not in HONOURED and key not in IGNORED and not key.startswith("x-"):
            raise ComposeError(f"{at}.{key}: this key would have to be honoured, and is not understood here")
    health = said.get("healthcheck")
    return LocalService(
        name=name,
        ours="build" in said,
        command=_command(said.get("command", [])),
        environment=_environment(said.get("environment", {}), f"{at}.environment"),
        depends_on=_depends_on(said.get("depends_on", {}), f"{at}.depends_on"),
        health=None if health is None else _health(health, f"{at}.healthcheck"),
        published=dict(_published(said.get("ports", []), f"{at}.ports")),
        grace_seconds=_seconds(said.get("stop_grace_period", "10s"), f"{at}.stop_grace_period"),
    )


def _command(said: Any) -> tuple[str, ...]:
    return tuple(shlex.split(said)) if isinstance(said, str) else tuple(map(str, said))


def _environment(said: Any, at: str) -> dict[str, str]:
    pairs = dict(each.partition("=")[::2] for each in said) if isinstance(said, list) else said
    for key, value in pairs.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ComposeError(f"{at}.{key}: write the value as text")
    return {key: str(value) for key, value in pairs.items()}


def _depends_on(said: Any, at: str) -> dict[str, str]:
    if isinstance(said, list):
        return dict.fromkeys(said, STARTED)
    found = {}
    for name, how in said.items():
        if unknown := sorted(how.keys() - {"condition"}):
            raise ComposeError(f"{at}.{name}.{unknown[0]}: this key is not understood here")
        condition = how.get("condition", STARTED)
        if condition not in (STARTED, HEALTHY, COMPLETED):
            raise ComposeError(f"{at}.{name}: {condition!r} is not a condition")
        found[name] = condition
    return found


def _health(said: Mapping[str, Any], at: str) -> Health:
    if unknown := sorted(said.keys() - HONOURED_IN_HEALTHCHECKS):
        raise ComposeError(f"{at}.{unknown[0]}: this key is not understood here")
    test = said.get("test")
    match test:
        case str():
            argv: tuple[str, ...] = ("/bin/sh", "-c", test)
        case ["CMD-SHELL", str() as line]:
            argv = ("/bin/sh", "-c", line)
        case ["CMD", *words] if words:
            argv = tuple(map(str, words))
        case _:
            raise ComposeError(f"{at}.test: not a command")
    times = {
        key: _seconds(said[key], f"{at}.{key}")
        for key in ("interval", "timeout", "start_period", "start_interval")
        if key in said
    }
    return Health(argv, retries=int(said.get("retries", 3)), **times)


def _seconds(said: Any, at: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(said))
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != str(said):
        raise ComposeError(f"{at}: {said!r} is not a duration like 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _published(said: Any, at: str) -> Iterator[tuple[int, int]]:
    for each in said:
        found = re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", str(each))
        if found is None:
            raise ComposeError(f"{at}: {each!r} is not 127.0.0.1:PORT:PORT; nothing else is published here")
        yield int(found[2]), int(found[1])


def in_order(services: Mapping[str, LocalService]) -> list[LocalService]:
    """Return the services so that each comes after what it depends on, else in the order of the file."""
    return [service for level in in_levels(services) for service in level]


def in_levels(services: Mapping[str, LocalService]) -> list[list[LocalService]]:
    """Return the services in groups: what a service depends on is in an earlier group.

    Raises:
        ComposeError: some depend on each other in a circle.
    """
    sorter = TopologicalSorter({name: sorted(service.depends_on) for name, service in services.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ComposeError(f"these depend on each other: {' → '.join(reversed(error.args[1]))}") from None
    place = {name: index for index, name in enumerate(services)}
    found: list[list[LocalService]] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        found.append([services[name] for name in ready])
        sorter.done(*ready)
    return found


def with_needs(services: Mapping[str, LocalService], names: list[str]) -> dict[str, LocalService]:
    """Return the named services and everything that they depend on.

    Raises:
        ComposeError: there is no service of a name.
    """
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in services:
            raise ComposeError(f"there is no service {name}; there are {', '.join(services)}")
        if name not in wanted:
            wanted.add(name)
            waiting += services[name].depends_on
    return {name: service for name, service in services.items() if name in wanted}


def read_variables(path: Path) -> dict[str, str]:
    """Return the variables of an `.env` file: NAME=VALUE lines, comments, values in quotes taken out of them.

    Raises:
        ComposeError: a line is something else.
    """
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ComposeError(f"{path}:{number}: not NAME=VALUE")
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        found[name] = value[1:-1] if quoted else value
    return found
