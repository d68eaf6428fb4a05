"""Publishing keeps what a manifest means: base64, the numbers of custom kinds, merges; or refuses it by name."""

from __future__ import annotations

import json

import pytest

from libs.templates import PublishRejected, YamlRejected, compile_template, read_manifests


@pytest.mark.parametrize(("kind", "field"), [("ConfigMap", "binaryData"), ("Secret", "data")])
@pytest.mark.parametrize(
    "text",
    [
        "a",
        "abcde",
        "-----BEGIN DH-----",
        "aGk",
        "a=bc",
        "====",
        "äöü",
        "${edge.config.key}",
        "$${edge.config.key}",
        "123",
    ],
)
def test_what_is_no_base64_is_refused_with_object_and_pointer(kind: str, field: str, text: str) -> None:
    body = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: tls}}\n{field}:\n  a.pem: {json.dumps(text)}\n"

    with pytest.raises(PublishRejected) as refused:
        compile_template(body.encode(), application="a", namespace="pos", version="1", allow=["secret-data"])

    assert refused.value.code in ("not-base64", "placeholder-in-base64")
    assert (refused.value.object, refused.value.pointer) == (f"{kind}/pos/tls", f"/{field}/a.pem")


@pytest.mark.parametrize("text", ["", "aGk=", "aG\nk=\n", "YWJj"])
def test_base64_is_taken_as_go_reads_it(text: str) -> None:
    body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: tls}}\nbinaryData:\n  a: {json.dumps(text)}\n"

    assert compile_template(body.encode(), application="a", namespace="pos", version="1").objects


def test_numbers_of_custom_kinds_stay_numbers_and_paths_of_mounts_become_text() -> None:
    custom = {"apiVersion": "x.dev/v1", "kind": "Thing", "metadata": {"name": "t", "labels": {"n": 1}}}
    custom["spec"] = {"args": [1], "env": [{"name": "A", "value": 2}], "nodeSelector": {"a": 3}}
    volume = {"name": "v", "flexVolume": {"driver": "d/d", "options": {"o": 5}}}
    container = {"name": "c", "image": "c", "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": 4}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    pod["spec"] = {"containers": [container], "volumes": [volume]}
    body = "---\n".join(json.dumps(each) + "\n" for each in (custom, pod))

    template = compile_template(body.encode(), application="a", namespace="pos", version="1")
    read = read_manifests(b"".join(template.segments))

    assert read[0]["spec"] == custom["spec"]
    assert read[0]["metadata"]["labels"] == {"n": "1"}
    assert read[1]["spec"]["containers"][0]["volumeMounts"][0]["subPath"] == "4"
    assert read[1]["spec"]["volumes"][0]["flexVolume"]["options"] == {"o": "5"}


def test_the_tag_of_a_merge_is_read_on_its_key_only() -> None:
    assert read_manifests("a: &a {x: 1}\nb: {!!merge <<: *a, y: 2}\n") == [{"a": {"x": 1}, "b": {"y": 2, "x": 1}}]
    for wrong in ("a: !!merge <<", "!!merge x: 1", "[!!merge <<]"):
        with pytest.raises(YamlRejected):
            read_manifests(wrong)


def test_an_object_that_helm_would_keep_is_refused_by_name() -> None:
    annotations = "{helm.sh/resource-policy: keep}"
    body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kept, annotations: {annotations}}}\n"

    with pytest.raises(PublishRejected) as refused:
        compile_template(body.encode(), application="a", namespace="pos", version="1")

    assert (refused.value.code, refused.value.object) == ("helm-keep", "ConfigMap/pos/kept")
