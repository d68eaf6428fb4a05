"""Group documents: parsed into commands, and rendered from events.

The document of a group lists only clusters and stores that exist; removed ones have left the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.web.schema import Spec, document_of, event_of, read_as
from services.grouping.domain import Command, DeclareGroup, check_path, living
from services.grouping.events import GroupDeclared

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet


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
    group = event_of(GroupDeclared, read, named_by="path")

    def make(actor: str, at: datetime) -> DeclareGroup:
        return DeclareGroup(group, actor, at)

    return read.name, make


def group_document(event: GroupDeclared, facts: Fleet) -> dict[str, Any]:
    """Return the document of a group; declaring it again changes nothing."""
    return document_of("Group", living(event, facts), GroupSpec, named_by="path")
