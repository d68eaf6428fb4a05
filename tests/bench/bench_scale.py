"""A fleet beyond the promised size, at a quarter, a half and the whole of it: what grows faster than the fleet does.

`RESEDGE_BENCH_SCALE` scales the whole. A time that is compared between sizes is CPU time of the server and its
workers, since other work on the machine must not look like growth; what somebody waits for is also given as it was.
The baseline of a figure is the quarter of the same run; `ratio` is baseline x growth / figure: below 1 is faster than
linear. The target allows for `TOLERANCE`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.bench.bench_fleet import Figure
from tests.bench.fleet_server import MANIFEST, SIZES, ZONES, Server

FIGURES = ("scale",)
SCALE = float(os.environ.get("RESEDGE_BENCH_SCALE", "1"))
CLUSTERS, APPLICATIONS, GROUPS, CONFIGURATIONS, NAMESPACES = 120_000, 100, 2_000, 5_000, 500
PARTS = (0.25, 0.5, 1.0)
APPLICATIONS_A_CLUSTER = 12.5
REGION_GROUPS = 50
DOCUMENTS_A_REQUEST = 1_000
PUTS, LABEL_CHANGES, RESTARTS = 30, 30, 3
TOLERANCE = 1.2
"""What a figure may be beyond linear growth: single runs on a shared machine differ by as much."""
PUT_MILLISECONDS_MAX = 50
MEMORY_MEGABYTES_MAX = 6 * 1024
"""A measurement that takes more is given up, before the machine is."""


class LargeServer(Server):
    """A fleet in which everything there is grows with its part of the whole; applications a cluster stay as many."""

    def __init__(self, part: float) -> None:
        super().__init__(max(400, int(CLUSTERS * SCALE * part)))
        counts = (APPLICATIONS, GROUPS, CONFIGURATIONS, NAMESPACES)
        scaled = (max(least, int(count * SCALE * part)) for count, least in zip(counts, (2, 10, 20, 6), strict=True))
        self.applications, self.groups, self.configurations, self.namespaces = scaled
        self.blocks = max(1, round(self.applications / APPLICATIONS_A_CLUSTER))
        """An application runs on one of as many parts of the fleet; the first one everywhere."""
        self.regions = max(1, self.groups // REGION_GROUPS)

    def csv(self) -> bytes:
        """Return the fleet in the import's form."""
        rows = []
        for number in range(self.stores):
            places = ",".join(self.places(number).values())
            rows.append(f"store-{number:06d},{ZONES[number % 4]},{SIZES[number // 48 % 2]},{places},64")
        return "\n".join(["name,timezone,size,block,area,cpu", *rows]).encode()

    def places(self, number: int) -> dict[str, str]:
        """Return the labels by which a store is selected."""
        return {"block": f"b{number % self.blocks}", "area": f"a{number * 7919 % self.groups}"}

    def region(self, number: int) -> str:
        """Return the path of a group that has others below it."""
        return f"/geo/r{number // 10 % self.regions}"

    def group(self, number: int, more: str = "") -> dict[str, Any]:
        """Return a group that an expression fills."""
        path = f"{self.region(number)}/s{number}"
        expression = f"area = a{number}"
        if number % 10 == 9:
            path, expression = f"/marketing/m{number}", f"/g{self.region(number)} and size = large"
        return _document("Group", path, {"expression": expression + more, "allow_empty": True}, "path")

    def namespace(self, number: int, **more: Any) -> dict[str, Any]:
        """Return a namespace: one for each application, and others in which nothing runs."""
        narrowed = f" and block = b{number % self.blocks}" if number else ""
        expression = f"/g/live{narrowed}" if number < self.applications else f"/g{self.region(number)}"
        spec = {"expression": expression, "allow_empty": True, "capacity": {"cpu": "100m"}}
        return _document("Namespace", f"team-{number}", {**spec, **more})

    def application(self, number: int, **more: Any) -> dict[str, Any]:
        """Return an application in a namespace of its own."""
        return _document("Application", f"app-{number}", {"namespace": f"team-{number}", "allow_empty": True, **more})

    def configuration(self, number: int, **more: Any) -> dict[str, Any]:
        """Return one layer of an application in one group."""
        area = number * 31 % self.groups
        where = f"{self.region(area)}/s{area}" if number % 5 and area % 10 != 9 else self.region(area)
        spec = {
            "applications": [f"app-{number % self.applications}"],
            "expression": f"/g{where}",
            "priority": number,
            "values": {"logLevel": f"level-{number % 5}", f"own-{number}": number, **more},
        }
        return _document("Configuration", f"layer-{number}", spec)

    def fill(self) -> None:
        """Declare everything, on a group that is empty yet."""
        self.open_to("none")
        # Groups that others are made of come first.
        documents = [self.group(each) for each in sorted(range(self.groups), key=lambda each: each % 10 == 9)]
        documents += [self.namespace(each) for each in range(self.namespaces)]
        documents += [self.application(each) for each in range(self.applications)]
        documents += [self.configuration(each) for each in range(self.configurations)]
        for start in range(0, len(documents), DOCUMENTS_A_REQUEST):
            self.ask("POST", "/v1/documents", json={"documents": documents[start : start + DOCUMENTS_A_REQUEST]})
        for number in range(self.applications):
            for version in ("1.0.0", "2.0.0"):
                text = MANIFEST.replace("NAME", f"app-{number}").replace("VERSION", version)
                text = text.replace("OWN", "${edge.store.name}")
                self.ask("PUT", f"/v1/applications/app-{number}/releases/{version}", json={"manifests": text})
            choices = {"choices": [{"expression": "/c/*", "version": "1.0.0"}]}
            self.ask("PUT", f"/v1/applications/app-{number}/release-choices", json=choices)
        self.settled()

    def measured(self, work: Callable[[], object]) -> tuple[float, float]:
        """Return the seconds that a piece of work took, and the CPU seconds of the server in them."""
        began, used = time.perf_counter(), self.cpu_seconds()
        work()
        taken = time.perf_counter() - began, self.cpu_seconds() - used
        if (megabytes := self.peak_megabytes()) > MEMORY_MEGABYTES_MAX:
            raise MemoryError(f"the server takes {megabytes:,.0f} MB")
        return taken


