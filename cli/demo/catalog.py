"""What runs in the demo: five namespaces, twenty-five applications, layered configuration, and their releases.

`demo_documents` gives everything in an order in which it can be applied one by one: a document refers only
to earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.demo.hierarchies import LIVE, PILOT, group_documents
from libs.contracts.names import API_VERSION
from libs.templates import hydrate, read_yaml

if TYPE_CHECKING:
    from cli.demo.fleet import DemoFleet, DemoHours, DemoStore

SMALL_FLEET_STORES = 5_000
"""A smaller fleet may lack what some documents select, so that in it they say that they may be empty."""

KITCHEN_CAPACITY = {"cpu": "4", "memory": "8Gi"}


@dataclass(frozen=True, slots=True)
class Workload:
    """An application: where it runs beyond its namespace's expression, and the version of its release."""

    name: str
    namespace: str
    version: str
    expression: str | None = None


NAMESPACES: tuple[dict[str, Any], ...] = (
    {
        "name": "inventory",
        "where": "role != kitchen",
        "owners": ["team-stock"],
        "capacity": {"cpu": "500m", "memory": "1Gi"},
        "security": "baseline",
    },
    {
        "name": "kitchen",
        "where": "role != front",
        "owners": ["team-kitchen"],
        "capacity": {"cpu": "1", "memory": "1536Mi"},
        "security": "baseline",
    },
    {
        "name": "menu",
        "where": "role != kitchen",
        "owners": ["team-menu", "team-delivery"],
        "capacity": {"cpu": "500m", "memory": "1Gi"},
        "security": "baseline",
    },
    {
        "name": "pos",
        "where": "role != kitchen",
        "owners": ["team-pos"],
        "capacity": {"cpu": "1", "memory": "2Gi"},
        "security": "privileged",
    },
    {
        "name": "telemetry",
        "where": None,
        "owners": ["team-devices"],
        "capacity": {"cpu": "500m", "memory": "1Gi"},
        "security": "privileged",
    },
)

APPLICATIONS = (
    Workload("point-of-sale", "pos", "4.2.0"),
    Workload("receipt-printing", "pos", "2.9.4"),
    Workload("loyalty", "pos", "1.17.2"),
    Workload("price-sync", "pos", "3.1.0"),
    Workload("drive-through-audio", "pos", "5.0.3", "lanes >= 1"),
    Workload("cash-office", "pos", "1.4.8"),
    Workload("kitchen-display", "kitchen", "7.3.1"),
    Workload("order-router", "kitchen", "2.12.0"),
    Workload("label-printing", "kitchen", "1.8.0"),
    Workload("prep-forecast", "kitchen", "0.23.1"),
    Workload("waste-log", "kitchen", "1.2.5"),
    Workload("stock-counts", "inventory", "3.5.0"),
    Workload("receiving", "inventory", "2.2.1"),
    Workload("replenishment", "inventory", "6.0.2"),
    Workload("shift-planning", "inventory", "1.0.9"),
    Workload("time-clock", "inventory", "4.4.0"),
    Workload("menu-boards", "menu", "9.1.0"),
    Workload("allergen-guide", "menu", "2.0.6"),
    Workload("delivery-doorrush", "menu", "3.3.2", "/g/delivery/doorrush"),
    Workload("delivery-quickbite", "menu", "3.3.2", "/g/delivery/quickbite"),
    Workload("fryer-telemetry", "telemetry", "1.6.2", "has(fryer)"),
    Workload("grill-telemetry", "telemetry", "2.1.7", "has(grill)"),
    Workload("cold-chain", "telemetry", "3.0.0"),
    Workload("camera-gateway", "telemetry", "5.2.1", "/g/devices/camera"),
    Workload("store-metrics", "telemetry", "0.118.0"),
)

NEXT_RELEASE = Workload("menu-boards", "menu", "9.2.0")
"""The release that moves on the pilot stores."""

CONFIGURATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fleet", {"expression": "/c/*", "values": {"logLevel": "info", "metrics": {"intervalSeconds": 60}}}),
    (
        "thin-uplink",
        {
            "expression": "/g/devices/thin-uplink",
            "priority": 10,
            "values": {"metrics": {"intervalSeconds": 300}, "sync": {"compress": True}},
        },
    ),
    ("pos", {"namespace": "pos", "expression": "/c/*", "values": {"currency": "USD", "tax": {"mode": "exclusive"}}}),
    ("pos-large", {"namespace": "pos", "expression": "size in (large, xl)", "values": {"replicasMax": 4}}),
    ("kitchen", {"namespace": "kitchen", "expression": "/c/*", "values": {"lateAfterSeconds": 240}}),
    (
        "kitchen-multi-lane",
        {"namespace": "kitchen", "expression": "/g/devices/lanes/multi", "priority": 10, "values": {"screens": 4}},
    ),
    (
        "menu-spanish",
        {
            "namespace": "menu",
            "expression": "languages = es and state in (az, ca, nm, tx)",
            "values": {"menu": {"language": "es"}},
        },
    ),
    (
        "telemetry-new-stores",
        {"namespace": "telemetry", "expression": "opened >= 2025", "values": {"logLevel": "debug"}},
    ),
    (
        "pos-texas",
        {
            "applications": ["point-of-sale"],
            "expression": "/g/geo/us/central/tx",
            "priority": 20,
            "values": {"logLevel": "debug", "tax": {"rate": 0.0825}},
        },
    ),
    (
        "pos-northeast",
        {"applications": ["point-of-sale"], "expression": "/g/geo/us/northeast", "values": {"tax": {"rate": 0.0625}}},
    ),
    (
        "receipts-franchised",
        {
            "applications": ["receipt-printing"],
            "expression": "/g/franchise/franchised",
            "values": {"copies": 2, "footer": "Locally owned and operated. Thank you."},
        },
    ),
    (
        "audio-multi-lane",
        {
            "applications": ["drive-through-audio"],
            "expression": "lanes >= 2",
            "values": {"audio": {"echoCancel": True}},
        },
    ),
    (
        "warnings-california",
        {
            "applications": ["label-printing", "allergen-guide"],
            "expression": "/g/geo/us/west/pacific/ca",
            "values": {"prop65": True},
        },
    ),
    (
        "grill-candidate",
        {
            "applications": ["grill-telemetry"],
            "expression": "grill = Acme3001 and ownership = corporate",
            "values": {"grill": {"firmware": "candidate"}},
        },
    ),
    (
        "delivery-busy-cities",
        {
            "applications": ["delivery-doorrush", "delivery-quickbite"],
            "expression": "/g/delivery/campuscart",
            "values": {"delivery": {"prepMinutes": 18}},
        },
    ),
    (
        "menu-pilot",
        {
            "applications": ["menu-boards"],
            "expression": f"/g{PILOT}",
            "priority": 20,
            "values": {"menu": {"season": "spring"}},
        },
    ),
    (
        "counts-always-open",
        {
            "applications": ["stock-counts"],
            "expression": "/g/planogram/travel-plaza",
            "values": {"countEveryHours": 12},
        },
    ),
)


def demo_documents(fleet: DemoFleet) -> list[dict[str, Any]]:
    """Return every document of the demo but the stores that the import brings, each after what it refers to."""
    return [
        *kitchen_documents(fleet),
        *group_documents(fleet),
        *namespace_documents(),
        *application_documents(fleet),
        *configuration_documents(fleet),
    ]


def live_document() -> dict[str, Any]:
    """Return the group that opens the whole fleet; until it is applied, one store is live."""
    return _document("Group", {"path": LIVE}, {"expression": "/c/*"})


def kitchen_documents(fleet: DemoFleet) -> list[dict[str, Any]]:
    """Return the stores that have a second cluster, whole, as a store's document replaces what was imported."""
    kitchens = frozenset(fleet.kitchens)
    return [_store_document(store) for store in fleet.stores if store.name in kitchens]


def _store_document(store: DemoStore) -> dict[str, Any]:
    own = {"cpu": store.cpu, "memory": store.memory}
    clusters = [
        {"name": store.name, "labels": {"role": "front"}, "capacity": own},
        {"name": f"{store.name}-kitchen", "labels": {"role": "kitchen"}, "capacity": KITCHEN_CAPACITY},
    ]
    labels = {key: value if isinstance(value, str) else list(value) for key, value in store.labels.items()}
    spec = {"timezone": store.timezone, "hours": [_hours(entry) for entry in store.hours], "clusters": clusters}
    return _document("Store", {"name": store.name, "labels": labels}, spec)


def _hours(entry: DemoHours) -> dict[str, Any]:
    return {"days": list(entry.days), "open": entry.opens, "close": entry.closes}


def namespace_documents() -> list[dict[str, Any]]:
    """Return the namespaces; each is on the stores that are live."""
    return [
        _document(
            "Namespace",
            {"name": namespace["name"]},
            {
                "expression": f"/g{LIVE}" + (f" and {namespace['where']}" if namespace["where"] else ""),
                "owners": namespace["owners"],
                "capacity": namespace["capacity"],
                "labels": {"pod-security.kubernetes.io/enforce": namespace["security"]},
            },
        )
        for namespace in NAMESPACES
    ]


def application_documents(fleet: DemoFleet) -> list[dict[str, Any]]:
    """Return the applications, each narrowed to the stores that have what it works with."""
    found = []
    for workload in APPLICATIONS:
        spec: dict[str, Any] = {"namespace": workload.namespace}
        if workload.expression:
            spec |= {"expression": workload.expression} | _allowance(fleet)
        found.append(_document("Application", {"name": workload.name}, spec))
    return found


def configuration_documents(fleet: DemoFleet) -> list[dict[str, Any]]:
    """Return the layers of configuration; no two of equal rank set one key differently on one cluster."""
    return [_document("Configuration", {"name": name}, spec | _allowance(fleet)) for name, spec in CONFIGURATIONS]


def _allowance(fleet: DemoFleet) -> dict[str, Any]:
    return {"allow_empty": True} if len(fleet.stores) < SMALL_FLEET_STORES else {}


def _document(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def release_folder(application: str) -> Path:
    """Return the folder of an application's release: `manifests/*.yaml`, and where it has them schema and defaults."""
    return Path(__file__).with_name("manifests") / application


def manifests(application: str) -> str:
    """Return an application's manifests as `resedge publish` uploads them."""
    workload = next(workload for workload in APPLICATIONS if workload.name == application)
    folder = release_folder(application) / "manifests"
    return hydrate(folder, namespace=workload.namespace, release_name=application).decode()


def release_body(application: str) -> dict[str, Any]:
    """Return the body that publishes an application's release."""
    folder = release_folder(application)
    return {
        "manifests": manifests(application),
        "schema": _beside(folder / "schema.json"),
        "defaults": _beside(folder / "defaults.yaml"),
    }


def _beside(file: Path) -> Any:
    return read_yaml(file.read_bytes())[0] if file.is_file() else None


def next_release_body() -> dict[str, Any]:
    """Return the release that moves: the same application with its next image."""
    current = next(workload for workload in APPLICATIONS if workload.name == NEXT_RELEASE.name)
    body = release_body(NEXT_RELEASE.name)
    body["manifests"] = body["manifests"].replace(f":{current.version}\n", f":{NEXT_RELEASE.version}\n")
    return body
