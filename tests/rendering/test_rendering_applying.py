"""What a cluster's values make of a release is refused there, if no API server would take it; nothing else changes."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import Any

import pytest

from libs.contracts import (
    ClusterSpec,
    ConfigurationDeclared,
    NamespaceDeclared,
    ObjectRef,
    ReleasePublished,
    StoreDeclared,
)
from libs.gates.refusals import SET_ASIDE
from libs.kubernetes import newest
from libs.templates import compile_release
from services.catalog.checking import Surroundings, check_release
from tests.support.renderer import Renderer, application, choose, namespace, replay, store

KEY = "pos/pos-api"
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: pos-api
  labels: {size: "${edge.labels.size:-none}", store: "${edge.store.name}", zone: LABEL}
spec:
  replicas: ${edge.config.replicas:-1}
  selector: {matchLabels: {app: pos-api}}
  template:
    metadata: {labels: {app: pos-api}}
    spec:
      containers:
        - name: main
          image: registry.example/pos-api:1
          env:
            - {name: "${edge.config.first:-FIRST}", value: "${edge.labels.note:-none}"}
            - {name: "${edge.config.second:-SECOND}", value: "2"}
          resources:
            requests: {cpu: "${edge.config.cpu:-100m}"}
            limits: {cpu: "${edge.config.limit:-1}"}
"""


def release(renderer: Renderer, version: str = "1.0.0", manifest: str = MANIFEST, label: str = "x") -> ReleasePublished:
    """Publish as the catalog does: with what the slots must be like."""
    text = manifest.replace("LABEL", label).encode()
    template, objects = compile_release(text, application="pos-api", namespace="pos", version=version)
    checked = check_release(
        template, objects, Surroundings((newest(),), named=False, registered=(), others=()), "pos-api", []
    )
    assert checked.report.refused == []
    return ReleasePublished(
        "pos-api",
        version,
        "pos",
        hashlib.sha256(text + version.encode()).hexdigest(),
        renderer.blob(text),
        renderer.blob(template.to_bytes()),
        objects=[ObjectRef(each.api_version, each.kind, each.namespace, each.name) for each in template.objects],
        checks=None if checked.body is None else renderer.blob(checked.body),
    )


def configured(name: str = "layer", expression: str = "/c/*", **values: Any) -> ConfigurationDeclared:
    return ConfigurationDeclared(name, expression, ["pos-api"], values=values)


async def fleet(**labels: str) -> Renderer:
    """Two stores with the release admitted; the second has the labels."""
    renderer = Renderer()
    renderer.facts(store("tx-1"), store("tx-2", **labels), namespace("pos"), application("pos-api", "pos"))
    renderer.facts(release(renderer), choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


def reasons(renderer: Renderer) -> list[str]:
    return sorted(refusal.detail for refusal in renderer.model.placements.refusals)


async def test_a_label_with_a_blank_refuses_only_its_store_and_what_runs_there_stays() -> None:
    renderer = await fleet(size="small")

    renderer.facts(store("tx-2", size="very small"), configured(replicas=2))
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "never-applies"): ["tx-2"]}
    assert reasons(renderer)[0].startswith("Deployment/pos/pos-api /metadata/labels/size: 'very small' is not a label")
    assert renderer.version_on(KEY, "tx-2") == "1.0.0"
    assert len(renderer.commits) == 2


async def test_text_that_is_no_label_may_stand_where_any_text_may() -> None:
    renderer = await fleet(note="Ring the bell, twice!")

    assert renderer.refusals() == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": "2"}, "/spec/replicas: '2' stands where a whole number belongs"),
        ({"replicas": -1}, "/spec/replicas: -1 is negative"),
        ({"replicas": [1]}, "/spec/replicas: a list stands where a whole number belongs"),
        ({"cpu": "lots"}, "/requests/cpu: 'lots' is not a quantity"),
        ({"cpu": "2"}, "/requests/cpu: the request 2 is over the limit 1"),
        ({"limit": "50m"}, "/requests/cpu: the request 100m is over the limit 50m"),
        ({"first": "SECOND"}, "/env/1: name 'SECOND' is in the list twice"),
        ({"second": "A=B"}, "/env/1/name: 'A=B' is not the name of an environment variable"),
        ({"second": ""}, "/env/1/name: the field is required, and is empty"),
    ],
)
async def test_values_that_no_api_server_takes_are_refused_with_their_place(values: dict[str, Any], said: str) -> None:
    renderer = await fleet()

    renderer.facts(configured(expression="/c/tx-2", **values))
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "never-applies"): ["tx-2"]}
    assert said in reasons(renderer)[0]


async def test_values_that_fit_together_are_admitted() -> None:
    renderer = await fleet()

    renderer.facts(configured(replicas=3, cpu="2", limit=4, first="SECOND", second="FIRST"))
    await renderer.settle()

    assert renderer.refusals() == {}
    assert len(renderer.commits) == 2


async def test_a_text_around_a_name_is_measured_for_each_store() -> None:
    renderer = Renderer()
    long = "x" * 63
    renderer.facts(store("tx-1"), store(long), namespace("pos"), application("pos-api", "pos"))
    renderer.facts(release(renderer, label='"store.${edge.store.name}"'), choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "never-applies"): [long]}


