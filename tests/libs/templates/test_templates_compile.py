"""What a release becomes when it is published, and what is refused with its object and place."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from libs.templates import (
    Input,
    PublishRejected,
    Template,
    Unresolved,
    allow_problems,
    compile_template,
    read_manifests,
)

RELEASE = """
# A comment with ${edge.nothing.at.all} is no value.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: pos-api
  labels: {app: pos-api, version: "${edge.release.version}", count: 5, on: yes}
spec:
  replicas: ${edge.config.replicas:-2}
  paused: no
  selector: {matchLabels: {size: "${edge.config.size}"}}
  template:
    metadata:
      annotations: {octal: 012, port: "${edge.config.port}"}
    spec:
      nodeSelector: {lanes: 2}
      initContainers:
        - {name: init, image: "busybox:1.36"}
      containers:
        - name: pos
          image: "registry.example/pos:${edge.config.tag:-1.10}"
          args: [--store, "${edge.store.name}", 5]
          command: [run, "${edge.config.port}"]
          ports: [{containerPort: "${edge.config.port}"}]
          env:
            - {name: PORT, value: "${edge.config.port}"}
            - {name: FLAG, value: on}
            - {name: NOTHING, value: ~}
          livenessProbe: {exec: {command: [check, 1]}}
          resources: ${edge.config.resources}
      tolerations: [{key: a, value: 1}]
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: pos-config, namespace: pos}
    data:
      literal: $${edge.store.name} and $(POD_IP) and ${HOME}
      number: 0x1F
      script.sh: |
        #!/bin/sh
        echo ${edge.store.name}
      plain: |
        one
          two
"""
VALUES: dict[Input, Any] = {
    Input("config", "port"): 8080,
    Input("config", "size"): True,
    Input("config", "resources"): {"limits": {"memory": "1Gi", "cpu": 2}},
    Input("store.name"): "no",
}


def compiled(manifests: str, allow: tuple[str, ...] = ()) -> Template:
    return compile_template(manifests.encode(), application="pos-api", namespace="pos", version="1.10", allow=allow)


def refused(manifests: str, allow: tuple[str, ...] = ()) -> PublishRejected:
    with pytest.raises(PublishRejected) as rejection:
        compiled(manifests, allow)
    return rejection.value


def test_a_release_renders_with_its_types() -> None:
    deployment, config = read_manifests(compiled(RELEASE).render(VALUES))

    assert deployment["metadata"] == {
        "name": "pos-api",
        "namespace": "pos",
        "labels": {"app": "pos-api", "version": "1.10", "count": "5", "on": "yes"},
    }
    spec, pod = deployment["spec"], deployment["spec"]["template"]["spec"]
    assert (spec["replicas"], spec["paused"]) == (2, False)
    assert spec["selector"] == {"matchLabels": {"size": "true"}}
    assert spec["template"]["metadata"]["annotations"] == {"octal": "012", "port": "8080"}
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"lanes": "2"}, [{"key": "a", "value": "1"}])
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/pos:1.10"
    assert container["args"] == ["--store", "no", "5"]
    assert container["command"] == ["run", "8080"]
    assert container["ports"] == [{"containerPort": 8080}]
    assert [entry["value"] for entry in container["env"]] == ["8080", "on", None]
    assert container["livenessProbe"] == {"exec": {"command": ["check", "1"]}}
    assert container["resources"] == {"limits": {"memory": "1Gi", "cpu": 2}}
    assert config["metadata"] == {"name": "pos-config", "namespace": "pos"}
    assert config["data"] == {
        "literal": "${edge.store.name} and $(POD_IP) and ${HOME}",
        "number": "0x1F",
        "script.sh": "#!/bin/sh\necho no\n",
        "plain": "one\n  two\n",
    }


def test_a_template_lists_its_objects_images_and_inputs() -> None:
    template = compiled(RELEASE)

    assert [str(ref) for ref in template.objects] == ["Deployment/pos/pos-api", "ConfigMap/pos/pos-config"]
    assert template.images == ("busybox:1.36", "registry.example/pos:${edge.config.tag:-1.10}")
    assert [found.reference for found in template.inputs] == [
        "config.port",
        "config.replicas",
        "config.resources",
        "config.size",
        "config.tag",
        "store.name",
    ]
    assert len(template.segments) == len(template.slots) + 1


def test_compiling_is_deterministic_and_the_stored_form_renders_the_same() -> None:
    template = compiled(RELEASE)
    again = Template.from_bytes(template.to_bytes())

    assert compiled(RELEASE).to_bytes() == template.to_bytes() == again.to_bytes()
    assert again == template
    assert again.render(VALUES) == template.render(VALUES)


def test_the_stored_form_of_another_format_is_not_guessed_at() -> None:
    stored = compiled(RELEASE).to_bytes().replace(b'"format":1', b'"format":2')

    with pytest.raises(ValueError, match="format 2"):
        Template.from_bytes(stored)


def test_a_missing_value_names_its_input() -> None:
    with pytest.raises(Unresolved, match=r"config\.size"):
        compiled(RELEASE).render({Input("config", "port"): 1})


@pytest.mark.parametrize(
    "text", ["yes", "0x1F", "012", "1e3", "2026-01-01", "~", "=", "1:30", "null", "", " x ", "a: b"]
)
def test_quoted_constants_stay_text(text: str) -> None:
    manifests = f"apiVersion: x.dev/v1\nkind: Foo\nmetadata: {{name: a}}\nspec: {{v: '{text}', 'k{text}': 1}}\n"

    template = compiled(manifests)

    assert read_manifests(template.render({}))[0]["spec"] == {"v": text, f"k{text}": 1}
    assert f'"{text}"'.encode() in template.segments[0]


def test_schemas_of_custom_resources_keep_their_types() -> None:
    manifests = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.x.dev, annotations: {a: 1}}
spec:
  schema:
    properties:
      nodeSelector: {type: object, nullable: true}
      args: [1]
"""
    (crd,) = read_manifests(compiled(manifests, ("CustomResourceDefinition",)).render({}))

    assert crd["metadata"] == {"name": "foos.x.dev", "annotations": {"a": "1"}}
    assert crd["spec"]["schema"]["properties"] == {"nodeSelector": {"type": "object", "nullable": True}, "args": [1]}


