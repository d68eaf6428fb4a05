"""Two replicas of every service decide at the same time on references to each other's things.

After every event of the log no reference dangles or is circular, and no cluster reserves more than its capacity.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    GroupDeclared,
    GroupRemoved,
    NamespaceDeclared,
    NamespaceRemoved,
    Recorded,
    ReleaseChoicesSet,
    ReleasePublished,
)
from tests.support.journeys import store
from tests.support.load import Load
from tests.support.system import SERVICES, System

SECONDS = float(os.environ.get("RESEDGE_DRILL_SECONDS", "12"))
GROUPS = [f"/g{number}" for number in range(6)]
NAMESPACES = [f"n{number}" for number in range(4)]
APPLICATIONS = [f"a{number}" for number in range(6)]
VERSIONS = ("1.0.0", "2.0.0")
CPU = 4
"""What a cluster has, in cores: capacities of namespaces on one cluster must not add up to more."""

MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\ndata: {version: VERSION}\n"


def group(path: str, other: str | None) -> dict[str, Any]:
    spec = {"clusters": ["one"]} if other is None else {"expression": f"/g{other}"}
    return {"kind": "Group", "metadata": {"path": path}, "spec": spec}


def namespace(name: str, expression: str, cpu: int) -> dict[str, Any]:
    spec = {"expression": expression, "capacity": {"cpu": str(cpu)}}
    return {"kind": "Namespace", "metadata": {"name": name}, "spec": spec}


def application(name: str, within: str) -> dict[str, Any]:
    return {"kind": "Application", "metadata": {"name": name}, "spec": {"namespace": within}}


class Deciders:
    """What clients ask for, by dice; `answers` counts what they were answered."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.answers: Counter[str] = Counter()

    def work(self, dice: random.Random, client: int, _turn: int) -> None:
        """Ask for one thing: half of the clients about groups and namespaces, half about what lies in namespaces."""
        ask = dice.choice((self._group, self._namespace) if client % 2 else (self._application, self._release))
        method, path, body = ask(dice)
        options = {} if body is None else {"json": body}
        answer = self._system.change(method, path, **options)
        assert answer.status_code < 500, answer.text
        code = "" if answer.is_success else f" {answer.json()['code']}"
        self.answers[f"{method} {path.split('/')[2]} {answer.status_code}{code}"] += 1

    def _group(self, dice: random.Random) -> tuple[str, str, Any]:
        path = dice.choice(GROUPS)
        if dice.random() < 0.3:
            return "DELETE", f"/v1/groups{path}", None
        other = dice.choice([None, *(each for each in GROUPS if each != path)])
        return "PUT", f"/v1/groups{path}", group(path, other)

    def _namespace(self, dice: random.Random) -> tuple[str, str, Any]:
        name = dice.choice(NAMESPACES)
        if dice.random() < 0.3:
            return "DELETE", f"/v1/namespaces/{name}", None
        expression = dice.choice(["/c/one", "/c/*", f"/g{dice.choice(GROUPS)}"])
        return "PUT", f"/v1/namespaces/{name}", namespace(name, expression, dice.randint(1, 3))

    def _application(self, dice: random.Random) -> tuple[str, str, Any]:
        name = dice.choice(APPLICATIONS)
        if dice.random() < 0.4:
            return "DELETE", f"/v1/applications/{name}", None
        return "PUT", f"/v1/applications/{name}", application(name, dice.choice(NAMESPACES))

    def _release(self, dice: random.Random) -> tuple[str, str, Any]:
        at, version = f"/v1/applications/{dice.choice(APPLICATIONS)}", dice.choice(VERSIONS)
        if dice.random() < 0.5:
            return "PUT", f"{at}/releases/{version}", {"manifests": MANIFEST.replace("VERSION", f"'{version}'")}
        return "POST", f"{at}/release-choices:set", {"version": version}


class Sequential:
    """The log folded one event after the other by nothing of the product's: what must hold after each of them."""

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {}
        self.namespaces: dict[str, NamespaceDeclared] = {}
        self.applications: dict[str, str] = {}
        self.releases: set[tuple[str, str]] = set()
        self.choices: dict[str, list[str]] = {}

    def fold(self, recorded: Recorded) -> None:
        match recorded.event:
            case GroupDeclared() as event:
                self.groups[event.path] = {event.expression[2:]} if event.expression else set()
            case GroupRemoved() as event:
                self.groups.pop(event.path, None)
            case NamespaceDeclared() as event:
                self.namespaces[event.name] = event
            case NamespaceRemoved() as event:
                self.namespaces.pop(event.name, None)
            case ApplicationDeclared() as event:
                self.applications[event.name] = event.namespace
            case ApplicationRemoved() as event:
                self.applications.pop(event.name, None)
                self.choices.pop(event.name, None)
            case ReleasePublished() as event:
                self.releases.add((event.application, event.version))
            case ReleaseChoicesSet() as event:
                self.choices[event.application] = [each.version for each in event.choices]
            case _:
                return
        self.check(recorded)

    def check(self, recorded: Recorded) -> None:
        at = f"after {recorded.type} at position {recorded.position}"
        for path, named in self.groups.items():
            assert named <= self.groups.keys(), f"{path} names {named}, which is gone, {at}"
            assert path not in self._reached(path), f"{path} reaches itself {at}"
        for name, declared in self.namespaces.items():
            if declared.expression.startswith("/g"):
                assert declared.expression[2:] in self.groups, f"{name} names a group that is gone {at}"
        direct = [each for each in self.namespaces.values() if each.expression.startswith("/c/")]
        assert sum(int(each.capacity.get("cpu", "0")) for each in direct) <= CPU, f"cluster one is oversubscribed {at}"
        for name, within in self.applications.items():
            assert within in self.namespaces, f"{name} is in {within}, which is gone, {at}"
        for name, versions in self.choices.items():
            assert not versions or name in self.applications, f"{name} has choices and is gone {at}"
            for version in versions:
                assert (name, version) in self.releases, f"{name} chooses {version}, which is not there, {at}"

    def _reached(self, path: str) -> set[str]:
        found: set[str] = set()
        ahead = set(self.groups.get(path, ()))
        while ahead:
            found |= ahead
            ahead = {further for each in ahead for further in self.groups.get(each, ())} - found
        return found


def test_replicas_that_decide_at_the_same_time_accept_nothing_that_does_not_fit(system: System) -> None:
    system.start()
    system.start(*(service for service in SERVICES if service != "rendering"), replica="b")
    system.start("rendering", replica="b", ready=False)  # it stands by
    one = store("one")
    one["spec"]["clusters"] = [{"name": "one", "capacity": {"cpu": str(CPU)}}]
    assert system.change("PUT", "/v1/stores/one", json=one).status_code == 201
    deciders = Deciders(system)
    with Load(deciders.work, clients=4) as load:
        load.run(SECONDS)
    print(f"\n{load.done} decisions: {dict(deciders.answers.most_common())}")

    accepted = sum(count for answer, count in deciders.answers.items() if " 20" in answer)
    assert accepted > load.done / 10
    assert accepted < load.done, "dice that nothing refuses prove nothing"
    system.kill("rendering", "b")  # it would never be where the log is
    system.check()
    fold = Sequential()
    log = system.log()
    try:
        after = 0
        while page := log.read_recorded(after):
            for recorded in page:
                fold.fold(recorded)
            after = page[-1].position
    finally:
        log.close()
