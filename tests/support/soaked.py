"""What changes in a soak: everything that a fleet sees from day to day, of names and values that come back."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench.fleet_server import MANIFEST, SIZES, ZONES, Server

STORES, NAMESPACES, APPLICATIONS, GROUPS, CONFIGURATIONS, VERSIONS = 200, 3, 6, 20, 20, 8

Change = tuple[str, str, Any]
"""Method, path and document."""


class Changes:
    """Makes changes of every kind that a fleet sees from day to day, of names and values that come back."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.gone: set[str] = set()
        self._kinds: tuple[tuple[int, Callable[[], Change]], ...] = (
            (6, self.label),
            (3, self.store),
            (3, self.group),
            (4, self.configuration),
            (3, self.choice),
            (1, self.release),
            (1, self.freeze),
            (2, self.removal),
            (3, self.placement),
        )

    def next(self) -> Change:
        """Return one change; what was removed comes back before much else goes."""
        if len(self.gone) > STORES // 20:
            return self.return_of(min(self.gone))
        weights = [weight for weight, _ in self._kinds]
        return self.chance.choices([make for _, make in self._kinds], weights)[0]()

    def _store(self) -> str:
        return f"store-{self.chance.randrange(STORES):05d}"

    def label(self) -> Change:
        """Label one store."""
        change = {"where": f"/c/{self._store()}", "set": {"size": self.chance.choice(SIZES), "note": self._note()}}
        return "POST", "/v1/stores:label", change

    def _note(self) -> str:
        return f"n{self.chance.randrange(100)}"

    def store(self) -> Change:
        """Declare a store."""
        return self.return_of(self._store())

    def return_of(self, name: str) -> Change:
        """Declare a store of this name."""
        self.gone.discard(name)
        labels = {"size": self.chance.choice(SIZES), "state": f"s{self.chance.randrange(100)}", "tier": "t1"}
        spec = {"timezone": self.chance.choice(ZONES)}
        document = {"kind": "Store", "metadata": {"name": name, "labels": labels}, "spec": spec}
        return "PUT", f"/v1/stores/{name}", document

    def removal(self) -> Change:
        """Remove a store."""
        name = self._store()
        self.gone.add(name)
        return "DELETE", f"/v1/stores/{name}", None

    def group(self) -> Change:
        """Declare a group by an expression."""
        number = self.chance.randrange(GROUPS)
        spec = {"expression": f"state = s{self.chance.randrange(100)}", "allow_empty": True}
        document = {"kind": "Group", "metadata": {"path": f"/geo/g{number}"}, "spec": spec}
        return "PUT", f"/v1/groups/geo/g{number}", document

    def configuration(self) -> Change:
        """Declare a layer of values."""
        number = self.chance.randrange(CONFIGURATIONS)
        spec = {
            "applications": [f"app-{number % APPLICATIONS}"],
            "expression": f"/g/geo/g{number % GROUPS}",
            "priority": number,
            "values": {"logLevel": self._note(), "replicas": self.chance.randrange(1, 4)},
            "allow_empty": True,
        }
        name = f"layer-{number}"
        document = {"kind": "Configuration", "metadata": {"name": name}, "spec": spec}
        return "PUT", f"/v1/configurations/{name}", document

    def choice(self) -> Change:
        """Choose a release for a part of the fleet."""
        version = f"1.0.{self.chance.randrange(VERSIONS)}"
        body = {"version": version, "expression": f"state = s{self.chance.randrange(100)}"}
        choices = [{"expression": "/c/*", "version": "1.0.0"}, body]
        return "PUT", f"/v1/applications/app-{self._application()}/release-choices", {"choices": choices}

    def _application(self) -> int:
        return self.chance.randrange(APPLICATIONS)

    def release(self) -> Change:
        """Publish a release; after the first time it is published as it was."""
        number, version = self._application(), f"1.0.{self.chance.randrange(VERSIONS)}"
        return "PUT", f"/v1/applications/app-{number}/releases/{version}", {"manifests": manifests(number, version)}

    def freeze(self) -> Change:
        """Freeze a part of the fleet for some seconds from now on: a gate closes and opens again."""
        now = datetime.now(UTC)
        until = now + timedelta(seconds=self.chance.randrange(2, 15))
        spec = {
            "from": now.isoformat(),
            "until": until.isoformat(),
            "clusters": f"state = s{self.chance.randrange(100)}",
            "reason": "soak",
            "owner": "soak",
            "allow_empty": True,
        }
        return "PUT", "/v1/freezes/soak", {"kind": "Freeze", "metadata": {"name": "soak"}, "spec": spec}

    def placement(self) -> Change:
        """Take a few clusters from an application, or give them back."""
        number = self._application()
        spec: dict[str, Any] = {"namespace": f"team-{number % NAMESPACES}", "allow_empty": True}
        if self.chance.random() < 0.5:
            spec["expression"] = f"not state = s{self.chance.randrange(100)}"
        document = {"kind": "Application", "metadata": {"name": f"app-{number}"}, "spec": spec}
        return "PUT", f"/v1/applications/app-{number}", document


def manifests(number: int, version: str) -> str:
    """Return an application's manifests."""
    return MANIFEST.replace("NAME", f"app-{number}").replace("VERSION", version).replace("OWN", "${edge.store.name}")


def fill(server: Server) -> None:
    """Import the stores and declare what runs on them."""
    server.ask("POST", "/v1/stores:import", content=server.csv(), headers={"Content-Type": "text/csv"})
    documents: list[dict[str, Any]] = [
        {"kind": "Namespace", "metadata": {"name": f"team-{number}"}, "spec": {"expression": "/c/*"}}
        for number in range(NAMESPACES)
    ]
    documents += [
        {"kind": "Group", "metadata": {"path": f"/geo/g{number}"}, "spec": {"expression": f"state = s{number}"}}
        for number in range(GROUPS)
    ]
    for number in range(APPLICATIONS):
        spec = {"namespace": f"team-{number % NAMESPACES}"}
        documents.append({"kind": "Application", "metadata": {"name": f"app-{number}"}, "spec": spec})
    server.ask("POST", "/v1/documents", json={"documents": documents})
    for number in range(APPLICATIONS):
        path = f"/v1/applications/app-{number}"
        for patch in range(VERSIONS):
            version = f"1.0.{patch}"
            server.ask("PUT", f"{path}/releases/{version}", json={"manifests": manifests(number, version)})
        choices = {"choices": [{"expression": "/c/*", "version": "1.0.0"}]}
        server.ask("PUT", f"{path}/release-choices", json=choices)
    server.settled()
