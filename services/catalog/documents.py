"""The catalog's documents: read into commands, and rendered from what was declared.

The one rule: what a document renders, declared again, changes nothing; fields that say nothing are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.contracts.quantities import check_capacity
from libs.web.schema import API_VERSION, Spec, read_as
from services.catalog.domain.applications import DeclareApplication
from services.catalog.domain.configurations import DeclareConfiguration
from services.catalog.domain.namespaces import DeclareNamespace

if TYPE_CHECKING:
    from datetime import datetime

    from libs.contracts.inventory import Labels
    from libs.fleet import Fleet
    from libs.web.kinds import Make
    from services.catalog.domain import applications, configurations, namespaces
    from services.catalog.events import ApplicationDeclared, ConfigurationDeclared, NamespaceDeclared


class NamespaceSpec(Spec):
    """Where a namespace is, whose it is, what it takes of each cluster, what its releases may bring."""

    expression: str
    owners: list[str] = Field(default_factory=list)
    capacity: dict[str, Any] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    allow: list[str] = Field(default_factory=list)
    signoff: str | None = None
    allow_empty: bool = False


class ApplicationSpec(Spec):
    """The application's namespace, and what narrows it."""

    namespace: str
    expression: str | None = None
    signoff: str | None = None
    allow_empty: bool = False


class ConfigurationSpec(Spec):
    """What the layer is for (`applications`, or a `namespace`, or all), where, how it ranks, and its values."""

    expression: str
    applications: list[str] = Field(default_factory=list)
    namespace: str | None = None
    priority: int = 0
    values: dict[str, Any] = Field(default_factory=dict)
    allow_empty: bool = False


def parse_namespace(document: Any, name: str | None) -> tuple[str, Make[namespaces.Command]]:
    """Return a namespace's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Namespace", spec=NamespaceSpec, name=name)
    capacity = check_capacity(read.spec.capacity)

    def make(actor: str, at: datetime) -> DeclareNamespace:
        return DeclareNamespace(
            name=read.name,
            expression=read.spec.expression,
            owners=tuple(read.spec.owners),
            capacity=capacity,
            namespace_labels=read.spec.labels,
            allow=tuple(read.spec.allow),
            signoff=read.spec.signoff,
            allow_empty=read.spec.allow_empty,
            labels=read.labels,
            actor=actor,
            at=at,
        )

    return read.name, make


def parse_application(document: Any, name: str | None) -> tuple[str, Make[applications.Command]]:
    """Return an application's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Application", spec=ApplicationSpec, name=name)

    def make(actor: str, at: datetime) -> DeclareApplication:
        return DeclareApplication(
            name=read.name,
            namespace=read.spec.namespace,
            expression=read.spec.expression,
            signoff=read.spec.signoff,
            allow_empty=read.spec.allow_empty,
            labels=read.labels,
            actor=actor,
            at=at,
        )

    return read.name, make


def parse_configuration(document: Any, name: str | None) -> tuple[str, Make[configurations.Command]]:
    """Return a configuration's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Configuration", spec=ConfigurationSpec, name=name)

    def make(actor: str, at: datetime) -> DeclareConfiguration:
        return DeclareConfiguration(
            name=read.name,
            expression=read.spec.expression,
            applications=tuple(read.spec.applications),
            namespace=read.spec.namespace,
            priority=read.spec.priority,
            values=read.spec.values,
            allow_empty=read.spec.allow_empty,
            labels=read.labels,
            actor=actor,
            at=at,
        )

    return read.name, make


def namespace_document(event: NamespaceDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a namespace."""
    said = {
        "owners": event.owners,
        "capacity": event.capacity,
        "labels": event.namespace_labels,
        "allow": event.allow,
        "signoff": event.signoff,
        "allow_empty": event.allow_empty,
    }
    return _document("Namespace", event.name, event.labels, {"expression": event.expression, **_saying(said)})


def application_document(event: ApplicationDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of an application."""
    said = {"expression": event.expression, "signoff": event.signoff, "allow_empty": event.allow_empty}
    return _document("Application", event.name, event.labels, {"namespace": event.namespace, **_saying(said)})


def configuration_document(event: ConfigurationDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a configuration."""
    said = {
        "applications": event.applications,
        "namespace": event.namespace,
        "priority": event.priority,
        "values": event.values,
        "allow_empty": event.allow_empty,
    }
    return _document("Configuration", event.name, event.labels, {"expression": event.expression, **_saying(said)})


def _saying(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _document(kind: str, name: str, labels: Labels, spec: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
