"""The demo's documents can be applied in their order, and its releases are what Kubernetes builds."""

import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cli.demo.catalog import (
    APPLICATIONS,
    CONFIGURATIONS,
    NAMESPACES,
    NEXT_RELEASE,
    demo_documents,
    live_document,
    manifests,
    next_release_body,
    release_body,
)
from cli.demo.fleet import DemoFleet, hours_text, make_fleet
from cli.demo.hierarchies import LIVE, PILOT, REGIONS, SMART_GRILLS, geography, quoted_word
from libs.selection import Selection, parse
from libs.templates import Layer, compile_template, conflicts
from services.catalog.documents import parse_application, parse_configuration, parse_namespace
from services.grouping.documents import parse_group
from services.inventory.documents import parse_store
from services.inventory.documents.hours import hours_from_text

SEGMENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
CLUSTER_SCOPED = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "CustomResourceDefinition"}
Document = dict[str, Any]


def of_kind(kind: str, declared: list[Document]) -> list[Document]:
    return [document for document in declared if document["kind"] == kind]


def group_paths(declared: list[Document]) -> list[str]:
    return [group["metadata"]["path"] for group in of_kind("Group", declared)]


def test_there_are_hundreds_of_groups_in_jagged_hierarchies(declared: list[Document]) -> None:
    paths = group_paths(declared)

    assert 400 <= len(paths) == len(set(paths)) <= 700
    assert all(SEGMENT.fullmatch(part) for path in paths for part in path[1:].split("/"))
    assert {path.split("/")[1] for path in paths} == (
        {"geo", "franchise", "marketing", "planogram", "devices", "delivery", "operations"}
    )
    assert {"/geo/us/central/tx/austin", "/geo/us/northeast/new-england/vt", "/geo/us/west/ak"} <= set(paths)
    assert not any(path.startswith("/geo/us/northeast/new-england/vt/") for path in paths)
    assert len({path.count("/") for path in paths if path.startswith("/geo/")}) >= 4


def test_every_state_belongs_to_one_region() -> None:
    states = [state for state, _ in geography()]

    assert len(states) == len(set(states)) == 51
    assert set(REGIONS) == {"northeast", "southeast", "midwest", "central", "west"}


def test_a_whole_fleet_leaves_no_group_empty(declared: list[Document]) -> None:
    assert not [group for group in of_kind("Group", declared) if group["spec"].get("allow_empty")]


@pytest.mark.parametrize("stores", [1, 3, 40, 60_000])
def test_every_document_refers_only_to_earlier_ones(stores: int, declared: list[Document]) -> None:
    known: set[str] = set()
    for document in declared if stores == 60_000 else demo_documents(make_fleet(stores)):
        expression = str(document["spec"].get("expression") or "")
        for path in re.findall(r"/g(/[a-z0-9/-]+)", expression):
            assert path in known, (document["metadata"], path)
        if document["kind"] == "Group":
            parts = document["metadata"]["path"].split("/")
            known |= {"/".join(parts[:depth]) for depth in range(2, len(parts) + 1)}
        if document["kind"] == "Application":
            assert document["spec"]["namespace"] in known
        if document["kind"] == "Configuration":
            assert set(document["spec"].get("applications", ())) <= known
            assert document["spec"].get("namespace") in known | {None}
        if document["kind"] in ("Namespace", "Application"):
            known.add(document["metadata"]["name"])


def test_one_store_is_live_until_the_fleet_opens(declared: list[Document], fleet: DemoFleet) -> None:
    first = next(group for group in of_kind("Group", declared) if group["metadata"]["path"] == LIVE)

    assert first["spec"] == {"stores": [fleet.stores[0].name]}
    assert live_document()["spec"] == {"expression": "/c/*"}
    assert all(f"/g{LIVE}" in namespace["spec"]["expression"] for namespace in of_kind("Namespace", declared))


def test_a_release_moves_on_a_hundredth_of_the_stores(declared: list[Document], fleet: DemoFleet) -> None:
    pilot = next(group for group in of_kind("Group", declared) if group["metadata"]["path"] == PILOT)

    assert len(set(pilot["spec"]["stores"])) == 600
    assert set(pilot["spec"]["stores"]) <= {store.name for store in fleet.stores}


