"""Folders, kustomizations and charts become plain manifests on the publisher's machine, placeholders untouched."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from libs.templates import HydrationFailed, Input, PublishRejected, compile_template, hydrate, read_manifests

TILL = Path(__file__).parent / "charts" / "till"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata:\n  level: ${edge.config.logLevel:-info}\n"
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def hydrated(path: Path, **options: Any) -> bytes:
    return hydrate(path, namespace="pos", release_name="front", **options)


def names(manifests: bytes) -> list[str]:
    return [document["metadata"]["name"] for document in read_manifests(manifests)]


@pytest.fixture
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find Helm also where `go install` puts it."""
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(Path.home() / "go" / "bin")]))
    if shutil.which("helm") is None:
        pytest.skip("helm is not installed")


def test_a_folder_is_read_in_order_and_recursively(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "b.yaml").write_text("\ufeff" + CONFIG % "b", encoding="utf-8")
    (tmp_path / "a.yml").write_text("%YAML 1.1\n---\n" + CONFIG % "a1" + "---\n" + CONFIG % "a2", encoding="utf-8")
    (tmp_path / "sub" / "c.json").write_text(
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},\n\t"data":{"smile":"\\ud83d\\ude00"}}'
    )
    (tmp_path / ".git" / "x.yaml").write_text("not: mine")
    (tmp_path / "README.md").write_text("not mine")

    manifests = hydrated(tmp_path)

    assert names(manifests) == ["a1", "a2", "b", "c"]
    assert read_manifests(manifests)[-1]["data"] == {"smile": "\U0001f600"}
    assert b"${edge.config.logLevel:-info}" in manifests


def test_a_single_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(CONFIG % "one")

    assert names(hydrated(tmp_path / "one.yaml")) == ["one"]


@needs_kubectl
def test_a_kustomization_is_built(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "overlay").mkdir()
    (tmp_path / "base" / "cm.yaml").write_text(CONFIG % "cm" + '  port: "${edge.config.port}"\n')
    (tmp_path / "base" / "kustomization.yaml").write_text("resources: [cm.yaml]\n")
    (tmp_path / "overlay" / "kustomization.yaml").write_text(
        "resources: [../base]\nnamePrefix: pos-\nlabels: [{pairs: {version: '1.10'}, includeSelectors: false}]\n"
    )

    manifests = hydrated(tmp_path / "overlay")
    template = compile_template(manifests, application="a", namespace="pos", version="1")
    (config,) = read_manifests(template.render({Input("config", "port"): 80}))

    assert config["metadata"] == {"labels": {"version": "1.10"}, "name": "pos-cm", "namespace": "pos"}
    assert config["data"] == {"level": "info", "port": "80"}


