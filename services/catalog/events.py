"""The events of the catalog, as published for every other service."""

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    NamespaceDeclared,
    NamespaceRemoved,
    ReleaseChoice,
    ReleaseChoicesSet,
    ReleasePublished,
)

__all__ = [
    "ApplicationDeclared",
    "ApplicationRemoved",
    "ConfigurationDeclared",
    "ConfigurationRemoved",
    "NamespaceDeclared",
    "NamespaceRemoved",
    "ReleaseChoice",
    "ReleaseChoicesSet",
    "ReleasePublished",
]