def _document(kind: str, name: str, spec: dict[str, Any], named_by: str = "name") -> dict[str, Any]:
    return {"kind": kind, "metadata": {named_by: name}, "spec": spec}


def _open(server: LargeServer) -> None:
    server.open_to("/c/*")
    server.settled()


def _release_on_all(server: LargeServer) -> None:
    body = {"choices": [{"expression": "/c/*", "version": "2.0.0"}]}
    server.ask("PUT", "/v1/applications/app-0/release-choices", json=body)
    server.settled()


def journey(server: LargeServer) -> dict[str, tuple[float, float]]:
    """Return (seconds, CPU seconds) of everything that is compared between sizes."""
    taken: dict[str, tuple[float, float]] = {}
    server.start()
    headers = {"Content-Type": "text/csv"}
    taken["import"] = server.measured(
        lambda: (server.ask("POST", "/v1/stores:import", content=server.csv(), headers=headers), server.settled())
    )
    taken["groups, namespaces, applications, configurations, releases declared"] = server.measured(server.fill)
    taken["first render"] = server.measured(lambda: _open(server))
    taken["a release moved on all clusters"] = server.measured(lambda: _release_on_all(server))
    taken["20 one-store label changes to commit"] = server.measured(lambda: _label(server, 20))
    return taken


def _label(server: LargeServer, count: int, start: int = 0) -> list[float]:
    return [
        server.timed(
            "POST",
            "/v1/stores:label",
            json={"where": f"/c/store-{number % server.stores:06d}", "set": {"size": f"changed-{number}"}},
        )
        for number in range(start, start + count)
    ]


def _documents(server: LargeServer, number: int) -> dict[str, dict[str, Any]]:
    """Return one document of each kind that differs from the one with another number."""
    labels = {"size": "large", **server.places(number), "note": f"n{number}"}
    store = _document("Store", f"store-{number:06d}", {"timezone": ZONES[number % 4]})
    store["metadata"]["labels"] = labels
    freeze = {"from": "2040-12-24T00:00:00Z", "until": "2040-12-27T00:00:00Z", "owner": "ops"}
    freeze["clusters"] = f"/g{server.region(0)}"
    return {
        "Freeze": _document("Freeze", "holidays", {**freeze, "reason": f"holidays {number}"}),
        "Store": store,
        "Group": server.group(1, f" and not /c/store-{number:06d}"),
        "Namespace": server.namespace(1, owners=[f"team-{number}"]),
        "Application": server.application(1, fallback=(None, "previous")[number % 2]),
        "Configuration": server.configuration(1, changed=number),
    }


def puts(server: LargeServer, count: int) -> Iterator[tuple[str, list[float]]]:
    """Yield, per kind, the seconds of putting one document; what follows from it is rendered before the next."""
    taken: dict[str, list[float]] = {}
    for number in range(count):
        for kind, document in _documents(server, number).items():
            started = time.perf_counter()
            name = document["metadata"].get("name") or document["metadata"]["path"].lstrip("/")
            server.ask("PUT", f"/v1/{kind.lower()}s/{name}", json=document)
            taken.setdefault(kind, []).append(time.perf_counter() - started)
            server.settled()
    yield from taken.items()


