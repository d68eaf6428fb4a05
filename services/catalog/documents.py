"""The catalog's documents: parsed into commands, and rendered from events.

A rendered document, declared again, changes nothing; empty fields are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from libs.contracts.quantities import check_capacity
from libs.kubernetes import check_kubernetes_version
from libs.web.schema import Spec, document_of, event_of, read_as
from services.catalog.domain.applications import DeclareApplication
from services.catalog.domain.configurations import DeclareConfiguration
from services.catalog.domain.namespaces import DeclareNamespace
from services.catalog.events import ApplicationDeclared, ConfigurationDeclared, NamespaceDeclared

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet
    from services.catalog.domain import applications, configurations, namespaces


class NamespaceSpec(Spec):
    """The clusters, owners and capacity of a namespace, and what its releases may contain."""

    expression: str
    owners: list[str] = Field(default_factory=list)
    capacity: dict[str, Any] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    allow: list[str] = Field(default_factory=list)
    signoff: str | None = None
    allow_empty: bool = False
    kubernetes: str = ""
    crds: list[str] = Field(default_factory=list)


class ApplicationSpec(Spec):
    """The application's namespace, its expression, and what a cluster gets if its chosen release is refused."""

    namespace: str
    expression: str | None = None
    signoff: str | None = None
    fallback: Literal["previous"] | None = None
    allow_empty: bool = False


class ConfigurationSpec(Spec):
    """The layer's scope (`applications`, or a `namespace`, or all), clusters, rank and values."""

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
    minor = check_kubernetes_version(read.spec.kubernetes)
    namespace = event_of(
        NamespaceDeclared, read, capacity=capacity, namespace_labels=read.spec.labels, kubernetes=minor
    )

    def make(actor: str, at: datetime) -> DeclareNamespace:
        return DeclareNamespace(namespace, actor, at)

    return read.name, make


def parse_application(document: Any, name: str | None) -> tuple[str, Make[applications.Command]]:
    """Return an application's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Application", spec=ApplicationSpec, name=name)
    application = event_of(ApplicationDeclared, read)

    def make(actor: str, at: datetime) -> DeclareApplication:
        return DeclareApplication(application, actor, at)

    return read.name, make


def parse_configuration(document: Any, name: str | None) -> tuple[str, Make[configurations.Command]]:
    """Return a configuration's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Configuration", spec=ConfigurationSpec, name=name)
    configuration = event_of(ConfigurationDeclared, read)

    def make(actor: str, at: datetime) -> DeclareConfiguration:
        return DeclareConfiguration(configuration, actor, at)

    return read.name, make


def namespace_document(event: NamespaceDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a namespace."""
    return document_of("Namespace", event, NamespaceSpec, labels=event.namespace_labels)


def application_document(event: ApplicationDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of an application."""
    return document_of("Application", event, ApplicationSpec)


def configuration_document(event: ConfigurationDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a configuration."""
    return document_of("Configuration", event, ConfigurationSpec)
