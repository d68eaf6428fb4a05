"""Properties of Kubernetes' kinds: scope, valid names, and fields that must be text.

Kinds that are not listed here count as namespaced; that includes every custom kind except well-known cluster-scoped
ones. Sources: the `genclient:nonNamespaced` marks of k8s.io/api 0.37; apimachinery `validation` (names) and `content`
(path segments).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLUSTER_SCOPED: Mapping[str, frozenset[str]] = {
    group: frozenset(kinds.split())
    for group, kinds in {
        "": "Namespace Node PersistentVolume ComponentStatus",
        "admissionregistration.k8s.io": (
            "MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy "
            "ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding"
        ),
        "apiextensions.k8s.io": "CustomResourceDefinition",
        "apiregistration.k8s.io": "APIService",
        "authentication.k8s.io": "SelfSubjectReview TokenReview",
        "authorization.k8s.io": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
        "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle",
        "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
        "internal.apiserver.k8s.io": "StorageVersion",
        "networking.k8s.io": "IngressClass IPAddress ServiceCIDR",
        "node.k8s.io": "RuntimeClass",
        "policy": "PodSecurityPolicy",
        "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding",
        "resource.k8s.io": "DeviceClass DeviceTaintRule ResourcePoolStatusRequest ResourceSlice",
        "scheduling.k8s.io": "PriorityClass",
        "storage.k8s.io": "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass",
        "storagemigration.k8s.io": "StorageVersionMigration",
        # Well-known custom kinds.
        "snapshot.storage.k8s.io": "VolumeSnapshotClass VolumeSnapshotContent",
        "groupsnapshot.storage.k8s.io": "VolumeGroupSnapshotClass VolumeGroupSnapshotContent",
        "gateway.networking.k8s.io": "GatewayClass",
        "policy.networking.k8s.io": "AdminNetworkPolicy BaselineAdminNetworkPolicy ClusterNetworkPolicy",
        "cert-manager.io": "ClusterIssuer",
        "trust.cert-manager.io": "Bundle",
        "external-secrets.io": "ClusterSecretStore ClusterExternalSecret ClusterPushSecret",
        "kyverno.io": "ClusterPolicy ClusterCleanupPolicy",
        "policies.kyverno.io": "ValidatingPolicy MutatingPolicy GeneratingPolicy ImageValidatingPolicy DeletingPolicy",
        "templates.gatekeeper.sh": "ConstraintTemplate",
        "crd.projectcalico.org": "GlobalNetworkPolicy GlobalNetworkSet IPPool FelixConfiguration BGPConfiguration",
        "projectcalico.org": "GlobalNetworkPolicy GlobalNetworkSet IPPool FelixConfiguration BGPConfiguration",
        "operator.tigera.io": "Installation APIServer",
        "cilium.io": "CiliumClusterwideNetworkPolicy CiliumNode CiliumLoadBalancerIPPool CiliumExternalWorkload",
        "security.openshift.io": "SecurityContextConstraints",
        "karpenter.sh": "NodePool NodeClaim",
        "nvidia.com": "ClusterPolicy NVIDIADriver",
        "helm.openshift.io": "HelmChartRepository",
    }.items()
}
_WHOLE_GROUPS_CLUSTER_SCOPED = ("constraints.gatekeeper.sh",)

_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_LABEL = re.compile(_DNS_LABEL)
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_API_VERSION = re.compile(rf"(?:(?P<group>{_DNS_LABEL}(?:\.{_DNS_LABEL})*)/)?[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")

# Kinds whose names are only path segments (RBAC names such as `system:node`).
_PATH_SEGMENT_NAMES = frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ClusterTrustBundle"})
_LABEL_NAMES = frozenset({("", "Service"), ("", "Namespace")})

_ALLOW_KIND = re.compile(rf"[A-Z][A-Za-z0-9]{{0,62}}(?:\.{_DNS_LABEL}(?:\.{_DNS_LABEL})*)?")
_ALLOW_NAMESPACE = re.compile(rf"namespace/{_DNS_LABEL}")
SECRET_DATA = "secret-data"  # noqa: S105 - the word of the allow list, not a secret
FLUX_ANNOTATIONS = "flux-annotations"


def group_of(api_version: str) -> str:
    """Return the API group of an `apiVersion`, empty for the core group."""
    return api_version.rpartition("/")[0]


def is_flux_kind(group: str) -> bool:
    """Tell whether `group` is one of Flux's own."""
    return group.endswith(".toolkit.fluxcd.io") or group == "fluxcd.controlplane.io"


def is_builtin(group: str) -> bool:
    """Tell whether `group` is one of Kubernetes' own, whose scopes are all known."""
    return "." not in group or group.endswith(".k8s.io")


def is_cluster_scoped(group: str, kind: str, allow: frozenset[str] = frozenset()) -> bool:
    """Tell whether objects of `kind` have no namespace.

    A custom kind that `allow` names is taken as cluster-scoped: a namespaced one need not be allowed.
    """
    if kind in _CLUSTER_SCOPED.get(group, ()) or group in _WHOLE_GROUPS_CLUSTER_SCOPED:
        return True
    return not is_builtin(group) and not is_flux_kind(group) and kind_allowed(group, kind, allow)


def kind_allowed(group: str, kind: str, allow: frozenset[str]) -> bool:
    """Tell whether the Namespace's `spec.allow` names the kind, as `Kind` or `Kind.group`."""
    return kind in allow or f"{kind}.{group}" in allow


