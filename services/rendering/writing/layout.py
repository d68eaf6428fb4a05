"""The files of the GitOps tree that the product writes itself (libs/contracts/tree says where a cluster's is).

The one rule: every text here is a function of names and of the cluster's layout, and a layout never changes: what
would change the bytes of a tree is a new layout, which a branch is moved to. Flux's own rules:
docs/explanation/one-command.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLUX_NAMESPACE = "flux-system"
MANIFEST_DIRECTORY = ".resedge"
INTERVAL = "10m"
RETRY_INTERVAL = "1m"
TIMEOUT = "5m"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a cluster's Flux directory looks: which Kustomizations it has for each namespace.

    `own` is the Kustomization with the product's prefix, `plain` the one with the name of its namespace; an `inert` one
    neither applies nor prunes any more.
    """

    code: int
    name: str
    told: str
    own: bool
    plain: Literal["none", "active", "inert"]


_STEPS = (
    Layout(1, "1", "Kustomization <namespace> applies each namespace and waits for health", own=False, plain="active"),
    Layout(2, "2, step 1", "Kustomization resedge-<namespace> applies the same directory", own=True, plain="active"),
    Layout(3, "2, step 2", "Kustomization <namespace> is suspended and prunes nothing", own=True, plain="inert"),
    Layout(4, "2", "only Kustomization resedge-<namespace> is left", own=True, plain="none"),
)
LAYOUTS = {each.code: each for each in _STEPS}
"""All layouts by code, in the order in which a branch moves through them. Codes are in the log: never change one."""
OLDEST, NEWEST = _STEPS[0], _STEPS[-1]


def for_new_clusters(chosen: int) -> Layout:
    """Return the first layout of a cluster: it has nothing to hand over, so it skips the steps between."""
    return OLDEST if chosen <= OLDEST.code else NEWEST


OWN_PREFIX = "resedge-"
_NAME_CHARACTERS_MAX = 63
_HASH_CHARACTERS = 32


@lru_cache(maxsize=16_384)
def kustomization_name(namespace: str) -> str:
    """Return the name of a namespace's Kustomization: no name of a bootstrap Kustomization that the pages use.

    Flux writes it into a label, so it is at most 63 characters long. A longer one is cut and hashed, with a dot that no
    other one has.
    """
    name = f"{OWN_PREFIX}{namespace}"
    if len(name) <= _NAME_CHARACTERS_MAX:
        return name
    digest = hashlib.sha256(namespace.encode("ascii")).hexdigest()[:_HASH_CHARACTERS]
    room = _NAME_CHARACTERS_MAX - len(OWN_PREFIX) - 1 - _HASH_CHARACTERS
    return f"{OWN_PREFIX}{namespace[:room]}.{digest}"


def flux_files(namespace: str, layout: Layout) -> dict[str, tuple[bytes, bytes]]:
    """Return the files of a namespace in Flux's directory: by name, what stands before and after the cluster's path."""
    files = {}
    if layout.own:
        name = kustomization_name(namespace)
        files[f"kustomization-{namespace}.yaml"] = _kustomization(name, namespace, ["  prune: true", "  wait: false"])
    if layout.plain != "none":
        active = layout.plain == "active"
        switches = ["  prune: true", "  wait: true"] if active else ["  prune: false", "  suspend: true"]
        file = f"before-{namespace}.yaml" if layout.own else f"kustomization-{namespace}.yaml"
        files[file] = _kustomization(namespace, namespace, switches)
    return files


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


def _kustomization(name: str, namespace: str, switches: Sequence[str]) -> tuple[bytes, bytes]:
    before = [
        "apiVersion: kustomize.toolkit.fluxcd.io/v1",
        "kind: Kustomization",
        "metadata:",
        f"  name: {_text(name)}",
        f"  namespace: {FLUX_NAMESPACE}",
        "spec:",
        f"  interval: {INTERVAL}",
        f"  retryInterval: {RETRY_INTERVAL}",
        f"  timeout: {TIMEOUT}",
        *switches,
        "  sourceRef:",
        "    kind: GitRepository",
        f"    name: {FLUX_NAMESPACE}",
    ]
    return _lines(before) + b"  path: ./", f"/{namespace}\n".encode("ascii")


def manifest_file(facts: Mapping[str, Any]) -> bytes:
    """Return `.resedge/manifest.json`."""
    # json's indentation leaves reference cycles that only the garbage collector frees, for every commit.
    return msgspec.json.format(json.dumps(facts, sort_keys=True).encode("ascii"), indent=2) + b"\n"


def _text(value: str) -> str:
    """Return a YAML scalar that is text in every YAML: names that are safe as they are stay bare."""
    return value if value.replace("-", "").isalpha() and value not in _WORDS else json.dumps(value)


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _lines(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8")
