"""The first half of a recorded journey: a fleet that grows after its first admission, and its facts."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

from libs.contracts import ConsumerHalted, encode, type_name
from libs.eventlog import NewEvent, Submission
from tests.support.journeys import application, ask, choose, declare, publish, settled, store
from tests.support.shop import Shop, named
from tests.support.waiting import eventually

SOURCE = "https://stores.example.com/registry"
TYPES = ["dev.resedge.inbox.StoreOpened.v1", "dev.resedge.inbox.LabelsChanged.v1"]
SCHEMA = {"type": "object", "properties": {"level": {"enum": ["info", "debug"]}}}
FEW = "/c/store-00 or /c/store-01"
SEVERAL = """\
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME-of-store, annotations: {on: "no"}}
data:
  store: ${edge.store.name}
  state: "${edge.labels.state:-none}"
"""
GIT = ["git", "-c", "user.name=someone", "-c", "user.email=someone@localhost"]


async def grow(server: Shop) -> None:
    """Let one store live, then stores come that nothing selects, then some of them live, move, go and come back."""
    await declare(server, store("a-00", state="tx", size="large"), namespace("pos", "/c/a-00"), application())
    await publish(server, "1.0.0")
    await choose(server, "1.0.0")
    await settled(server)
    await load(server, "b", 72)
    await settled(server)
    for expression in ("/c/a-00 or /c/b-00", "size = large"):
        await declare(server, namespace("pos", expression))
        await settled(server)
    await _names_that_begin_alike(server)
    await _names_that_are_words_and_numbers(server)
    await _clusters_that_go_come_back_and_move(server)
    await load(server, "c", 60)
    await settled(server)


def namespace(name: str, expression: str, **spec: Any) -> dict[str, Any]:
    return named("Namespace", name, expression=expression, **spec)


async def load(server: Shop, prefix: str, count: int) -> None:
    """Import stores of two states; every sixth is large."""
    rows = [
        f"{prefix}-{number:02d},America/{'Chicago,tx' if number % 4 < 2 else 'Denver,ut'},"
        f"{'small' if number % 6 else 'large'}"
        for number in range(count)
    ]
    content = "\n".join(["name,timezone,state,size", *rows]) + "\n"
    answer = await server.client.post("/v1/stores:import", content=content, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text


async def _names_that_begin_alike(server: Shop) -> None:
    """The order of names in a cluster's files is that of `pos`, `pos-api` and `pos-x`, whichever came first."""
    await declare(server, namespace("pos-x", "size = large"), named("Application", "signs", namespace="pos-x"))
    await release(server, "signs", "1.0.0")
    await settled(server)
    await declare(server, namespace("pos-api", "size = large and state = tx"))
    await declare(server, named("Application", "menu", namespace="pos-api"))
    await release(server, "menu", "1.0.0")
    await settled(server)
    for labels in ({"team": "till"}, {"team": "tills", "tier": "1"}, {"tier": "on"}):
        await declare(server, namespace("pos", "size = large", labels=labels))
        await declare(server, namespace("pos-api", "size = large and state = tx", labels={**labels, "of": "menu"}))
        await settled(server)


def manifest(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{size: '${{edge.labels.size}}'}}\n"


async def _names_that_are_words_and_numbers(server: Shop) -> None:
    """Names that YAML would read as something else, and applications of one namespace that begin alike."""
    await declare(server, namespace("on", "/c/a-00"), namespace("404", "/c/a-00"))
    for home, name in (("pos-x", "signs-x"), ("pos-x", "sig"), ("on", "no"), ("404", "1e3")):
        await declare(server, named("Application", name, namespace=home, expression="/c/a-00 or /c/b-12"))
        await release(server, name, "1.0.0", SEVERAL)
    await settled(server)


async def release(server: Shop, name: str, version: str, more: str = "") -> None:
    """Publish a release of an application and choose it everywhere."""
    manifests = manifest(name) + more.replace("NAME", name)
    await ask(server, "PUT", f"/v1/applications/{name}/releases/{version}", json={"manifests": manifests})
    body = {"version": version, "expression": None}
    await ask(server, "POST", f"/v1/applications/{name}/release-choices:set", json=body)


async def _clusters_that_go_come_back_and_move(server: Shop) -> None:
    await ask(server, "DELETE", "/v1/clusters/b-00")
    await soon(server)
    await ask(server, "DELETE", "/v1/stores/b-06")
    await soon(server)
    await declare(server, store("b-00", state="tx", size="large"), store("b-06", state="ut", size="large"))
    await settled(server)
    for name in ("b-01", "b-02", "b-18"):
        await ask(server, "DELETE", f"/v1/stores/{name}")
    await soon(server)
    await ask(server, "DELETE", "/v1/retired-clusters/b-02", json={"reason": "its hardware is sold"})
    await settled(server)
    await declare(server, store("b-01", state="tx", size="large"), store("b-18", state="ut", size="small"))
    await settled(server)
    two = store("b-12", state="tx", size="large")
    two["spec"]["clusters"] = [{"name": "b-12"}, {"name": "b-12-kitchen", "labels": {"size": "small"}}]
    await declare(server, two)
    await settled(server)
    left, taken = store("b-36", state="tx", size="large"), store("b-37", state="tx", size="large")
    left["spec"]["clusters"], taken["spec"]["clusters"] = [], [{"name": "b-37"}, {"name": "b-36"}]
    await declare(server, left, taken)
    await soon(server)


async def soon(server: Shop) -> None:
    """Let a minute pass: removals have to be wanted for a while."""
    await server.go(server.hands.at + timedelta(minutes=1))


