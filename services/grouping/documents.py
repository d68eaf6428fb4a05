"""Group documents: read into commands, and rendered from what was declared.

The one rule: the document of a group lists only clusters and stores that exist; the others have left the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.web.schema import API_VERSION, Spec, read_as
from services.grouping.domain import Command, DeclareGroup, check_path, living

if TYPE_CHECKING:
    from datetime import datetime

    from libs.fleet import Fleet
    from libs.web.kinds import Make
    from services.grouping.events import GroupDeclared


class GroupSpec(Spec):
    """A group's own members: by cluster name, by store name, by expression; each may be left out."""

    clusters: list[str] = Field(default_factory=list)
    stores: list[str] = Field(default_factory=list)
    expression: str | None = None
    allow_empty: bool = False


def parse_group(document: Any, path: str | None) -> tuple[str, Make[Command]]:
    """Return a group's path and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(document, kind="Group", spec=GroupSpec, name=path, named_by="path", named=False)
    check_path(read.name)

    def make(actor: str, at: datetime) -> DeclareGroup:
        return DeclareGroup(
            path=read.name,
            clusters=tuple(read.spec.clusters),
            stores=tuple(read.spec.stores),
            expression=read.spec.expression,
            allow_empty=read.spec.allow_empty,
            labels=read.labels,
            actor=actor,
            at=at,
        )

    return read.name, make


def group_document(event: GroupDeclared, facts: Fleet) -> dict[str, Any]:
    """Return the document of a group; declaring it again changes nothing."""
    group = living(event, facts)
    metadata: dict[str, Any] = {"path": group.path}
    if group.labels:
        metadata["labels"] = group.labels
    spec: dict[str, Any] = {}
    if group.clusters:
        spec["clusters"] = group.clusters
    if group.stores:
        spec["stores"] = group.stores
    if group.expression is not None:
        spec["expression"] = group.expression
    if group.allow_empty:
        spec["allow_empty"] = True
    return {"apiVersion": API_VERSION, "kind": "Group", "metadata": metadata, "spec": spec}
