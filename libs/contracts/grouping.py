"""Events of grouping: the nodes of business hierarchies."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.inventory import Labels
from libs.contracts.meaning import GROUP


@published("grouping", "declared group {path}", GROUP, {"store": "stores", "cluster": "clusters"})
@dataclass(frozen=True, slots=True)
class GroupDeclared:
    """A group's own members: by cluster name, by store name and by expression. Stream `group-<path>`.

    Members of groups below it are members too, without being listed. `expression` is in canonical form.
    """

    path: str
    clusters: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    expression: str | None = None
    allow_empty: bool = False
    labels: Labels = field(default_factory=dict)


@published("grouping", removed("group {name}"), GROUP)
@dataclass(frozen=True, slots=True)
class GroupRemoved:
    """A group's own declaration was removed; its path exists while groups below it are declared."""

    path: str
    by: By = NOBODY
    reason: str = ""
