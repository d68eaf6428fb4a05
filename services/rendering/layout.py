"""The files of the GitOps tree that the product writes itself (libs/contracts/tree says where a cluster's is).

The one rule: every text here is a function of names alone. Flux's own rules: docs/explanation/one-command.md.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLUX_NAMESPACE = "flux-system"
MANIFEST_DIRECTORY = ".resedge"
INTERVAL = "10m"
RETRY_INTERVAL = "1m"
TIMEOUT = "5m"


def namespace_file(name: str, labels: Mapping[str, str]) -> bytes:
    """Return `namespace.yaml`. Flux never prunes it: that would take the store's volumes with it."""
    lines = [
        "apiVersion: v1",
        "kind: Namespace",
        "metadata:",
        f"  name: {_text(name)}",
        "  annotations:",
        "    kustomize.toolkit.fluxcd.io/prune: disabled",
    ]
    if labels:
        lines.append("  labels:")
        lines += [f"    {_text(key)}: {_text(value)}" for key, value in sorted(labels.items())]
    return _lines(lines)


@lru_cache(maxsize=65_536)
def kustomization_file(resources: Sequence[str]) -> bytes:
    """Return a `kustomization.yaml` that names exactly `resources`."""
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"]
    lines += ["resources:", *(f"- {each}" for each in resources)] if resources else ["resources: []"]
    return _lines(lines)


def flux_parts(namespace: str) -> tuple[bytes, bytes]:
    """Return what stands before and after a cluster's path in `kustomization-<namespace>.yaml`."""
    before = [
        "apiVersion: kustomize.toolkit.fluxcd.io/v1",
        "kind: Kustomization",
        "metadata:",
        f"  name: {_text(namespace)}",
        f"  namespace: {FLUX_NAMESPACE}",
        "spec:",
        f"  interval: {INTERVAL}",
        f"  retryInterval: {RETRY_INTERVAL}",
        f"  timeout: {TIMEOUT}",
        "  prune: true",
        "  wait: true",
        "  sourceRef:",
        "    kind: GitRepository",
        f"    name: {FLUX_NAMESPACE}",
    ]
    return _lines(before) + b"  path: ./", f"/{namespace}\n".encode("ascii")


def manifest_file(facts: Mapping[str, Any]) -> bytes:
    """Return `.resedge/manifest.json`."""
    return json.dumps(facts, indent=2, sort_keys=True).encode("utf-8") + b"\n"


def _text(value: str) -> str:
    """Return a YAML scalar that is text in every YAML: names that are safe as they are stay bare."""
    return value if value.replace("-", "").isalpha() and value not in _WORDS else json.dumps(value)


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _lines(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8")