@needs_kubectl
def test_what_kustomize_says_is_shown(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [gone.yaml]\n")

    with pytest.raises(HydrationFailed, match=r"kubectl kustomize failed.*gone\.yaml"):
        hydrated(tmp_path)


@pytest.mark.usefixtures("helm")
def test_a_chart_is_rendered_without_its_tests(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("autoscaling: {enabled: false}\nnodeSelector: {lanes: 2}\n")

    template = compile_template(
        hydrated(TILL, values_files=[values]), application="front", namespace="pos", version="1"
    )
    rendered = template.render(
        {Input("cluster.name"): "tx-1", Input("store.name"): "no", Input("config", "port"): 9000}
    )
    documents = {document["kind"]: document for document in read_manifests(rendered)}

    assert [str(ref) for ref in template.objects] == [
        "ServiceAccount/pos/front-till",
        "ConfigMap/pos/front-till",
        "Role/pos/front-till:reader",
        "RoleBinding/pos/front-till:reader",
        "Service/pos/front-till",
        "Deployment/pos/front-till",
        "Ingress/pos/front-till",
    ]
    assert documents["ConfigMap"]["data"] == {
        "logLevel": "info",
        "port": "9000",
        "store": "no",
        "till.conf": "store = no\nlevel = info\n",
    }
    assert documents["Ingress"]["spec"]["rules"][0]["host"] == "till.tx-1.example"
    spec = documents["Deployment"]["spec"]
    pod = spec["template"]
    assert spec["replicas"] == 2
    assert pod["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "8080"
    assert pod["spec"]["nodeSelector"] == {"lanes": "2"}
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "registry.example/till:2.10"
    assert container["args"] == ["--store", "no"]
    assert container["env"][0] == {"name": "PORT", "value": "9000"}
    assert container["ports"] == [{"containerPort": 9000, "name": "http"}]
    assert container["resources"] == {"limits": {"cpu": "500m", "memory": "256Mi"}}


@pytest.mark.usefixtures("helm")
def test_a_packed_chart_is_a_chart(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "till-1.4.2.tgz", "w:gz") as packed:
        packed.add(TILL, "till")

    assert "front-till:reader" in names(hydrated(tmp_path / "till-1.4.2.tgz"))


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize(
    ("values", "code", "object_"),
    [
        ("hooks: {migrate: true}", "helm-hook", "Job/pos/front-till-migrate"),
        ("rbac: {clusterWide: true}", "cluster-scoped", "ClusterRole/front-till:reader"),
    ],
)
def test_what_a_chart_may_not_bring_is_refused_by_name(tmp_path: Path, values: str, code: str, object_: str) -> None:
    (tmp_path / "values.yaml").write_text(values)
    manifests = hydrated(TILL, values_files=[tmp_path / "values.yaml"])

    with pytest.raises(PublishRejected) as refused:
        compile_template(manifests, application="front", namespace="pos", version="1")

    assert (refused.value.code, refused.value.object) == (code, object_)


@pytest.mark.usefixtures("helm")
def test_what_helm_says_is_shown(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("config: {x: ${edge.config.x}}")

    with pytest.raises(HydrationFailed, match=r"helm template failed.*values\.yaml.*quotes around"):
        hydrated(TILL, values_files=[tmp_path / "values.yaml"])


def test_a_tool_that_is_missing_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")

    with pytest.raises(HydrationFailed, match=r"helm is not installed.*go install helm\.sh/helm/v3/cmd/helm@v3"):
        hydrated(TILL)
    with pytest.raises(HydrationFailed, match="kubectl is not installed"):
        hydrated(tmp_path)


def test_what_is_no_release_is_explained(tmp_path: Path) -> None:
    with pytest.raises(HydrationFailed, match="does not exist"):
        hydrated(tmp_path / "gone")
    with pytest.raises(HydrationFailed, match="holds no"):
        hydrated(tmp_path)
    (tmp_path / "a.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(HydrationFailed, match=r"a\.yaml, line 2: the key 'a' stands here twice"):
        hydrated(tmp_path)
    with pytest.raises(HydrationFailed, match="is not a Helm chart"):
        hydrated(tmp_path, values_files=["values.yaml"])
    with pytest.raises(HydrationFailed, match="values file is missing"):
        hydrated(TILL, values_files=[tmp_path / "gone.yaml"])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "kustomization.yaml").write_text("resources: []\n")
    with pytest.raises(HydrationFailed, match="not at the top"):
        hydrated(tmp_path)


def test_files_keep_their_trailing_blanks_and_lines(tmp_path: Path) -> None:
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata:\n"
    first, last = (
        f"{head.replace('NAME', 'a')}  text: |\n    blanks  \n",
        f"{head.replace('NAME', 'b')}  text: |+\n    x\n\n\n",
    )
    (tmp_path / "a.yaml").write_text(first.removesuffix("\n"))
    (tmp_path / "b.yaml").write_text(last)
    (tmp_path / "c.yaml").write_text(head.replace("NAME", "c") + "  text: x\n")

    read = read_manifests(hydrate(tmp_path, namespace="pos", release_name="a"))

    assert [each["data"]["text"] for each in read] == ["blanks  \n", "x\n\n\n", "x"]


def test_what_is_no_object_is_named_by_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    (tmp_path / "z.yaml").write_text("\n\nreplicas: 3\n")

    with pytest.raises(HydrationFailed, match=r"z\.yaml: The object at line 3 has no kind"):
        hydrate(tmp_path, namespace="pos", release_name="a")