async def change(server: Shop) -> None:
    """Let facts of every kind be declared and removed, come from outside, and be held; let writing stop and go on."""
    await declare(server, *(store(f"store-{number:02d}", home="shop") for number in range(4)))
    await declare(server, namespace("pos", "size = large or home = shop", labels={"tier": "on"}))
    await settled(server)
    await _what_is_declared_and_removed(server)
    await _what_comes_from_outside(server)
    await _what_stops_and_is_held(server)


async def _what_is_declared_and_removed(server: Shop) -> None:
    full = store("store-04", home="shop", size="large")
    full["metadata"]["labels"]["grill"] = ["A", "B"]
    full["spec"] |= {
        "hours": [{"days": ["mon", "tue"], "open": "06:00", "close": "02:00"}],
        "clusters": [
            {"name": "store-04", "capacity": {"cpu": "4"}},
            {"name": "store-04-kitchen", "labels": {"role": "k"}},
        ],
    }
    group = {"kind": "Group", "metadata": {"path": "/geo/tx"}}
    await declare(
        server,
        full,
        group | {"spec": {"clusters": ["store-00"], "expression": "has(size) and state = tx"}},
        named("Configuration", "tx", applications=["pos-api"], expression="/g/geo/tx", values={"level": "debug"}),
        named("Store", "gone", timezone="UTC", clusters=[]),
        {"kind": "Group", "metadata": {"path": "/gone"}, "spec": {}},
        named("Namespace", "gone", expression="none"),
        named("Application", "gone", namespace="gone"),
        named("Configuration", "gone", applications=["gone"], expression="/c/*", values={"a": 1}),
    )
    manifests = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {l: '${edge.config.level}'}\n"
    body = {"manifests": manifests, "schema": SCHEMA, "defaults": {"level": "info"}}
    await ask(server, "PUT", "/v1/applications/pos-api/releases/1.1.0", json=body)
    await choose(server, "1.1.0", "/g/geo/tx")
    for path in ("configurations/gone", "applications/gone", "namespaces/gone", "groups/gone", "stores/gone"):
        await ask(server, "DELETE", f"/v1/{path}")
    await settled(server)


def source(name: str, uri: str, *types: str) -> dict[str, Any]:
    return named("Source", name, source=uri, serviceAccount="registry", types=list(types), names=["store-*"])


async def send(server: Shop, token: str, id_: str, name: str, data: dict[str, Any]) -> dict[str, Any]:
    said = {"specversion": "1.0", "id": id_, "source": SOURCE, "type": f"dev.resedge.inbox.{name}.v1", "data": data}
    headers = {"Content-Type": "application/cloudevents+json"}
    async with server.client_for(token) as sender:
        answer = await sender.post("/v1/events", content=json.dumps(said), headers=headers)
    body: dict[str, Any] = answer.json()
    return body


async def _what_comes_from_outside(server: Shop) -> None:
    token = server.embedded.tokens.issue("registry", frozenset({"source"}))
    await declare(server, source("registry", SOURCE, TYPES[1]))
    opened = await send(server, token, "e-1", "StoreOpened", {"name": "store-05", "timezone": "UTC"})
    retried = {"reason": "the source may send openings now"}
    await server.client.post(f"/v1/dead-letters/{opened['letter']}:retry", json={"reason": "too early"})
    await declare(server, source("registry", SOURCE, *TYPES))
    await ask(server, "POST", f"/v1/dead-letters/{opened['letter']}:retry", json=retried)
    await send(server, token, "e-2", "LabelsChanged", {"name": "store-05", "set": {"size": "small"}})
    await send(server, token, "e-3", "LabelsChanged", {"name": "store-05", "set": {"size": "small"}})
    wrong = await send(server, token, "e-4", "LabelsChanged", {"name": "ny-0001", "set": {"size": "small"}})
    await ask(server, "POST", f"/v1/dead-letters/{wrong['letter']}:skip", json={"reason": "not ours"})
    await send(server, token, "e-5", "LabelsChanged", {"name": "store-99", "set": {"size": "small"}})
    await declare(server, source("gone", "urn:gone", *TYPES))
    await ask(server, "DELETE", "/v1/sources/gone")
    halted = ConsumerHalted("old.view@3", "old", "old.view", 3, "dev.resedge.old.Thing.v1", "it cannot be applied")
    new = NewEvent(f"letter-{halted.letter}", type_name(halted), encode(halted))
    await server.embedded.log.append_async(Submission([new], "resedge/old"))
    await ask(server, "POST", f"/v1/dead-letters/{halted.letter}:skip", json={"reason": "harmless"})


async def _what_stops_and_is_held(server: Shop) -> None:
    repository = server.embedded.data_dir / "gitops.git"
    await settled(server)
    commit = await asyncio.to_thread(_git, repository, "commit-tree", "main^{tree}", "-p", "main", "-m", "by hand")
    await asyncio.to_thread(_git, repository, "update-ref", "refs/heads/main", commit)
    await declare(server, store("store-06", home="shop"))

    async def restored() -> bool:
        answer = await server.client.post("/v1/gitops:restore", json={"reason": "ours again"})
        return bool(answer.status_code == 200)

    await eventually(restored)
    await settled(server)
    await narrow(server, FEW)
    await confirm(server)
    await narrow(server, None)


async def narrow(server: Shop, expression: str | None) -> None:
    """Declare two applications anew: narrowed to a few clusters, their removals are held; else they are all back."""
    signs = named(
        "Application", "signs", namespace="pos-x", **({} if expression is None else {"expression": expression})
    )
    await declare(server, application(expression), signs)
    await soon(server)


async def confirm(server: Shop) -> None:
    """Let what is held go ahead."""
    found = (await ask(server, "GET", "/v1/holds"))["items"]
    assert found
    for each in found:
        await ask(server, "POST", f"/v1/holds/{each['id']}/confirm", json={"reason": "meant so"})
    await settled(server)


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, "-C", str(repository), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
