"""Events of the catalog: namespaces, applications, releases, release choices and configurations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.inventory import Labels
from libs.contracts.meaning import APPLICATION, CHOICES, CONFIGURATION, NAMESPACE, RELEASE, Subject, counted


@published("catalog", "declared namespace {name}", NAMESPACE)
@dataclass(frozen=True, slots=True)
class NamespaceDeclared:
    """A team's Kubernetes namespace on the clusters of `expression`. Stream `namespace-<name>`.

    `capacity` (Kubernetes quantities) is reserved on each cluster; `namespace_labels` go onto the Kubernetes object;
    `allow` lists manifests that publishing would otherwise refuse. `signoff` names the process by which each change of
    its applications' releases, choices or configurations is approved. `kubernetes` is the minor version (`1.31`) of the
    clusters that do not say their own; `crds` (`Kind.version.group`) are custom kinds that they have from elsewhere.
    """

    name: str
    expression: str
    owners: list[str] = field(default_factory=list)
    capacity: dict[str, str] = field(default_factory=dict)
    namespace_labels: dict[str, str] = field(default_factory=dict)
    allow: list[str] = field(default_factory=list)
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)
    signoff: str | None = None
    kubernetes: str = ""
    crds: list[str] = field(default_factory=list)


@published("catalog", removed("namespace {name}"), NAMESPACE)
@dataclass(frozen=True, slots=True)
class NamespaceRemoved:
    """A namespace was removed."""

    name: str
    by: By = NOBODY
    reason: str = ""


@published("catalog", "declared application {name} in namespace {namespace}", APPLICATION, {"namespace": "namespace"})
@dataclass(frozen=True, slots=True)
class ApplicationDeclared:
    """A workload in one namespace; `expression` narrows the namespace's. Stream `application-<name>`.

    `fallback` is for clusters whose chosen release is refused: `previous` gives them the newest earlier choice that
    renders there; otherwise they get nothing new.
    """

    name: str
    namespace: str
    expression: str | None = None
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)
    signoff: str | None = None
    fallback: str | None = None


@published("catalog", removed("application {name}"), APPLICATION)
@dataclass(frozen=True, slots=True)
class ApplicationRemoved:
    """An application was removed, with its release choices; its releases stay in history."""

    name: str
    by: By = NOBODY
    reason: str = ""


@published(
    "catalog", "declared configuration {name}", CONFIGURATION, {"application": "applications", "namespace": "namespace"}
)
@dataclass(frozen=True, slots=True)
class ConfigurationDeclared:
    """One layer of values on the clusters of `expression`. Stream `configuration-<name>`.

    For `applications`, or for all of `namespace`, or (neither) for all. Later layers win: less specific before more
    specific, then ascending `priority`.
    """

    name: str
    expression: str
    applications: list[str] = field(default_factory=list)
    namespace: str | None = None
    priority: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)


@published("catalog", removed("configuration {name}"), CONFIGURATION)
@dataclass(frozen=True, slots=True)
class ConfigurationRemoved:
    """A configuration layer was removed."""

    name: str
    by: By = NOBODY
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A Kubernetes object's identity."""

    api_version: str
    kind: str
    namespace: str
    name: str


@published(
    "catalog",
    "published release {version} of {application}",
    RELEASE,
    {"application": "application", "namespace": "namespace"},
)
@dataclass(frozen=True, slots=True)
class ReleasePublished:
    """One immutable version of an application. Stream `release-<application>/<version>`.

    `digest` covers manifests, schema and defaults as uploaded; the other digests (hex SHA-256) name blobs of the log:
    `manifests` the uploaded text, `template` the compiled template, `schema` and `defaults` JSON documents, `checks`
    what the values of the template's slots must be like for an API server to take them.
    """

    application: str
    version: str
    namespace: str
    digest: str
    manifests: str
    template: str
    schema: str | None = None
    defaults: str | None = None
    images: list[str] = field(default_factory=list)
    objects: list[ObjectRef] = field(default_factory=list)
    checks: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseChoice:
    """The clusters that `expression` (canonical) selects now run `version`, unless a later choice selects them."""

    expression: str
    version: str


def _chosen(event: ReleaseChoicesSet) -> str:
    versions = {each.version for each in event.choices}
    if not versions:
        return f"chose no release of {event.application}"
    what = f"release {event.choices[0].version}" if len(versions) == 1 else counted(len(versions), "release")
    return f"chose {what} of {event.application}"


def _releases(event: ReleaseChoicesSet) -> list[Subject]:
    versions = dict.fromkeys(each.version for each in event.choices)
    return [("release", f"{event.application}/{each}") for each in versions]


@published("catalog", _chosen, CHOICES, _releases)
@dataclass(frozen=True, slots=True)
class ReleaseChoicesSet:
    """An application's whole ordered list of release choices; the last that selects a cluster wins.

    Stream `choices-<application>`.
    """

    application: str
    choices: list[ReleaseChoice] = field(default_factory=list)
