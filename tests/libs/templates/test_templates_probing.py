"""A placeholder that a chart or a kustomization computes with, drops or damages is refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from libs.templates import ChartOptions, HydrationFailed, PublishRejected, compile_template, hydrate

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n"
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find Helm also where `go install` puts it."""
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(Path.home() / "go" / "bin")]))
    if shutil.which("helm") is None:
        pytest.skip("helm is not installed")


def chart(folder: Path, template: str, *, own: str = "", schema: str = "", helpers: str = "") -> Path:
    (folder / "chart" / "templates").mkdir(parents=True)
    (folder / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: c\nversion: 1.0.0\nappVersion: '9'\n")
    (folder / "chart" / "values.yaml").write_text(own)
    (folder / "chart" / "templates" / "a.yaml").write_text(template)
    (folder / "chart" / "templates" / "_helpers.tpl").write_text(helpers)
    if schema:
        (folder / "chart" / "values.schema.json").write_text(schema)
    return folder / "chart"


def published(folder: Path, values: str, chart_: Path, *sets: str) -> tuple[str, list[str]]:
    (folder / "edge.yaml").write_text(values)
    notices: list[str] = []
    options = ChartOptions(values_files=[folder / "edge.yaml"], sets=sets)
    told = hydrate(chart_, namespace="pos", release_name="front", options=options, say=notices.append)
    return told.decode(), notices


EATEN = {
    "if": "  a: {{ if .Values.x }}premium{{ else }}basic{{ end }}\n",
    "if beside the text": "  a: {{ if .Values.x }}premium{{ else }}basic{{ end }}\n  x: {{ .Values.x | quote }}\n",
    "with": "  a: b\n{{- with .Values.x }}\n  c: d\n{{- end }}\n  x: {{ .Values.x | quote }}\n",
    "not": "  a: {{ not .Values.x | quote }}\n  x: {{ .Values.x | quote }}\n",
    "int": "  a: {{ .Values.x | int | quote }}\n",
    "gt": "  a: {{ if gt (int .Values.x) 5 }}many{{ else }}few{{ end }}\n  x: {{ .Values.x | quote }}\n",
    "eq": '  a: {{ if eq .Values.x "NodePort" }}open{{ else }}no{{ end }}\n  x: {{ .Values.x | quote }}\n',
    "eq number": '  a: {{ if eq (toString .Values.x) "7" }}y{{ else }}n{{ end }}\n  x: {{ .Values.x | quote }}\n',
    "ternary": '  a: {{ ternary "p" "q" (eq (toString .Values.x) "true") }}\n  x: {{ .Values.x | quote }}\n',
    "default, empty": '  a: {{ .Values.x | default "fallback" | quote }}\n  x: {{ .Values.x | quote }}\n',
    "len": "  a: {{ len .Values.x | quote }}\n  x: {{ .Values.x | quote }}\n",
    "helper": '  a: {{ include "edition" . }}\n  x: {{ .Values.x | quote }}\n',
    "regexReplaceAll": '  a: {{ regexReplaceAll "[^a-z]" .Values.x "-" | quote }}\n  x: {{ .Values.x | quote }}\n',
    "unused": "  a: b\n",
    **{
        function: f"  a: {{{{ .Values.x | {function} | quote }}}}\n  x: {{{{ .Values.x | quote }}}}\n"
        for function in (
            "upper",
            "title",
            'replace "." "-"',
            'trimPrefix "$"',
            "trunc 5",
            "camelcase",
            "snakecase",
            "b64enc",
            "b32enc",
            "urlquery",
            "sha256sum | trunc 7",
        )
    },
}
HELPERS = '{{- define "edition" -}}{{ if .Values.x }}premium{{ else }}basic{{ end }}{{- end -}}'


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("template", EATEN.values(), ids=EATEN)
def test_a_value_that_a_chart_computes_with_is_refused_with_the_template(tmp_path: Path, template: str) -> None:
    own = chart(tmp_path, HEAD + template, own="x: 1\n", helpers=HELPERS)

    with pytest.raises(HydrationFailed) as refused:
        published(tmp_path, "x: ${edge.config.x:-false}\n", own)

    assert "${edge.config.x:-false} (values key x)" in refused.value.detail
    assert "templates/" in refused.value.detail or "no template reads that key" in refused.value.detail


PASSED = {
    "plain": "  a: {{ .Values.x }}\n",
    "quote": "  a: {{ .Values.x | quote }}\n",
    "inside text": '  a: "http://{{ .Values.x }}:80/"\n',
    "toYaml": "  a: b\n  {{- toYaml .Values.more | nindent 2 }}\n  x: {{ .Values.x | quote }}\n",
    "block": "  a: |\n    x = {{ .Values.x }}\n    y = {{ .Values.x | quote }}\n",
    "checksum": "  x: {{ .Values.x | quote }}\n  checksum/x: {{ .Values.x | sha256sum }}\n",
    "random": "  x: {{ .Values.x | quote }}\n  r: {{ randAlphaNum 12 | quote }}\n",
}


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("template", PASSED.values(), ids=PASSED)
def test_a_value_that_a_chart_only_prints_is_published_as_it_is(tmp_path: Path, template: str) -> None:
    own = chart(tmp_path, HEAD + template, own="x: 1\nmore: {}\n")

    told, notices = published(tmp_path, "x: ${edge.config.x:-false}\nmore: {k: v}\n", own)

    assert "${edge.config.x:-false}" in told
    assert "resedge" not in told
    assert notices == []


@pytest.mark.usefixtures("helm")
def test_a_guard_around_the_value_itself_is_only_told(tmp_path: Path) -> None:
    own = chart(tmp_path, HEAD + "  image: app:{{ .Values.tag | default .Chart.AppVersion }}\n", own="tag: ''\n")

    told, notices = published(tmp_path, "tag: ${edge.config.tag:-1.10}\n", own)

    assert "app:${edge.config.tag:-1.10}" in told
    assert len(notices) == 1
    assert "values key tag" in notices[0]
    with pytest.raises(HydrationFailed, match="values key tag"):
        published(tmp_path, "tag: ${edge.config.tag:-}\n", own)


@pytest.mark.usefixtures("helm")
def test_a_placeholder_of_set_is_looked_for_too(tmp_path: Path) -> None:
    own = chart(tmp_path, HEAD + "  a: {{ if .Values.x }}p{{ end }}\n", own="x: 1\n")

    with pytest.raises(HydrationFailed, match=r"values key x.*templates/a\.yaml, line 5"):
        published(tmp_path, "{}\n", own, "x=${edge.config.x}")


@pytest.mark.usefixtures("helm")
def test_an_unused_default_of_the_chart_is_told_and_a_condition_on_it_refused(tmp_path: Path) -> None:
    own = chart(tmp_path, HEAD + "  a: {{ .Values.z }}\n", own="z: y\nx: ${edge.config.x}\n")
    assert "values key x" in published(tmp_path, "{}\n", own)[1][0]

    (own / "templates" / "a.yaml").write_text(HEAD + "  a: {{ if .Values.x }}p{{ end }}\n")
    with pytest.raises(HydrationFailed, match="values key x"):
        published(tmp_path, "{}\n", own)


SCHEMA = '{"type":"object","properties":{"x":{"type":"integer"},"lit":{"type":"boolean"}}}'


@pytest.mark.usefixtures("helm")
def test_a_schema_is_checked_with_the_default_s_type(tmp_path: Path) -> None:
    own = chart(tmp_path, HEAD + "  a: {{ .Values.x | quote }}\n  b: {{ .Values.lit | quote }}\n", schema=SCHEMA)

    told, notices = published(tmp_path, "x: ${edge.config.x:-2}\nlit: ${edge.config.on}\n", own)
    assert "${edge.config.x:-2}" in told
    assert "--skip-schema-validation" in notices[0]

    with pytest.raises(HydrationFailed, match=r"schema refuses.*want integer.*the default of \$\{edge\.config\.x:-two"):
        published(tmp_path, "x: ${edge.config.x:-two}\nlit: true\n", own)
    with pytest.raises(HydrationFailed, match="want boolean"):
        published(tmp_path, "x: ${edge.config.x:-2}\nlit: 5\n", own)


REPLACING = {
    "replicas:": "replicas: [{name: till, count: 3}]\n",
    "patches:": 'patches:\n- patch: \'[{"op": "replace", "path": "/spec/replicas", "value": 3}]\'\n'
    "  target: {kind: Deployment}\n",
    "images:": "images: [{name: other, newTag: '${edge.config.tag}'}]\n",
}


@needs_kubectl
@pytest.mark.parametrize("eater", REPLACING)
def test_what_kustomize_replaces_is_refused_with_file_and_line(tmp_path: Path, eater: str) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "t.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: till}\n# ${edge.config.comment}\n"
        "spec:\n  replicas: ${edge.config.x}\n  template: {spec: {containers: [{name: a, image: till}]}}\n"
    )
    (tmp_path / "base" / "kustomization.yaml").write_text("resources: [t.yaml]\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [base]\n")
    assert b"${edge.config.x}" in hydrate(tmp_path, namespace="pos", release_name="a")

    (tmp_path / "kustomization.yaml").write_text("resources: [base]\n" + REPLACING[eater])
    with pytest.raises(HydrationFailed, match=r"(t|kustomization)\.yaml, line \d") as refused:
        hydrate(tmp_path, namespace="pos", release_name="a")
    assert eater in refused.value.fix