def test_a_text_that_starts_with_white_space_survives() -> None:
    for text in (
        "\tfoo\nbar\n",
        " foo\nbar",
        "\n\nfoo\n",
        "foo\n\n\n",
        "foo \nbar\n",
        "\ta\n",
        "a\n\tb\n",
        "\n",
        "a\r\nb\n",
    ):
        manifests = CONFIG + f"data: {{x: {json.dumps(text)}}}\n"

        assert read_manifests(compiled(manifests).render({}))[0]["data"] == {"x": text}


def test_an_annotation_that_is_null_is_empty_as_kubernetes_takes_it() -> None:
    manifests = CONFIG.replace("a}", "a, annotations: {x: , y: ~}, labels: {z: null}}") + "data: {w: }\n"

    (document,) = read_manifests(compiled(manifests).render({}))

    assert document["metadata"]["annotations"] == {"x": "", "y": ""}
    assert (document["metadata"]["labels"], document["data"]) == ({"z": None}, {"w": None})


def test_a_text_that_holds_the_marker_word_is_no_slot() -> None:
    manifests = CONFIG + 'data: {a: "${edge.config.port}", b: "edge-hole-0-0-", c: "\\x65dge-hole-1-0-"}\n'

    (config,) = read_manifests(compiled(manifests).render({Input("config", "port"): '", kind: Pod'}))

    assert config["data"] == {"a": '", kind: Pod', "b": "edge-hole-0-0-", "c": "edge-hole-1-0-"}


CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:a', namespace: x}\n"
FLUX = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n"
HOOK = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}\n"
ZONE_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zones.x.dev}
spec: {group: x.dev, scope: Cluster, names: {kind: Zone, plural: zones}}
"""

REFUSED: dict[str, tuple[str, str, str, str]] = {
    "nothing": ("# nothing\n---\n", "no-objects", "", ""),
    "bad yaml": ("a: [", "syntax", "", ""),
    "text": ("hello\n", "not-an-object", "", ""),
    "a list": ("- a\n", "not-an-object", "", ""),
    "no kind": ("apiVersion: v1\nmetadata: {name: a}\n", "not-an-object", "", "/kind"),
    "no apiVersion": ("kind: Pod\nmetadata: {name: a}\n", "not-an-object", "Pod", "/apiVersion"),
    "no name": ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "not-an-object", "Pod", "/metadata/name"),
    "no metadata": ("apiVersion: v1\nkind: Pod\n", "not-an-object", "Pod", "/metadata/name"),
    "list as name": ("apiVersion: v1\nkind: Pod\nmetadata: {name: [a]}\n", "not-an-object", "Pod", "/metadata/name"),
    "generateName": (
        "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n",
        "generate-name",
        "Pod",
        "/metadata/generateName",
    ),
    "bad kind": ("apiVersion: v1\nkind: a/b\nmetadata: {name: a}\n", "invalid-kind", "a/b", "/kind"),
    "bad apiVersion": ("apiVersion: a/b/c\nkind: Pod\nmetadata: {name: a}\n", "invalid-kind", "Pod", "/apiVersion"),
    "path as name": (CONFIG.replace("name: a", "name: ../../x"), "invalid-name", "ConfigMap/../../x", "/metadata/name"),
    "git as name": (CONFIG.replace("name: a", "name: .git"), "invalid-name", "ConfigMap/.git", "/metadata/name"),
    "upper-case name": (CONFIG.replace("name: a", "name: A"), "invalid-name", "ConfigMap/A", "/metadata/name"),
    "bad namespace": (CONFIG.replace("a}", "a, namespace: ..}"), "invalid-name", "ConfigMap/a", "/metadata/namespace"),
    "twice": (CONFIG + "---\n" + CONFIG.replace("a}", "a, namespace: pos}"), "object-twice", "ConfigMap/pos/a", ""),
    "twice by version": (
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"
            "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}\n"
        ),
        "object-twice",
        "Deployment/pos/a",
        "",
    ),
    "list without items": ("apiVersion: v1\nkind: List\n", "not-an-object", "List", "/items"),
    "list of values": (
        "apiVersion: v1\nkind: ConfigMapList\nmetadata: {name: a}\nitems: ${edge.config.x}\n",
        "not-an-object",
        "ConfigMapList",
        "/items",
    ),
    "namespace": ("apiVersion: v1\nkind: Namespace\nmetadata: {name: pos}\n", "kind-refused", "Namespace/pos", "/kind"),
    "other namespace": (
        CONFIG.replace("a}", "a, namespace: kube-system}"),
        "other-namespace",
        "ConfigMap/kube-system/a",
        "/metadata/namespace",
    ),
    "flux namespace": (
        CONFIG.replace("a}", "a, namespace: flux-system}"),
        "namespace-refused",
        "ConfigMap/flux-system/a",
        "/metadata/namespace",
    ),
    "cluster role": (ROLE, "cluster-scoped", "ClusterRole/system:a", "/kind"),
    "crd": (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: foos.x.dev}\n",
        "cluster-scoped",
        "CustomResourceDefinition/foos.x.dev",
        "/kind",
    ),
    "flux kind": (FLUX, "flux-kind", "GitRepository/pos/a", "/apiVersion"),
    "flux annotation": (
        CONFIG.replace("a}", "a, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}"),
        "flux-annotation",
        "ConfigMap/pos/a",
        "/metadata/annotations/kustomize.toolkit.fluxcd.io~1prune",
    ),
    "flux label": (
        CONFIG.replace("a}", "a, labels: {kustomize.toolkit.fluxcd.io/name: x}}"),
        "flux-annotation",
        "ConfigMap/pos/a",
        "/metadata/labels/kustomize.toolkit.fluxcd.io~1name",
    ),
    "secret data": (SECRET + "data: {p: aGk=}\n", "secret-data", "Secret/pos/a", "/data"),
    "secret text": (SECRET + "stringData: {p: hi}\n", "secret-data", "Secret/pos/a", "/stringData"),
    "hook": (HOOK, "helm-hook", "Job/pos/migrate", "/metadata/annotations/helm.sh~1hook"),
    "kustomization": (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata: {name: a}\n",
        "kind-refused",
        "Kustomization/pos/a",
        "/kind",
    ),
    "local config": (
        CONFIG.replace("a}", 'a, annotations: {config.kubernetes.io/local-config: "true"}}'),
        "local-config",
        "ConfigMap/pos/a",
        "/metadata/annotations/config.kubernetes.io~1local-config",
    ),
    "placeholder as name": (
        CONFIG.replace("a}", '"a-${edge.store.name}"}'),
        "placeholder-in-identity",
        "ConfigMap",
        "/metadata/name",
    ),
    "placeholder as namespace": (
        CONFIG.replace("a}", 'a, namespace: "${edge.namespace.name}"}'),
        "placeholder-in-identity",
        "ConfigMap/a",
        "/metadata/namespace",
    ),
    "placeholder as kind": (
        "apiVersion: v1\nkind: ${edge.config.x}\nmetadata: {name: a}\n",
        "placeholder-in-identity",
        "",
        "/kind",
    ),
    "placeholder as version": (
        "apiVersion: ${edge.config.x}\nkind: Pod\nmetadata: {name: a}\n",
        "placeholder-in-identity",
        "Pod",
        "/apiVersion",
    ),
    "placeholder as key": (
        CONFIG + 'data: {"a/${edge.store.name}": x}\n',
        "placeholder-in-key",
        "ConfigMap/pos/a",
        "/data/a~1${edge.store.name}",
    ),
    "placeholder for all data": (
        CONFIG + "data: ${edge.config.data}\n",
        "placeholder-for-map",
        "ConfigMap/pos/a",
        "/data",
    ),
    "placeholder for annotations": (
        CONFIG.replace("a}", 'a, annotations: "${edge.config.data}"}'),
        "placeholder-for-map",
        "ConfigMap/pos/a",
        "/metadata/annotations",
    ),
    "unknown placeholder": (
        CONFIG + 'data: {x: "${edge.stores.name}"}\n',
        "placeholder-unknown",
        "ConfigMap/pos/a",
        "/data/x",
    ),
    "open placeholder": (
        CONFIG + 'data: {x: "a ${edge.store.name"}\n',
        "placeholder-malformed",
        "ConfigMap/pos/a",
        "/data/x",
    ),
    "map in data": (CONFIG + "data: {x: {y: z}}\n", "wants-text", "ConfigMap/pos/a", "/data/x"),
    "delete character": (CONFIG + 'data: {x: "\\x7f"}\n', "character-refused", "ConfigMap/pos/a", "/data/x"),
    "huge integer": (
        "apiVersion: x.dev/v1\nkind: Foo\nmetadata: {name: a}\nspec: {x: 99999999999999999999}\n",
        "integer-too-large",
        "Foo/pos/a",
        "/spec/x",
    ),
    "encoded placeholder": (
        CONFIG + f"binaryData: {{x: {base64.b64encode(b'p=${edge.config.password}').decode()}}}\n",
        "placeholder-encoded",
        "ConfigMap/pos/a",
        "/binaryData/x",
    ),
    "object of its own cluster-scoped kind": (
        "apiVersion: x.dev/v1\nkind: Zone\nmetadata: {name: a}\n---\n" + ZONE_CRD,
        "cluster-scoped",
        "Zone/a",
        "/kind",
    ),
    "long key": (CONFIG + f"data:\n  ? {'k' * 1_024}\n  : v\n", "key-too-long", "ConfigMap/pos/a", "/data"),
    "many placeholders in one text": (
        CONFIG + f"data: {{x: '{'${edge.store.name}' * 20_001}'}}\n",
        "too-many-placeholders",
        "ConfigMap/pos/a",
        "/data/x",
    ),
    "many objects": (
        "".join(CONFIG.replace("a}", f"a{n}}}") + "---\n" for n in range(2_001)),
        "too-many-objects",
        "",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_object_and_place(name: str) -> None:
    manifests, code, object_, pointer = REFUSED[name]

    rejection = refused(manifests)

    assert (rejection.code, rejection.object, rejection.pointer) == (code, object_, pointer)
    assert rejection.title
    assert rejection.detail


@pytest.mark.parametrize(
    ("manifests", "allow", "rendered"),
    [
        (ROLE, ("ClusterRole",), "ClusterRole/system:a"),
        (ROLE, ("ClusterRole.rbac.authorization.k8s.io",), "ClusterRole/system:a"),
        (FLUX, ("GitRepository",), "GitRepository/pos/a"),
        (SECRET + "data: {p: aGk=}\n", ("secret-data",), "Secret/pos/a"),
        (CONFIG.replace("a}", "a, namespace: kube-system}"), ("namespace/kube-system",), "ConfigMap/kube-system/a"),
        (
            CONFIG.replace("a}", "a, annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}}"),
            ("flux-annotations",),
            "ConfigMap/pos/a",
        ),
        ("apiVersion: x.dev/v1\nkind: Zone\nmetadata: {name: a}\n", ("Zone",), "Zone/a"),
        ("apiVersion: x.dev/v1\nkind: Zone\nmetadata: {name: a}\n", (), "Zone/pos/a"),
        (SECRET, (), "Secret/pos/a"),
        (SECRET + "data: {}\n", (), "Secret/pos/a"),
    ],
)
def test_a_namespace_can_allow_it(manifests: str, allow: tuple[str, ...], rendered: str) -> None:
    template = compiled(manifests, allow)
    (document,) = read_manifests(template.render({}))

    assert [str(ref) for ref in template.objects] == [rendered]
    assert document["metadata"].get("namespace", "") == template.objects[0].namespace


@pytest.mark.parametrize("name", ["namespace", "flux namespace", "hook", "local config", "kustomization"])
def test_some_things_are_never_allowed(name: str) -> None:
    allow = ("Namespace", "namespace/flux-system", "Job", "Kustomization", "flux-annotations")

    assert refused(REFUSED[name][0], allow).code == REFUSED[name][1]


def test_all_that_must_be_allowed_is_said_at_once() -> None:
    rejection = refused("---\n".join([ROLE, FLUX, SECRET + "data: {p: aGk=}\n"]))

    assert "[ClusterRole, GitRepository, secret-data]" in rejection.fix


def test_all_hooks_are_named() -> None:
    rejection = refused(HOOK + "---\n" + HOOK.replace("migrate", "seed"))

    assert "Job/pos/migrate (pre-upgrade), Job/pos/seed (pre-upgrade)" in rejection.detail


def test_an_allow_list_is_checked_when_it_is_declared() -> None:
    assert (
        allow_problems(["ClusterRole", "Foo.x.dev", "secret-data", "flux-annotations", "namespace/kube-system"]) == []
    )
    assert len(allow_problems(["Namespace", "namespace/flux-system", "secrets", "*", ""])) == 5