def test_a_store_with_a_kitchen_keeps_what_was_imported(declared: list[Document], fleet: DemoFleet) -> None:
    imported = {store.name: store for store in fleet.stores}
    stores = of_kind("Store", declared)

    assert len(stores) == len(fleet.kitchens)
    for document in stores:
        store = imported[document["metadata"]["name"]]
        assert document["metadata"]["labels"].keys() == store.labels.keys()
        assert [cluster["name"] for cluster in document["spec"]["clusters"]] == [store.name, f"{store.name}-kitchen"]


def test_twenty_five_applications_in_five_namespaces_have_a_release_each() -> None:
    shipped = {entry.name for entry in resources.files("cli.demo").joinpath("manifests").iterdir()}

    assert shipped == {workload.name for workload in APPLICATIONS}
    assert len(APPLICATIONS) == 25
    assert {w.namespace for w in APPLICATIONS} == {str(n["name"]) for n in NAMESPACES}


def test_every_service_takes_its_documents(declared: list[Document]) -> None:
    takes = {
        "Store": parse_store,
        "Group": parse_group,
        "Namespace": parse_namespace,
        "Application": parse_application,
        "Configuration": parse_configuration,
    }
    for document in (*declared, live_document()):
        metadata = document["metadata"]
        name = metadata.get("name") or metadata["path"]
        assert takes[document["kind"]](document, name)[0] == name


def test_hours_are_written_as_an_import_reads_them(fleet: DemoFleet) -> None:
    for hours in {store.hours for store in fleet.stores}:
        read = hours_from_text(hours_text(hours)).regular
        assert [(tuple(e.days), e.open, e.close) for e in read] == [(e.days, e.opens, e.closes) for e in hours]


def selection_of(fleet: DemoFleet, declared: list[Document]) -> Selection:
    """Declare the fleet as the server would, and check each expression where it stands."""
    selection = Selection()
    for store in fleet.stores:
        selection.put_cluster(store.name, store.name, store.labels)
    for document in declared:
        spec, metadata = document["spec"], document["metadata"]
        expression = parse(spec["expression"]) if "expression" in spec else None
        if expression is not None:
            selection.check(expression)
            assert selection.select(expression) or spec.get("allow_empty"), metadata
        match document["kind"]:
            case "Store":
                for cluster in spec["clusters"]:
                    selection.put_cluster(cluster["name"], metadata["name"], metadata["labels"] | cluster["labels"])
            case "Group":
                selection.put_group(metadata["path"], (), spec.get("stores", ()), expression)
            case "Namespace":
                assert expression is not None
                selection.put_namespace(metadata["name"], expression)
    return selection


@pytest.mark.parametrize("stores", [1, 2, 13, 400])
def test_every_expression_is_accepted_whatever_the_size_of_the_fleet(stores: int) -> None:
    fleet = make_fleet(stores)
    selection_of(fleet, demo_documents(fleet))


def test_the_whole_fleet_makes_about_a_million_and_a_half_placements(
    fleet: DemoFleet, declared: list[Document]
) -> None:
    selection = selection_of(fleet, declared)
    assert sum(len(selection.namespace_members(str(namespace["name"]))) for namespace in NAMESPACES) <= 10

    selection.put_group(LIVE, (), (), parse("/c/*"))

    placed = {}
    for workload in APPLICATIONS:
        everywhere = selection.namespace_members(workload.namespace)
        narrowed = selection.select(parse(workload.expression)) if workload.expression else everywhere
        placed[workload.name] = len(everywhere & narrowed)
    assert 1_300_000 < sum(placed.values()) <= 1_500_000
    assert placed["menu-boards"] == 60_000
    assert placed["store-metrics"] == 60_240
    assert len(selection.members(PILOT) & selection.namespace_members("menu")) == 600
    assert len(selection.select(parse(SMART_GRILLS))) > 100
    assert_no_conflicts(selection)


def assert_no_conflicts(selection: Selection) -> None:
    """Hold every pair of layers that meet on some cluster and some application against each other."""
    for workload in APPLICATIONS:
        layers = []
        for name, spec in CONFIGURATIONS:
            scope = 2 if "applications" in spec else 1 if "namespace" in spec else 0
            if workload.name in spec.get("applications", [workload.name]) and (
                spec.get("namespace", workload.namespace) == workload.namespace
            ):
                where = selection.select(parse(spec["expression"]))
                layers.append((where, Layer(name, (scope, spec.get("priority", 0)), spec["values"])))
        for index, (where, layer) in enumerate(layers):
            for other, another in layers[:index]:
                assert not (where & other) or not conflicts([layer, another]), (layer.name, another.name)


