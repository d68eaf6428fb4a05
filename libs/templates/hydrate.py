"""Turning what a publisher has (a folder, a kustomization, a chart) into plain manifests, on the publisher's machine.

Foreign code never runs on the server: it receives what `kubectl kustomize` or `helm template` printed here.
Placeholders pass through both untouched. Helm's test hooks are left out; other hooks stay in, so that publishing can
refuse them by name, and so do the CRDs of a chart.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from libs.templates.identity import identify
from libs.templates.reader import MANIFEST_LIMITS, read_json
from libs.templates.rejections import PublishRejected
from libs.templates.yaml_nodes import YamlRejected, parse_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOL_SECONDS_MAX = 120
# What charts may ask for; a Helm built without release flags (go install) would claim Kubernetes 1.20.
KUBE_VERSION = "1.35.0"
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SUFFIXES = (".yaml", ".yml", ".json")
_INSTALL = {
    "helm": "Install Helm: go install helm.sh/helm/v3/cmd/helm@v3.22.0 (or https://helm.sh/docs/intro/install).",
    "kubectl": "Install kubectl: https://kubernetes.io/docs/tasks/tools/ (it brings kustomize).",
}


class HydrationFailed(ValueError):  # noqa: N818 - a refusal states the fact
    """The path gives no manifests; `detail` shows what the tool said, `fix` what to do."""

    def __init__(self, title: str, detail: str, fix: str = "") -> None:
        self.title = title
        self.detail = detail
        self.fix = fix
        super().__init__(" ".join(part for part in (f"{title}: {detail}", fix) if part))


def hydrate(
    path: str | Path,
    *,
    namespace: str,
    release_name: str,
    values_files: Sequence[str | Path] = (),
    include_crds: bool = True,
    kube_version: str = KUBE_VERSION,
) -> bytes:
    """Return the plain manifests that `path` stands for, as one YAML stream.

    `path` is a file of manifests, a folder of them (`*.yaml`, `*.yml`, `*.json`, sorted, recursively), a folder with a
    kustomization, or a Helm chart (folder or `.tgz`), which is rendered as `release_name` in `namespace` for
    `kube_version`. Raises `HydrationFailed`.
    """
    source = Path(path)
    if not source.exists():
        raise HydrationFailed("Nothing to publish", f"{source} does not exist")
    if (source / "Chart.yaml").is_file() or (source.is_file() and source.name.endswith((".tgz", ".tar.gz"))):
        command = ["helm", "template", release_name, str(source), "--namespace", namespace, "--skip-tests"]
        command += ["--kube-version", kube_version, *(["--include-crds"] if include_crds else [])]
        return _run([*command, *_values(values_files)])
    if values_files:
        raise HydrationFailed("Values need a chart", f"{source} is no Helm chart", "Leave --values out.")
    if source.is_file():
        return _joined([source], source.parent, namespace)
    if any((source / name).is_file() for name in _KUSTOMIZATIONS):
        return _run(["kubectl", "kustomize", str(source)])
    files = sorted(file for file in source.rglob("*") if _is_manifest(file, source))
    if not files:
        raise HydrationFailed(
            "Nothing to publish",
            f"{source} holds no *.yaml, *.yml or *.json",
            "Name a folder of manifests, a kustomization or a chart.",
        )
    nested = next((file for file in files if file.name in (*_KUSTOMIZATIONS, "Chart.yaml")), None)
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
                "A file is too large", f"{file}: at most {MANIFEST_LIMITS.bytes_max:,} bytes are taken"
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
    if file.suffix.lower() == ".json":  # its surrogate pairs and tabs are no YAML
        return f"---\n{json.dumps(read_json(data), ensure_ascii=False)}\n"
    roots = parse_nodes(data, MANIFEST_LIMITS)
    if roots:  # here a line is one of this file; the server sees all files as one text
        identify(roots, namespace, frozenset())
    text = data.decode("utf-8-sig")
    if text and not text.endswith(("\n", "\r")):
        text += "\n"
    # A directive (%YAML) may only stand at the head of a stream, which this file's text will not be.
    return "---\n" + re.sub(r"\A(?:(?:%|#|[ \t]*$).*\n)+---(?=\s)", "---", text, flags=re.MULTILINE)


def _values(files: Sequence[str | Path]) -> list[str]:
    missing = next((file for file in files if not Path(file).is_file()), None)
    if missing is not None:
        raise HydrationFailed("A values file is missing", f"{missing} does not exist")
    return [argument for file in files for argument in ("--values", str(file))]


def _run(command: list[str]) -> bytes:
    """Return what `command` prints; what it complains about becomes the refusal."""
    tool = command[0]
    if shutil.which(tool) is None:
        raise HydrationFailed(f"{tool} is not installed", f"{tool} is needed to render this path", _INSTALL[tool])
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=TOOL_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise HydrationFailed(f"{tool} did not finish", f"stopped after {TOOL_SECONDS_MAX} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        fix = "A placeholder inside { } or [ ] needs quotes around it." if "error converting YAML" in said else ""
        raise HydrationFailed(f"{' '.join(command[:2])} failed", said, fix)
    return done.stdout
