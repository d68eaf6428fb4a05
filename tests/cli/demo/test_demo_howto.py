"""What the how-to pages show is true: their files are written out and tried with the tools that they name."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.kubernetes import check_kubernetes_version, minors, registered_kind
from libs.selection import parse
from libs.templates import PublishRejected, ValuesSchema, compile_template, hydrate
from services.catalog.documents import parse_application, parse_configuration, parse_namespace

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
CHART_PAGE = HOW_TO / "publish-your-own-chart.md"
KIND_PAGE = HOW_TO / "store-side-with-kind.md"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
CONFIGMAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def files_of(page: Path, folder: Path) -> Path:
    """Write every titled block of a page to the file that its title names."""
    for name, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return folder


def compiled(manifests: bytes) -> Any:
    return compile_template(manifests, application="window-signs", namespace="signage", version="1.0.0")


def test_the_documents_of_the_chart_page_are_ones_that_the_catalog_takes(tmp_path: Path) -> None:
    folder = files_of(CHART_PAGE, tmp_path)
    namespace, application = yaml.safe_load_all((folder / "team.yaml").read_text(encoding="utf-8"))
    configuration = yaml.safe_load((folder / "night.yaml").read_text(encoding="utf-8"))

    assert parse_namespace(namespace, "signage")[0] == "signage"
    assert parse_application(application, "window-signs")[0] == "window-signs"
    assert parse_configuration(configuration, "signs-downtown")[0] == "signs-downtown"
    for document in (namespace, application, configuration):
        parse(document["spec"]["expression"])


def test_the_namespace_of_the_chart_page_says_its_version_and_its_custom_kinds(tmp_path: Path) -> None:
    document = yaml.safe_load((files_of(CHART_PAGE, tmp_path) / "versions.yaml").read_text(encoding="utf-8"))

    assert parse_namespace(document, None)[0] == "signage"
    assert check_kubernetes_version(document["spec"]["kubernetes"]) in minors()
    assert list(map(registered_kind, document["spec"]["crds"])) == [("cert-manager.io/v1", "Certificate")]


def test_the_defaults_and_the_layer_of_the_chart_page_fit_its_schema(tmp_path: Path) -> None:
    folder = files_of(CHART_PAGE, tmp_path)
    schema = ValuesSchema(json.loads((folder / "schema.json").read_text(encoding="utf-8")))

    assert schema.problems(yaml.safe_load((folder / "defaults.yaml").read_text(encoding="utf-8"))) == []
    assert schema.problems(yaml.safe_load((folder / "night.yaml").read_text(encoding="utf-8"))["spec"]["values"]) == []
    assert schema.problems({"brightness": 101})


@pytest.mark.skipif(shutil.which("helm") is None, reason="needs helm")
def test_the_chart_of_the_page_is_rendered_with_its_placeholders(tmp_path: Path) -> None:
    folder = files_of(CHART_PAGE, tmp_path)

    manifests = hydrate(
        folder / "chart", namespace="signage", release_name="window-signs", values_files=[folder / "edge-values.yaml"]
    )

    inputs = {(given.source, given.key) for given in compiled(manifests).inputs}
    assert inputs == {("store.name", ""), ("store.timezone", ""), ("config", "brightness"), ("config", "replicas")}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_the_kustomization_of_the_page_is_rendered_with_its_placeholders(tmp_path: Path) -> None:
    folder = files_of(CHART_PAGE, tmp_path)

    manifests = hydrate(folder / "kustomize", namespace="signage", release_name="window-signs")

    assert b"team.example/contact: signage" in manifests
    assert {(given.source, given.key) for given in compiled(manifests).inputs} == (
        {("store.name", ""), ("config", "brightness")}
    )


@pytest.mark.parametrize(
    ("code", "manifests"),
    [
        ("cluster-scoped", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n"),
        ("other-namespace", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}\n"),
        ("kind-refused", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"),
        ("namespace-refused", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: flux-system}\n"),
        ("secret-data", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: b}\n"),
        ("helm-hook", CONFIGMAP.replace("{name: a}", "{name: a, annotations: {helm.sh/hook: pre-install}}")),
        ("flux-kind", "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n"),
        (
            "flux-annotation",
            CONFIGMAP.replace("{name: a}", "{name: a, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}"),
        ),
        (
            "local-config",
            CONFIGMAP.replace("{name: a}", '{name: a, annotations: {config.kubernetes.io/local-config: "true"}}'),
        ),
        (
            "kustomize-annotation",
            CONFIGMAP.replace("{name: a}", "{name: a, annotations: {internal.config.kubernetes.io/index: '0'}}"),
        ),
        ("generate-name", "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\n"),
        ("object-twice", f"{CONFIGMAP}---\n{CONFIGMAP}"),
        ("placeholder-in-key", CONFIGMAP + "data: {'${edge.store.name}': a}\n"),
        ("placeholder-in-identity", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '${edge.store.name}'}\n"),
        ("placeholder-unknown", CONFIGMAP + "data: {a: '${edge.store.colour}'}\n"),
        ("placeholder-malformed", CONFIGMAP + "data: {a: '${edge.store.name'}\n"),
    ],
)
def test_what_the_page_says_is_refused_is_refused_with_that_code(code: str, manifests: str) -> None:
    with pytest.raises(PublishRejected) as caught:
        compiled(manifests.encode())

    assert caught.value.code == code
    assert f"`{code}`" in CHART_PAGE.read_text(encoding="utf-8")


def test_the_store_pulls_its_branch_and_its_own_directory(tmp_path: Path) -> None:
    folder = files_of(KIND_PAGE, tmp_path)
    source, kustomization = yaml.safe_load_all((folder / "store.yaml").read_text(encoding="utf-8"))

    assert source["metadata"] == {"name": "flux-system", "namespace": "flux-system"}
    assert source["spec"]["ref"] == {"branch": "main"}
    assert kustomization["spec"]["sourceRef"] == {"kind": source["kind"], "name": source["metadata"]["name"]}
    assert kustomization["spec"]["path"] == "./STORE_PATH/flux-system"
    assert kustomization["spec"]["prune"] is True


@pytest.mark.skipif(shutil.which("lighttpd") is None, reason="needs lighttpd")
def test_the_web_server_of_the_page_has_a_configuration_that_it_reads(tmp_path: Path) -> None:
    folder = files_of(KIND_PAGE, tmp_path)

    checked = subprocess.run(
        ["lighttpd", "-tt", "-f", str(folder / "lighttpd.conf")],
        env=os.environ | {"GIT_ADDRESS": "127.0.0.1", "RESEDGE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