def _bound(server: LargeServer) -> None:
    """Be somebody whose rights are those of a binding from now on: each change is judged by what it reaches."""
    role = {"rules": [{"verbs": ["*"], "kinds": ["*"]}]}
    server.ask("PUT", "/v1/roles/operators", json=_document("Role", "operators", role))
    binding = {"role": "operators", "subjects": [{"user": "ann"}], "clusters": "/c/*"}
    server.ask("PUT", "/v1/rolebindings/ann", json=_document("RoleBinding", "ann", binding))
    body = {"user": "ann", "hours": 24, "reason": "measuring"}
    token = server.ask("POST", "/v1/tokens", json=body).json()["token"]
    server.client.headers["Authorization"] = f"Bearer {token}"


def _restarts(server: LargeServer) -> tuple[float, float]:
    """Return the least (seconds, CPU seconds) of some restarts from the snapshot."""
    found = []
    for _ in range(RESTARTS):
        server.stop()
        seconds = server.start()
        found.append((seconds, server.cpu_seconds()))
    return min(each[0] for each in found), min(each[1] for each in found)


def _cold(server: LargeServer) -> tuple[float, float]:
    """Return (seconds, CPU seconds) of a start that folds the whole log."""
    server.stop()
    server.forget_snapshots()
    seconds = server.start()
    return seconds, server.cpu_seconds()


def _compared(
    name: str, taken: tuple[float, float], quarter: tuple[float, float] | None, growth: float
) -> Iterator[Figure]:
    wall, used = taken
    yield {"name": name, "value": round(wall, 3), "unit": "s", "target": None, "baseline": None, "ratio": None}
    if quarter is not None:
        yield _growth(f"{name}: CPU", used, quarter[1], growth, "CPU s")


def _growth(name: str, value: float, quarter: float, growth: float, unit: str) -> Figure:
    linear = quarter * growth
    ratio = round(linear / value, 2) if value else None
    target = round(linear * TOLERANCE, 3)
    known = {"name": f"{name}, against {growth:g} times the quarter's", "value": round(value, 3), "unit": unit}
    return {**known, "target": target, "baseline": round(linear, 3), "ratio": ratio}


def run(_names: tuple[str, ...] = FIGURES) -> Iterator[Figure]:
    """Measure each part of the whole on a server of its own."""
    first: dict[str, tuple[float, float]] = {}
    smallest = peak = 0.0
    for part in PARTS:
        server = LargeServer(part)
        try:
            at = f"{server.stores:,} clusters"
            known = journey(server)
            labels = _label(server, LABEL_CHANGES, 100)
            peak = server.peak_megabytes()
            known["restart from a snapshot"] = _restarts(server)
            known["cold start"] = _cold(server)
            growth = server.stores / (smallest or server.stores)
            for name, taken in known.items():
                # Twenty changes are as many at every size: what one of them costs may grow with the fleet, not faster.
                yield from _compared(f"{at}: {name}", taken, first.get(name), growth)
            yield _milliseconds(f"{at}: one store's label by HTTP to commit, p50", labels, 50)
            yield _milliseconds(f"{at}: one store's label by HTTP to commit, p99", labels, 99)
            if smallest:
                yield _growth(f"{at}: peak memory of server and workers", peak, first["peak"][1], growth, "MB")
            else:
                name = f"{at}: peak memory of server and workers"
                yield {"name": name, "value": round(peak, 1), "unit": "MB", "target": None}
            yield from _put_figures(server, at)
            _bound(server)
            yield from _put_figures(server, f"{at}: with bound rights")
        finally:
            server.remove()
        if not smallest:
            first, smallest = {**known, "peak": (0.0, peak)}, server.stores


def _put_figures(server: LargeServer, at: str) -> Iterator[Figure]:
    for kind, taken in puts(server, PUTS):
        yield _milliseconds(f"{at}: put of one {kind}, p50", taken, 50, PUT_MILLISECONDS_MAX)
        yield _milliseconds(f"{at}: put of one {kind}, p99", taken, 99)


def _milliseconds(name: str, taken: list[float], percentile: int, target: float | None = None) -> Figure:
    value = round(float(np.percentile(taken, percentile)) * 1e3, 3)
    return {"name": name, "value": value, "unit": "ms", "target": target, "baseline": None, "ratio": None}
