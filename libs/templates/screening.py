"""Objects that a release may not contain unless its Namespace's `spec.allow` lists them, and those that it never may.

Never: `Namespace` objects and anything in `flux-system` (the tree writes these), Helm hooks (nothing would run them),
objects that only configure kustomize. The fix names all missing entries of `spec.allow` at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.contracts.names import pointer_of
from libs.templates import kinds
from libs.templates.rejections import PublishRejected
from libs.templates.scalars import read_manifest_scalar
from libs.templates.yaml_nodes import Mapping, Scalar, YamlNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libs.templates.identity import FoundObject
    from libs.templates.template import ObjectIdentity

_HOOK = "helm.sh/hook"
_POLICY = "helm.sh/resource-policy"
_INTERNAL = "internal.config.kubernetes.io/"
_LOCAL_CONFIG = "config.kubernetes.io/local-config"


def screen(objects: Sequence[FoundObject], namespace: str, allow: frozenset[str]) -> None:
    """Raise `PublishRejected` for the first object that may not be published into `namespace`."""
    for found in objects:
        _refuse_never(found.mapping, found.ref, found.group)
    _refuse_hooks(objects)
    missing: dict[str, PublishRejected] = {}
    for found in objects:
        kind = found.ref.kind
        for entry, rejection in _wanting(found.mapping, found.ref, found.group, namespace):
            listed = entry in allow or (entry == kind and kinds.kind_allowed(found.group, kind, allow))
            if not listed:
                missing.setdefault(entry, rejection)
    if missing:
        first = next(iter(missing.values()))
        others = "" if len(missing) == 1 else f" (all that this release needs; {len(missing)} entries)"
        first.fix = f"Add to spec.allow of Namespace {namespace}: [{', '.join(missing)}]{others}, or leave it out."
        raise PublishRejected(first.code, first.title, first.detail, first.object, first.pointer, first.fix)


def _refuse_never(mapping: Mapping, ref: ObjectIdentity, group: str) -> None:
    if (group, ref.kind) == ("", "Namespace"):
        raise PublishRejected(
            "kind-refused",
            "A release cannot hold a Namespace",
            f"{ref}: Resilient Edge writes the application's namespace itself.",
            str(ref),
            "/kind",
            "Leave it out; its labels belong into spec.labels of the Namespace document.",
        )
    if ref.namespace == "flux-system":
        raise PublishRejected(
            "namespace-refused",
            "Nothing can be published into flux-system",
            f"{ref}: that namespace is Flux's, and is never allowed.",
            str(ref),
            "/metadata/namespace",
        )
    if group.endswith("kustomize.config.k8s.io"):
        raise PublishRejected(
            "kind-refused",
            f"A {ref.kind} is a file for kustomize, not an object of a cluster",
            f"{ref} only says how to build others.",
            str(ref),
            "/kind",
            "Publish the folder that holds it: resedge builds it with kubectl kustomize.",
        )
    annotations = _child(mapping, "metadata", "annotations")
    if _child(annotations, _LOCAL_CONFIG) is not None:
        raise PublishRejected(
            "local-config",
            "Flux would drop the object",
            f"{ref} has the annotation {_LOCAL_CONFIG}: Flux's kustomize leaves such objects out.",
            str(ref),
            pointer_of(("metadata", "annotations", _LOCAL_CONFIG)),
            "Leave the object out, or the annotation.",
        )
    policy = _child(annotations, _POLICY)
    if isinstance(policy, Scalar) and policy.text.strip().lower() == "keep":
        raise PublishRejected(
            "helm-keep",
            "The object asks to be kept when it is withdrawn",
            f"{ref} has the annotation {_POLICY}: keep, which only Helm obeys: Flux would delete the object.",
            str(ref),
            pointer_of(("metadata", "annotations", _POLICY)),
            "Leave the annotation out, and know that the object goes with the release.",
        )
    steering = _steering(annotations)
    if steering is not None:
        raise PublishRejected(
            "kustomize-annotation",
            "The object has an annotation that steers kustomize",
            f"{ref} has the annotation {steering}: with it, kustomize inside Flux renames, orders or drops objects.",
            str(ref),
            pointer_of(("metadata", "annotations", steering)),
            "Leave the annotation out; tools add it for themselves only.",
        )


def _steering(annotations: YamlNode | None) -> str | None:
    keys = annotations.entries if isinstance(annotations, Mapping) else ()
    return next((key for key in keys if key.startswith(_INTERNAL)), None)


def _refuse_hooks(objects: Sequence[FoundObject]) -> None:
    """Raise `PublishRejected` if there are Helm hooks, with the names of all of them (the first ten)."""
    hooks = [(found.ref, _child(found.mapping, "metadata", "annotations", _HOOK)) for found in objects]
    named = [f"{ref} ({node.text if isinstance(node, Scalar) else 'hook'})" for ref, node in hooks if node is not None]
    if named:
        first = next(ref for ref, node in hooks if node is not None)
        more = f" and {len(named) - 10} more" if len(named) > 10 else ""
        raise PublishRejected(
            "helm-hook",
            "Helm hooks are not run",
            f"Nothing would run these at their moment: {', '.join(named[:10])}{more}.",
            str(first),
            pointer_of(("metadata", "annotations", _HOOK)),
            "Switch them off in the chart's values, or make each a plain object or an init container.",
        )


def _wanting(
    mapping: Mapping, ref: ObjectIdentity, group: str, namespace: str
) -> Iterator[tuple[str, PublishRejected]]:
    """Yield every entry of `spec.allow` that the object needs, with the refusal if it is not there."""
    yield from _wanting_for_identity(ref, group, namespace)
    yield from _wanting_for_content(mapping, ref, group)


def _wanting_for_identity(ref: ObjectIdentity, group: str, namespace: str) -> Iterator[tuple[str, PublishRejected]]:
    if not ref.namespace:
        yield (
            ref.kind,
            PublishRejected(
                "cluster-scoped",
                f"A {ref.kind} is cluster-wide",
                f"{ref} belongs to no namespace, so it could touch other teams' applications.",
                str(ref),
                "/kind",
            ),
        )
    if kinds.is_flux_kind(group):
        yield (
            ref.kind,
            PublishRejected(
                "flux-kind",
                f"A {ref.kind} is Flux's own",
                f"{ref} ({ref.api_version}) would change what Flux itself does in the store.",
                str(ref),
                "/apiVersion",
            ),
        )
    if ref.namespace and ref.namespace != namespace:
        yield (
            f"namespace/{ref.namespace}",
            PublishRejected(
                "other-namespace",
                "The object is in another namespace",
                f"{ref}: the application's namespace is {namespace}.",
                str(ref),
                "/metadata/namespace",
            ),
        )


def _wanting_for_content(mapping: Mapping, ref: ObjectIdentity, group: str) -> Iterator[tuple[str, PublishRejected]]:
    for part in ("annotations", "labels"):
        entries = _child(mapping, "metadata", part)
        for key in entries.entries if isinstance(entries, Mapping) else ():
            if _is_flux_key(key):
                yield (
                    kinds.FLUX_ANNOTATIONS,
                    PublishRejected(
                        "flux-annotation",
                        "The object has an annotation of Flux",
                        f"{ref} has {key}, which changes what Flux does with it.",
                        str(ref),
                        pointer_of(("metadata", part, key)),
                    ),
                )
    if (group, ref.kind) == ("", "Secret"):
        for part in ("data", "stringData"):
            entries = _child(mapping, part)
            if not _empty(entries):
                yield (
                    kinds.SECRET_DATA,
                    PublishRejected(
                        "secret-data",
                        "A Secret with data would be readable in Git",
                        f"{ref} has {part}.",
                        str(ref),
                        f"/{part}",
                    ),
                )


def _is_flux_key(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    return domain == "fluxcd.io" or domain.endswith(".fluxcd.io")


def _empty(node: YamlNode | None) -> bool:
    if node is None:
        return True
    if isinstance(node, Scalar):
        return node.plain and read_manifest_scalar(node) is None
    return not (node.entries if isinstance(node, Mapping) else node.items)


def _child(node: YamlNode | None, *path: str) -> YamlNode | None:
    for key in path:
        node = node.entries.get(key) if isinstance(node, Mapping) else None
    return node
