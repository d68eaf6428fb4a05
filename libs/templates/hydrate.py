"""Turning what a publisher has (a folder, a kustomization, a chart) into plain manifests, on the publisher's machine.

Foreign code never runs on the server: it receives what `kubectl kustomize` or `helm template` printed here.
Placeholders pass through both untouched. Helm's test hooks are left out; other hooks stay in, so that publishing can
refuse them by name, and so do the CRDs of a chart.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from libs.templates.charts import Chart, ChartOptions, pulled
from libs.templates.identity import identify
from libs.templates.kustomizations import KUSTOMIZATION_FILES, refuse_missing
from libs.templates.reader import MANIFEST_LIMITS, read_json
from libs.templates.rejections import PublishRejected
from libs.templates.tools import HydrationFailed, run_tool
from libs.templates.yaml_nodes import YamlRejected, parse_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SUFFIXES = (".yaml", ".yml", ".json")
OCI = "oci://"


def hydrate(
    path: str | Path,
    *,
    namespace: str,
    release_name: str,
    values_files: Sequence[str | Path] = (),
    options: ChartOptions | None = None,
    chart_version: str = "",
    say: Callable[[str], None] = lambda _text: None,
) -> bytes:
    """Return the plain manifests that `path` stands for, as one YAML stream.

    `path` is a file of manifests, a folder of them (`*.yaml`, `*.yml`, `*.json`, sorted, recursively), a folder with a
    kustomization, a Helm chart (folder or `.tgz`) or an `oci://` reference to one. A chart is rendered as
    `release_name` in `namespace`. `say` is told what may not be meant. Raises `HydrationFailed`.
    """
    asked = options or ChartOptions()
    if values_files:
        asked = replace(asked, values_files=tuple(values_files))
    if str(path).startswith(OCI):
        with tempfile.TemporaryDirectory() as folder:
            chart = pulled(str(path), chart_version, Path(folder))
            return Chart(chart, namespace, release_name, asked).rendered(say)
    source = Path(path)
    if not source.exists():
        raise HydrationFailed("Nothing to publish", f"{source} does not exist")
    if (source / "Chart.yaml").is_file() or (source.is_file() and source.name.endswith((".tgz", ".tar.gz"))):
        return Chart(source, namespace, release_name, asked).rendered(say)
    if given := asked.given():
        raise HydrationFailed(
            "Values need a chart", f"{source} is not a Helm chart", f"Leave {' and '.join(given)} out."
        )
    return _plain(source, namespace, enable_helm=asked.enable_helm)


def _plain(source: Path, namespace: str, *, enable_helm: bool) -> bytes:
    if source.is_file():
        return _joined([source], source.parent, namespace)
    if any((source / name).is_file() for name in KUSTOMIZATION_FILES):
        built = run_tool(["kubectl", "kustomize", str(source), *(["--enable-helm"] if enable_helm else [])])
        refuse_missing(source, built.decode(errors="replace"))
        return built
    files = sorted(file for file in source.rglob("*") if _is_manifest(file, source))
    if not files:
        raise HydrationFailed(
            "Nothing to publish",
            f"{source} holds no *.yaml, *.yml or *.json",
            "Name a folder of manifests, a kustomization or a chart.",
        )
    nested = next((file for file in files if file.name in (*KUSTOMIZATION_FILES, "Chart.yaml")), None)
    if nested is not None:
        raise HydrationFailed(
            "The folder holds several things",
            f"{nested} is not at the top of {source}",
            f"Publish one of them: {nested.parent}.",
        )
    return _joined(files, source, namespace)


def _is_manifest(file: Path, top: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(top).parts)
    return file.suffix.lower() in _SUFFIXES and not hidden and file.is_file()


def _joined(files: Sequence[Path], top: Path, namespace: str) -> bytes:
    """Return `files` as one stream; each is read on its own first, so that an error names its file and line."""
    texts: list[str] = []
    for file in files:
        if file.stat().st_size > MANIFEST_LIMITS.bytes_max:
            raise HydrationFailed(
                "A file is too large", f"{file}: at most {MANIFEST_LIMITS.bytes_max:,} bytes are accepted"
            )
        try:
            texts.append(_text(file, namespace))
        except PublishRejected as error:
            raise HydrationFailed(error.title, f"{file.relative_to(top)}: {error.detail}", error.fix) from None
        except YamlRejected as error:
            raise HydrationFailed("A file cannot be read", f"{file.relative_to(top)}, {error}") from None
    return "".join(texts).encode()


def _text(file: Path, namespace: str) -> str:
    data = file.read_bytes()
    if file.suffix.lower() == ".json":  # its surrogate pairs and tabs are not YAML
        return f"---\n{json.dumps(read_json(data), ensure_ascii=False)}\n"
    roots = parse_nodes(data, MANIFEST_LIMITS)
    if roots:  # here a line is one of this file; the server sees all files as one text
        identify(roots, namespace, frozenset())
    text = data.decode("utf-8-sig")
    if text and not text.endswith(("\n", "\r")):
        text += "\n"
    # A directive (%YAML) may only stand at the head of a stream, which this file's text will not be.
    return "---\n" + re.sub(r"\A(?:(?:%|#|[ \t]*$).*\n)+---(?=\s)", "---", text, flags=re.MULTILINE)