def allow_problems(entries: list[str]) -> list[str]:
    """Return a sentence for every entry of a Namespace's `spec.allow` that means nothing."""
    problems = []
    for entry in entries:
        if entry in ("Namespace", "namespace/flux-system"):
            problems.append(f"{entry} can never be allowed: Resilient Edge writes these itself")
        elif not (
            entry in (SECRET_DATA, FLUX_ANNOTATIONS)
            or _ALLOW_KIND.fullmatch(entry)
            or _ALLOW_NAMESPACE.fullmatch(entry)
        ):
            problems.append(
                f"{entry!r} is not one of: a kind (ClusterRole, or Kind.group), {SECRET_DATA}, {FLUX_ANNOTATIONS}, "
                "namespace/<name>"
            )
    return problems


def api_version_problem(api_version: str) -> str | None:
    """Return what is wrong with an `apiVersion`, if anything."""
    if len(api_version) <= 253 and _API_VERSION.fullmatch(api_version):
        return None
    return "an apiVersion is v1 or <group>/<version>"


def kind_problem(kind: str) -> str | None:
    """Return what is wrong with a `kind`, if anything."""
    return None if _KIND.fullmatch(kind) else "a kind is letters and digits, at most 63"


def name_problem(group: str, kind: str, name: str) -> str | None:
    """Return what is wrong with `metadata.name`, if anything."""
    if kind in _PATH_SEGMENT_NAMES:
        bad = name in ("", ".", "..") or "/" in name or "%" in name or not name.isprintable() or len(name) > 253
        return "a name is one path segment: no / and no %" if bad else None
    if (group, kind) in _LABEL_NAMES:
        ok = len(name) <= 63 and _LABEL.fullmatch(name)
        return None if ok else f"the name of a {kind} is lower-case letters, digits and -, at most 63"
    if len(name) <= 253 and _SUBDOMAIN.fullmatch(name):
        return None
    return "a name is lower-case letters, digits, - and ., at most 253, with a letter or digit at both ends"


def namespace_problem(name: str) -> str | None:
    """Return what is wrong with a `metadata.namespace`, if anything."""
    return None if len(name) <= 63 and _LABEL.fullmatch(name) else "a namespace is a DNS label of at most 63"


# Where Kubernetes wants text. Maps whose values are text wherever they stand (map[string]string of the API):
_TEXT_MAPS = frozenset({"matchLabels", "nodeSelector", "volumeAttributes"})
_TEXT_LISTS = frozenset({"args", "command"})
# Lists of {name, value} (or {key, value}) whose value is text.
_TEXT_VALUE_LISTS = frozenset({"env", "httpHeaders", "sysctls", "tolerations"})
_TEXT_OF_MOUNTS = frozenset({"subPath", "subPathExpr"})
_ROOT_TEXT_MAPS = {
    ("", "ConfigMap"): frozenset({"data", "binaryData"}),
    ("", "Secret"): frozenset({"data", "stringData"}),
    ("storage.k8s.io", "StorageClass"): frozenset({"parameters"}),
}
_SELECTOR_MAPS = frozenset({("", "Service"), ("", "ReplicationController")})
_METADATA_MAPS = frozenset({"labels", "annotations"})


def strict_text_map(group: str, kind: str, path: tuple[str | int, ...]) -> bool:
    """Tell whether the API knows the map at `path` as text to text, so that nothing but scalars may stand in it."""
    if len(path) == 1:
        return path[0] in _ROOT_TEXT_MAPS.get((group, kind), ())
    if path == ("spec", "selector"):
        return (group, kind) in _SELECTOR_MAPS
    return len(path) == 2 and path[0] == "metadata" and path[1] in _METADATA_MAPS


def holds_base64(group: str, kind: str, path: tuple[str | int, ...]) -> bool:
    """Tell whether the text at `path` is base64."""
    return len(path) == 2 and (group, kind, path[0]) in (("", "Secret", "data"), ("", "ConfigMap", "binaryData"))


def wants_text(group: str, kind: str, path: tuple[str | int, ...]) -> bool:  # noqa: C901, PLR0911 - one rule a line
    """Tell whether Kubernetes wants text at `path` of an object; `path` is the scalar's own, keys and positions."""
    if path in (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")):
        return True
    if len(path) < 2:
        return False
    if not is_builtin(group):  # what a custom kind calls args or env may hold numbers
        return path[-2] in _METADATA_MAPS and path[-3:-2] == ("metadata",)
    if kind == "CustomResourceDefinition" and path[0] != "metadata":
        return False  # a schema has fields called nodeSelector or args, and they are no such thing there
    last, parent = path[-1], path[-2]
    above = path[-3] if len(path) > 2 else ""
    if isinstance(last, int):
        return parent in _TEXT_LISTS or (parent == "values" and len(path) > 3 and path[-4] == "matchExpressions")
    if parent in _METADATA_MAPS:
        return above == "metadata"
    if parent in _TEXT_MAPS or strict_text_map(group, kind, path[:-1]):
        return True
    if isinstance(parent, str):
        return (above, parent) == ("flexVolume", "options")
    if last in _TEXT_OF_MOUNTS:
        return above == "volumeMounts"
    if last == "value":
        return above in _TEXT_VALUE_LISTS or (above == "options" and len(path) > 3 and path[-4] == "dnsConfig")
    return False
