"""Whatever is declared with 10,000 listed names is refused as too much, with what to do, before anything is appended.

The one rule: a published type that people fill with lists has its case here; `tests/rendering/test_rendering_sizes.py`
holds what the system writes itself, and insists that no type is missing in both.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

from cli.embedded import SERVICES
from libs import contracts as c
from libs.contracts.inbox import PREFIX
from libs.eventlog import EVENT_BYTES_MAX
from services.rendering.app import build as rendering
from tests.flow.conftest import Server, running
from tests.support.journeys import application, ask, declare, publish

COUNT = 10_000
NAMES = [f"store-{number:05}-{'x' * 48}" for number in range(COUNT)]
LABELS = dict.fromkeys(NAMES, "x")
OBJECTS = [f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{'y' * 100}}}\n" for name in NAMES]
CHOICES = [{"expression": f"/c/{name}", "version": "1.0.0"} for name in NAMES]
LONG_CHOICES = [
    {"expression": " or ".join(f"/c/{name}" for name in NAMES[number : number + 8]), "version": "1.0.0"}
    for number in range(0, 8_000, 8)
]
TYPES = [f"{PREFIX}LabelsChanged.v1"]


def document(kind: str, plural: str, spec: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> Any:
    """PUT a document of one kind."""
    body = {"kind": kind, "metadata": {"name": "large", "labels": labels or {}}, "spec": spec}
    return "PUT", f"/v1/{plural}/large", body


Case = tuple[str, str, Mapping[str, Any]]
APPLICATIONS = {"applications": NAMES}
NIGHT = [{"days": ["mon"], "from": "01:00", "to": "05:00"}]
FREEZE = {"from": "2030-01-01T00:00:00Z", "until": "2030-01-02T00:00:00Z", "reason": "r", "owner": "o"}
CASES: Mapping[type, list[Case]] = {
    c.StoreDeclared: [
        document("Store", "stores", {"timezone": "Asia/Tokyo", "clusters": [{"name": name} for name in NAMES]}),
        document("Store", "stores", {"timezone": "Asia/Tokyo"}, LABELS),
    ],
    c.GroupDeclared: [
        ("PUT", "/v1/groups/geo/us", {"kind": "Group", "metadata": {"path": "/geo/us"}, "spec": {listed: NAMES}})
        for listed in ("clusters", "stores")
    ],
    c.NamespaceDeclared: [
        document("Namespace", "namespaces", {"expression": "/c/*", "owners": NAMES}),
        document("Namespace", "namespaces", {"expression": "/c/*", "labels": LABELS}),
        document("Namespace", "namespaces", {"expression": "/c/*"}, LABELS),
        document("Namespace", "namespaces", {"expression": " or ".join(f"/c/{name}" for name in NAMES)}),
    ],
    c.ApplicationDeclared: [document("Application", "applications", {"namespace": "pos"}, LABELS)],
    c.ConfigurationDeclared: [
        document("Configuration", "configurations", {"expression": "/c/*", "values": LABELS}),
        document("Configuration", "configurations", {"expression": "/c/*", **APPLICATIONS}),
        document("Configuration", "configurations", {"expression": "/c/*"}, LABELS),
    ],
    c.ReleasePublished: [
        ("PUT", "/v1/applications/pos-api/releases/2.0.0", {"manifests": "---\n".join(objects)})
        for objects in (OBJECTS[:2_000], OBJECTS)
    ],
    c.ReleaseChoicesSet: [
        (
            "PUT",
            "/v1/applications/pos-api/release-choices",
            {"choices": choices},
        )
        for choices in (LONG_CHOICES, CHOICES)
    ],
    c.CalendarDeclared: [
        document("Calendar", "calendars", {"windows": NIGHT, **APPLICATIONS}),
        document("Calendar", "calendars", {"windows": NIGHT * COUNT, "clusters": "/c/*"}),
        document("Calendar", "calendars", {"windows": NIGHT, "clusters": "/c/*"}, LABELS),
    ],
    c.FreezeDeclared: [
        document("Freeze", "freezes", {**FREEZE, "clusters": "/c/*", **APPLICATIONS}),
        document("Freeze", "freezes", {**FREEZE, "clusters": " or ".join(f"/c/{name}" for name in NAMES)}),
    ],
    c.PlacementPolicyDeclared: [
        document(
            "PlacementPolicy",
            "placementpolicies",
            {"forbid": APPLICATIONS, "clusters": "/c/*", "basis": "Code 1"},
        )
    ],
    c.SignOffDeclared: [
        document("SignOff", "signoffs", {"stages": [{"roles": ["admin"]}] * COUNT}),
        document("SignOff", "signoffs", {"stages": [{"roles": NAMES}]}),
        document("SignOff", "signoffs", {"stages": [{"roles": ["admin"]}]}, LABELS),
    ],
    c.RoleDeclared: [
        document("Role", "roles", {"rules": [{"verbs": ["read"], "kinds": ["Store"]}] * COUNT}),
        document("Role", "roles", {"rules": [{"verbs": NAMES, "kinds": ["Store"]}]}),
    ],
    c.RoleBindingDeclared: [
        document("RoleBinding", "rolebindings", {"role": "admin", "subjects": [{"user": name} for name in NAMES]}),
        document("RoleBinding", "rolebindings", {"role": "admin", "subjects": [{"user": "ana"}], "namespaces": NAMES}),
    ],
    c.SourceDeclared: [
        document(
            "Source",
            "sources",
            {"source": "https://cmdb", "serviceAccount": "cmdb", "types": TYPES, "names": NAMES},
        )
    ],
    c.OverrideRequested: [
        (
            "POST",
            "/v1/overrides",
            {"freeze": "known", "minutes": 5, "reason": "r", "applications": NAMES},
        )
    ],
}
"""Type → (method, path, body) whose event would hold 10,000 names."""
AT_THE_LOG = {
    c.GroupDeclared: "/spec/clusters",
    c.ReleasePublished: "/objects",
    c.ReleaseChoicesSet: "/choices",
}
"""What no bound of its own stops before the log's, and what the first case's answer points to."""
ANSWER_BYTES_MAX = 100_000


@asynccontextmanager
async def large(data_dir: Path) -> AsyncIterator[Server]:
    """A fleet of 10,000 stores without rendering, so that positions are those of the test's commands."""
    services = [build for build in SERVICES if build is not rendering]
    async with running(data_dir, services) as made:
        rows = "\n".join(json.dumps({"name": name, "timezone": "Asia/Tokyo"}) for name in NAMES)
        answer = await made.client.post(
            "/v1/stores:import", content=rows, headers={"Content-Type": "application/x-ndjson"}, timeout=120
        )
        assert answer.status_code < 300, answer.text
        await declare(made, {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}})
        await declare(made, application())
        await publish(made, "1.0.0")
        _, _, freeze = document("Freeze", "freezes", {**FREEZE, "clusters": "/c/*"})
        await declare(made, {**freeze, "metadata": {"name": "known"}})
        yield made


