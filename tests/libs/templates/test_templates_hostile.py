"""For every value that anyone can put into a configuration or a label, the objects rendered are those published."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.templates import Input, compile_template, read_manifests
from libs.templates.scalars import quoted

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
VALUES = 10_000
PER_RENDER = 50
PIECES = [
    "\n",
    "\r\n",
    "\r",
    "\n---\n",
    "---",
    "...",
    "\n...\n",
    "# ",
    " #",
    ": ",
    ":",
    "- ",
    "? ",
    "'",
    '"',
    "''",
    '""',
    "\\",
    "\\n",
    "\\u0000",
    "\x00",
    "\x01",
    "\x07",
    "\x1b",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\xa0",
    "\u200b",
    "\u202e",
    "\U0001f600",
    "\U0010ffff",
    "é",
    "&a",
    "*a",
    "!!str ",
    "!!python/object:x",
    "!",
    "{{",
    "}}",
    "{",
    "}",
    "[",
    "]",
    ",",
    "%",
    "%YAML 1.1",
    "@",
    "`",
    "|",
    ">",
    "|\n  x",
    ">-",
    "$",
    "${edge.",
    "${edge.config.v0}",
    "$${edge.",
    "edge-hole-0-0-",
    "<<",
    "<<: *a",
    "=",
    "~",
    "null",
    "no",
    "on",
    "yes",
    "true",
    "0x1F",
    "012",
    "1e3",
    "1_000",
    "2026-01-01",
    "1:30",
    ".inf",
    ".nan",
    "kind: Namespace",
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n",
    "a",
    "Z",
    "0",
    " ",
    "  ",
    "\t",
    "name",
    "x" * 300,
]

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: hostile
  annotations:
    joined: "<${edge.config.v0}>"
data:
"""
SECOND = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hostile}
spec:
  typed: ${edge.config.v1}
  listed: [a, "${edge.config.v2}"]
  deep:
    - - x: "${edge.config.v3}"
        y: z
  block: |
    first
    ${edge.config.v4}
    last
  template:
    spec:
      containers:
        - name: a
          image: "repo/x:${edge.config.v5}"
          args: ["${edge.config.v6}", "--a=${edge.config.v7:text}"]
"""
DATA = "".join(f"  key{n}: ${{edge.config.v{n}}}\n" for n in range(PER_RENDER))
TEMPLATE = compile_template((MANIFEST + DATA + SECOND).encode(), application="a", namespace="pos", version="1")
IDENTITIES = {("v1", "ConfigMap", "pos", "hostile"), ("apps/v1", "Deployment", "pos", "hostile")}


def hostile(source: random.Random) -> str:
    if source.random() < 0.01:
        return source.choice(PIECES) * source.choice([1_000, 30_000])
    return "".join(source.choice(PIECES) for _ in range(source.choice([0, 1, 1, 2, 3, 5, 12])))


def batches() -> list[list[str]]:
    source = random.Random(20261124)
    values = PIECES + [hostile(source) for _ in range(VALUES - len(PIECES))]
    return [values[at : at + PER_RENDER] for at in range(0, VALUES, PER_RENDER)]


def rendered(values: list[str]) -> bytes:
    return TEMPLATE.render({Input("config", f"v{n}"): value for n, value in enumerate(values)})


def check(documents: list[Any], values: list[str]) -> None:
    found = {(d["apiVersion"], d["kind"], d["metadata"]["namespace"], d["metadata"]["name"]) for d in documents}
    assert found == IDENTITIES
    assert len(documents) == len(IDENTITIES)
    by_kind = {document["kind"]: document for document in documents}
    config, spec = by_kind["ConfigMap"], by_kind["Deployment"]["spec"]
    assert config["data"] == {f"key{n}": value for n, value in enumerate(values)}
    assert config["metadata"]["annotations"] == {"joined": f"<{values[0]}>"}
    container = spec["template"]["spec"]["containers"][0]
    assert spec["typed"] == values[1]
    assert spec["listed"] == ["a", values[2]]
    assert spec["deep"] == [[{"x": values[3], "y": "z"}]]
    assert spec["block"] == f"first\n{values[4]}\nlast\n"
    assert container == {"name": "a", "image": f"repo/x:{values[5]}", "args": [values[6], f"--a={values[7]}"]}
    assert spec.keys() == {"typed", "listed", "deep", "block", "template"}


def test_no_value_adds_a_key_a_document_or_an_object() -> None:
    for values in batches():
        text = rendered(values)

        check(list(yaml.load_all(text, yaml.CSafeLoader)), values)


def test_kubectl_s_rules_read_the_same() -> None:
    for values in batches()[::10]:
        check(read_manifests(rendered(values)), values)


def constants(values: list[str]) -> bytes:
    """Return what a release renders that holds `values` as constants: as text, as a key, beside a slot."""
    entries = "".join(f"  - {quoted(value)}\n" for value in values)
    keys = "".join(f"  {quoted(f'{n}{value[:100]}')}: {n}\n" for n, value in enumerate(values))
    manifests = (
        f"apiVersion: x.dev/v1\nkind: Foo\nmetadata: {{name: a}}\nkeys:\n{keys}slot: ${{edge.config.v}}\nlist:\n"
    )
    template = compile_template((manifests + entries).encode(), application="a", namespace="pos", version="1")
    return template.render({Input("config", "v"): values[0]})


def as_read(text: str) -> str:
    """Return what a manifest's text means once its escaped placeholders are read."""
    return text.replace("$${edge.", "${edge.")


def test_constants_stay_what_they_were() -> None:
    for batch in batches()[::4]:
        values = [value for value in batch if "${edge." not in value.replace("$${edge.", "") and value != "<<"]

        (document,) = yaml.load_all(constants(values), yaml.CSafeLoader)

        assert document["list"] == [as_read(value) for value in values]
        assert document["slot"] == values[0]
        assert list(document["keys"].values()) == list(range(len(values)))


@needs_kubectl
def test_kustomize_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [app.yaml]\n")
    for values in batches()[:10]:
        (tmp_path / "app.yaml").write_bytes(rendered(values))

        done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, check=False)

        assert done.returncode == 0, done.stderr.decode()
        check(read_manifests(done.stdout), values)


@needs_kubectl
def test_kustomize_reads_constants_the_same(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [app.yaml]\n")
    for values in batches()[:10]:
        written = constants([value for value in values if "${edge." not in value.replace("$${edge.", "")])
        (tmp_path / "app.yaml").write_bytes(written)

        done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, check=False)

        assert done.returncode == 0, done.stderr.decode()
        assert read_manifests(done.stdout) == read_manifests(written)