@pytest.mark.parametrize(
    "text",
    [
        "${EDGE.CONFIG.LEVEL}",
        "${Edge.Config.Level}",
        "${edge-config-level}",
        "a {edge.config.level}",
        "${edg",
        "a ${edge_config_level}",
        "%24%7Bedge.config.level%7D",
    ],
)
def test_the_remains_of_a_placeholder_are_refused_wherever_they_come_from(text: str) -> None:
    with pytest.raises(PublishRejected) as refused:
        compile_template(f"{HEAD}  a: '{text}'\n".encode(), application="a", namespace="pos", version="1")

    assert (refused.value.code, refused.value.object, refused.value.pointer) == (
        "placeholder-damaged",
        "ConfigMap/pos/c",
        "/data/a",
    )


@pytest.mark.parametrize(
    "text", ["${EDGE_HOME}", "${edge}", "${edge:-x}", "${EDGE}/bin", "{{ edge.config }}", "$${EDGE.X}", "edge.config.x"]
)
def test_what_only_looks_similar_is_left_alone(text: str) -> None:
    template = compile_template(f"{HEAD}  a: '{text}'\n".encode(), application="a", namespace="pos", version="1")

    assert text in template.render({}).decode()


@pytest.mark.parametrize("default", ["{}", '{"a":1}', "a{b", '"a}b"'])
def test_a_default_with_a_brace_is_refused_with_the_way_out(default: str) -> None:
    with pytest.raises(PublishRejected, match=r"cannot hold a brace.*--defaults") as refused:
        compile_template(
            f"{HEAD}  a: '${{edge.config.limits:-{default}}}'\n".encode(), application="a", namespace="pos", version="1"
        )
    assert refused.value.code == "placeholder-malformed"