@pytest.mark.parametrize("application", [workload.name for workload in APPLICATIONS])
def test_every_release_compiles_and_most_are_unique_to_their_store(application: str) -> None:
    workload = next(workload for workload in APPLICATIONS if workload.name == application)

    template = compile_template(
        release_body(application)["manifests"].encode(),
        application=application,
        namespace=workload.namespace,
        version=workload.version,
    )

    assert template.slots
    own = any(given.source in ("cluster.name", "store.name") for given in template.inputs)
    assert own != (application in SHARED)


SHARED = {"label-printing", "prep-forecast", "waste-log", "shift-planning", "allergen-guide", "cash-office"}


@pytest.mark.parametrize("application", [workload.name for workload in APPLICATIONS])
def test_every_release_is_a_small_set_of_namespaced_objects(application: str) -> None:
    text = manifests(application)
    objects = [document for document in yaml.safe_load_all(text) if document]

    assert 600 < len(text) < 2_048
    assert len({(o["apiVersion"], o["kind"], o["metadata"]["name"]) for o in objects}) == len(objects)
    for found in objects:
        assert found["kind"] not in CLUSTER_SCOPED | {"Secret"}
        assert "namespace" not in found["metadata"]
        assert SEGMENT.fullmatch(found["metadata"]["name"])


@pytest.mark.parametrize("application", [workload.name for workload in APPLICATIONS])
def test_pods_are_selected_by_the_labels_that_they_carry(application: str) -> None:
    objects = [document for document in yaml.safe_load_all(manifests(application)) if document]
    pods = [pod for pod in map(pod_of, objects) if pod]
    labels = [pod["metadata"]["labels"]["app"] for pod in pods]
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}

    assert set(labels) == {application}
    for found in objects:
        selector = found["spec"].get("selector") if "spec" in found else None
        if selector:
            assert (selector.get("matchLabels") or selector) == {"app": application}
    for pod in pods:
        wanted = {("ServiceAccount", pod["spec"].get("serviceAccountName"))}
        for volume in pod["spec"].get("volumes", ()):
            wanted |= {("ConfigMap", volume.get("configMap", {}).get("name"))}
            wanted |= {("PersistentVolumeClaim", volume.get("persistentVolumeClaim", {}).get("claimName"))}
        for container in pod["spec"]["containers"]:
            wanted |= {("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", ())}
        assert {(kind, name) for kind, name in wanted if name} <= names


def pod_of(found: Document) -> Document | None:
    spec = found.get("spec", {})
    template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template if isinstance(template, dict) else None


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubernetes_builds_every_release(tmp_path: Path) -> None:
    for workload in APPLICATIONS:
        folder = tmp_path / workload.name
        folder.mkdir()
        (folder / "release.yaml").write_text(manifests(workload.name), encoding="utf-8")
        (folder / "kustomization.yaml").write_text("resources: [release.yaml]\n", encoding="utf-8")
    (tmp_path / "kustomization.yaml").write_text(
        json.dumps({"resources": [workload.name for workload in APPLICATIONS]}), encoding="utf-8"
    )

    built = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    assert len(list(yaml.safe_load_all(built.stdout))) > 50


@pytest.mark.parametrize("application", [workload.name for workload in APPLICATIONS])
def test_defaults_fit_their_schema_and_every_layer_does(application: str) -> None:
    body = release_body(application)
    if body["schema"] is None:
        assert body["defaults"] is None
        return
    schema = jsonschema_rs.validator_for(body["schema"])

    schema.validate(body["defaults"] or {})
    workload = next(workload for workload in APPLICATIONS if workload.name == application)
    for _, spec in CONFIGURATIONS:
        if application in spec.get("applications", [application]) and spec.get("namespace") in (
            None,
            workload.namespace,
        ):
            schema.validate(spec["values"])


def test_the_next_release_differs_by_its_image_only() -> None:
    before, after = manifests(NEXT_RELEASE.name), next_release_body()["manifests"]
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]

    assert len(changed) == 1
    assert changed[0][1].strip() == f"image: registry.acme.example/menu/menu-boards:{NEXT_RELEASE.version}"


def test_values_that_are_words_or_numbers_of_the_language_are_quoted() -> None:
    assert [quoted_word(value) for value in ("tx", "austin", "not", "2026-l", "new-york")] == (
        ["tx", "austin", '"not"', '"2026-l"', "new-york"]
    )