async def test_ten_thousand_names_are_refused_with_what_to_do(tmp_path: Path) -> None:
    async with large(tmp_path / "data") as server:
        head = server.embedded.log.head().position
        for event_type, cases in CASES.items():
            for (method, path, body), params in product(cases, ({}, {"dry_run": "true"})):
                answer = await server.client.request(method, path, json=body, params=params, timeout=60)
                problem = answer.json()
                assert answer.status_code in {409, 422}, (event_type, answer.text[:500])
                assert "no field" not in problem["detail"], problem  # it is the size that is refused
                assert problem.get("pointer") or problem["fix"], (event_type, answer.text[:500])
                assert len(answer.content) < ANSWER_BYTES_MAX
        for event_type, pointer in AT_THE_LOG.items():
            method, path, body = CASES[event_type][0]
            for params in ({}, {"dry_run": "true"}):
                problem = (await server.client.request(method, path, json=body, params=params, timeout=60)).json()
                assert (problem["code"], problem["status"]) == ("too-large", 422), str(problem)[:600]
                assert problem["pointer"] == pointer
                assert problem["bytes"] > problem["bytes_max"] == EVENT_BYTES_MAX
                assert problem["fix"]
        await a_document_among_others_is_named(server)
        assert server.embedded.log.head().position == head

        fitting = {"kind": "Group", "metadata": {"path": "/geo/ca"}, "spec": {"clusters": NAMES[:4_000]}}
        await ask(server, "PUT", "/v1/groups/geo/ca", json=fitting)


async def a_document_among_others_is_named(server: Server) -> None:
    _, _, group = CASES[c.GroupDeclared][0]
    small = {"kind": "Group", "metadata": {"path": "/geo"}, "spec": {"clusters": NAMES[:1]}}
    for params in ({"dry_run": "true"}, {}):
        answer = await server.client.post("/v1/documents", json={"documents": [small, group]}, params=params)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["document"]) == (422, "too-large", 1)
