"""Writes the schemas of Kubernetes' own APIs into `libs/kubernetes/packs`, a file a minor version.

`python -m scripts.kubernetes_schemas [VERSION…]` fetches the Go module k8s.io/kubernetes through the Go proxy (the
client checks its sum) and reduces its published OpenAPI document (api/openapi-spec/swagger.json) to what a check needs:
kinds that can be applied, types, formats, required fields, list keys. Closed sets of values and defaults of list keys
are missing there; they are read from the generated Go file that Kubernetes makes the document from. Equal versions
give equal bytes.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from libs.kubernetes.schemas import PACKS

MODULE = "k8s.io/kubernetes"
VERSIONS = ("1.30.14", "1.31.14", "1.32.13", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2")
KEPT = (
    "type",
    "format",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
)
REFERENCE = "#/definitions/"
FREE = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
}
"""Types that take any JSON value, whatever the document says of them."""
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_FUNCTION = re.compile(r"^func schema_\w*?([a-z0-9]+)_(v\d\w*)_([A-Z]\w*)\(", re.MULTILINE)
_FIELD = re.compile(r'^\t{5}"([^"]+)": \{$')
_ENUM = re.compile(r"^(\t+)Enum: +\[\]interface\{\}\{(.*)\},$")
_DEFAULT = re.compile(r'^\t{7}Default: +("[^"]+"),$')
_OF_THE_FIELD = 7
"""How deep the generated file indents what is said of a field itself; what is said of its items stands deeper."""


def _fetched(version: str, into: Path) -> tuple[Path, str]:
    """Return the folder of the module and its sum."""
    environment = {**os.environ, "GOMODCACHE": str(into), "GOFLAGS": "-mod=mod -modcacherw"}
    command = ["go", "mod", "download", "-json", f"{MODULE}@v{version}"]
    done = subprocess.run(command, env=environment, cwd=into, capture_output=True, check=True)
    told = json.loads(done.stdout)
    return Path(told["Dir"]), told["Sum"]


def appliable(document: dict[str, Any]) -> dict[tuple[str, str, str], bool]:
    """Return the kinds that can be patched, which is how Flux applies: True if they have a namespace."""
    found: dict[tuple[str, str, str], bool] = {}
    for path, operations in document["paths"].items():
        patch = operations.get("patch") if path.endswith("/{name}") else None
        kind = patch and patch.get("x-kubernetes-group-version-kind")
        if kind:
            found[kind["group"], kind["version"], kind["kind"]] = "{namespace}" in path
    return found


def said_in_go(source: str) -> dict[tuple[str, str, str], dict[str, dict[str, Any]]]:
    """Return per (group, version, type) and field what only the generated Go file says."""
    answer: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    starts = [*_FUNCTION.finditer(source)]
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        fields: dict[str, dict[str, Any]] = {}
        field = ""
        for line in source[start.end() : after.start() if after else None].splitlines():
            if named := _FIELD.match(line):
                field = named[1]
            elif told := _ENUM.match(line):
                where = "enum" if len(told[1]) == _OF_THE_FIELD else "items"
                fields.setdefault(field, {})[where] = json.loads(f"[{told[2]}]")
            elif told := _DEFAULT.match(line):
                fields.setdefault(field, {})["default"] = json.loads(told[1])
        if fields:
            answer[start[1], start[2], start[3]] = fields
    return answer


def reduced(node: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without what no check reads."""
    answer = {key: node[key] for key in KEPT if key in node}
    if "$ref" in node:
        answer["$ref"] = node["$ref"].removeprefix(REFERENCE)
    if "properties" in node:
        answer["properties"] = {name: reduced(each) for name, each in sorted(node["properties"].items())}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            answer[key] = reduced(node[key])
    return answer


def _typed(name: str, node: dict[str, Any], go: dict[tuple[str, str, str], Any], top: set[str]) -> dict[str, Any]:
    """Return one definition as it is packed."""
    if name in FREE:
        return {}
    if name == QUANTITY:
        return {"format": "quantity"}
    answer = reduced(node)
    group, version, type_ = name.split(".")[-3:]
    for field, said in go.get((group, version, type_), {}).items():
        about = answer.get("properties", {}).get(field)
        if about is not None:
            items = said.pop("items", None)
            about |= said
            if items and "items" in about:
                about["items"]["enum"] = items
    if name in top and "status" in answer.get("properties", {}):
        answer["properties"]["status"] = {}  # what a controller writes; an applied one is left aside
    return answer


def _references(node: Any) -> Iterator[str]:
    """Yield the definitions that a schema refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)


def _packed(version: str, module: Path, checksum: str) -> dict[str, Any]:
    """Return the pack of one version."""
    document = json.loads((module / "api/openapi-spec/swagger.json").read_bytes())
    go = said_in_go((module / "pkg/generated/openapi/zz_generated.openapi.go").read_text("utf-8"))
    scopes = appliable(document)
    kinds: dict[str, dict[str, list[Any]]] = {}
    for name, node in document["definitions"].items():
        for each in node.get("x-kubernetes-group-version-kind", ()):
            key = (each["group"], each["version"], each["kind"])
            if key in scopes:
                api = "/".join(part for part in key[:2] if part)
                kinds.setdefault(api, {})[each["kind"]] = [name, scopes[key]]
    top = {name for each in kinds.values() for name, _ in each.values()}
    types: dict[str, Any] = {}
    waiting = sorted(top)
    while waiting:
        name = waiting.pop()
        if name not in types:
            types[name] = _typed(name, document["definitions"][name], go, top)
            waiting += _references(types[name])
    return {"version": version, "module": f"{MODULE} v{version} {checksum}", "kinds": kinds, "types": types}


def _write(version: str) -> Path:
    """Write the pack of one version."""
    with tempfile.TemporaryDirectory() as place:
        pack = _packed(version, *_fetched(version, Path(place)))
        shutil.rmtree(place, ignore_errors=True)
    minor = ".".join(version.split(".")[:2])
    body = json.dumps(pack, sort_keys=True, separators=(",", ":")).encode()
    path = PACKS / f"{minor}.json.xz"
    path.write_bytes(lzma.compress(body, lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))
    return path


if __name__ == "__main__":
    for each in sys.argv[1:] or VERSIONS:
        made = _write(each)
        print(f"{made.relative_to(PACKS.parents[2])}: {made.stat().st_size:,} bytes")