async def test_a_value_for_a_whole_map_or_list_is_looked_into() -> None:
    manifest = MANIFEST.replace(
        "      containers:", "      nodeSelector: ${edge.config.nodes:-null}\n      containers:"
    ).replace("image: registry", "args: ${edge.config.args:-null}\n          image: registry")
    renderer = Renderer()
    renderer.facts(*(store(f"tx-{number}") for number in range(4)), namespace("pos"), application("pos-api", "pos"))
    renderer.facts(
        configured("fits", "/c/tx-0", nodes={"disk": "ssd"}, args=["--x"]),
        configured("key", "/c/tx-1", nodes={"a disk": "ssd"}),
        configured("value", "/c/tx-2", nodes={"disk": 5}),
        configured("item", "/c/tx-3", args=["--x", 5]),
        release(renderer, manifest=manifest),
        choose("pos-api", ("/c/*", "1.0.0")),
    )
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "never-applies"): ["tx-1", "tx-2", "tx-3"]}


async def test_a_configmap_that_values_make_too_large_is_refused() -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n" + "".join(
        f'  k{number}: "${{edge.config.text:-x}}"\n' for number in range(8)
    )
    renderer = Renderer()
    renderer.facts(store("tx-1"), store("tx-2"), namespace("pos"), application("pos-api", "pos"))
    renderer.facts(release(renderer, manifest=manifest), choose("pos-api", ("/c/*", "1.0.0")))
    renderer.facts(configured("fits", "/c/tx-1", text="x" * 131_000), configured("not", "/c/tx-2", text="x" * 132_000))
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "never-applies"): ["tx-2"]}
    assert "1,056,000 bytes" in reasons(renderer)[0]


async def test_an_api_is_missing_where_the_version_of_the_cluster_does_not_have_it() -> None:
    manifest = (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}}\n---\n"
        "apiVersion: flowcontrol.apiserver.k8s.io/v1beta3\nkind: FlowSchema\nmetadata: {name: b}\n"
        "spec: {priorityLevelConfiguration: {name: c}}\n"
    )
    renderer = Renderer()
    stores = [
        StoreDeclared(name, "America/Chicago", clusters=[ClusterSpec(name, kubernetes=minor)])
        for name, minor in (("tx-1", "1.31"), ("tx-2", "1.35"), ("tx-3", ""))
    ]
    text = manifest.encode()
    template, objects = compile_release(
        text, application="pos-api", namespace="pos", version="1.0.0", allow=["FlowSchema"]
    )
    checked = check_release(
        template, objects, Surroundings(("1.31", "1.35"), named=False, registered=(), others=()), "pos-api", []
    )
    body = checked.body
    assert body is not None
    published = ReleasePublished(
        "pos-api", "1.0.0", "pos", "d", renderer.blob(text), renderer.blob(template.to_bytes()),
        checks=renderer.blob(body),
    )  # fmt: skip
    pos = NamespaceDeclared("pos", "/c/*")
    renderer.facts(*stores, pos, application("pos-api", "pos"), published, choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    unnamed = renderer.refusals()

    renderer.facts(replace(pos, kubernetes="1.36"))
    await renderer.settle()

    assert unnamed == {(KEY, "never-applies"): ["tx-2"]}
    assert sorted(renderer.refusals()[KEY, "never-applies"]) == ["tx-2", "tx-3"]
    assert "Kubernetes 1.35 has no flowcontrol.apiserver.k8s.io/v1beta3 FlowSchema" in reasons(renderer)[0]


async def test_many_stores_with_unfit_labels_are_few_reasons() -> None:
    renderer = Renderer()
    renderer.facts(*(store(f"tx-{number:03d}", size=f"size {number}") for number in range(100)))
    renderer.facts(namespace("pos"), application("pos-api", "pos"), release(renderer))
    renderer.facts(choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()

    assert len(renderer.refusals()[KEY, "never-applies"]) == 100
    assert len(reasons(renderer)) == 21


async def test_a_release_without_checks_is_judged_by_none() -> None:
    renderer = Renderer()
    renderer.facts(store("tx-1", size="very small"), namespace("pos"), application("pos-api", "pos"))
    renderer.facts(replace(release(renderer), checks=None), choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()

    assert renderer.refusals() == {}
    assert renderer.version_on(KEY, "tx-1") == "1.0.0"


async def test_an_application_whose_checks_the_log_lost_is_set_aside() -> None:
    renderer = Renderer()
    renderer.facts(store("tx-1"), namespace("pos"), application("pos-api", "pos"))
    renderer.facts(replace(release(renderer), checks="0" * 64), choose("pos-api", ("/c/*", "1.0.0")))

    await renderer.step()
    assert renderer.refusals() == {("pos/pos-api", SET_ASIDE): ["tx-1"]}
    assert renderer.version_on("pos/pos-api", "tx-1") is None


@pytest.mark.parametrize("seed", range(4))
async def test_a_history_of_fit_and_unfit_values_replays_to_the_same_commits(seed: int) -> None:
    chance = random.Random(seed)
    renderer = await fleet()
    for step in range(12):
        size = chance.choice(["small", "very small", "-", "large"])
        values: dict[str, Any] = {
            "replicas": chance.choice([1, "2", 3, -1]),
            "cpu": chance.choice(["100m", "2", "much"]),
        }
        renderer.facts(store(f"tx-{chance.randint(1, 9)}", size=size))
        renderer.facts(configured(expression=chance.choice(["/c/*", "/c/tx-2"]), **values))
        renderer.facts(release(renderer, f"1.{step}.1", label=f"step-{step}"))
        renderer.facts(choose("pos-api", ("/c/*", "1.0.0"), ("/c/tx-1", f"1.{step}.1")))
        await renderer.settle()
        if step % 4 == 3:
            renderer.restart()

    _, commits = await replay(renderer.history, renderer.blobs)

    assert commits == renderer.commits
    assert len(commits) > 3
