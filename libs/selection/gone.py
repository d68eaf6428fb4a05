"""Clusters that no longer exist, with their last facts, so that expressions still select them.

Removals from a deleted cluster pass the same gates as before: this remembers the facts that those gates need. The one
rule: a cluster that comes back is forgotten here, and selected by its present facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pyroaring import BitMap

from libs.selection.column import LabelValue
from libs.selection.evaluate import evaluate
from libs.selection.graph import NodeKey
from libs.selection.index import Selection

if TYPE_CHECKING:
    from libs.selection.expression import Expression


class Remains(NamedTuple):
    """The last facts of a removed cluster; its groups include their ancestors."""

    name: str
    store: str
    labels: Mapping[str, LabelValue]
    groups: tuple[str, ...]
    namespaces: tuple[str, ...]


@dataclass(slots=True)
class Gone:
    """The remains of deleted clusters by ordinal; `version` moves whenever they change."""

    remains: dict[int, Remains] = field(default_factory=dict)
    version: int = 0
    _facts: tuple[Selection, list[int]] | None = field(default=None, init=False, compare=False)

    def remember(self, selection: Selection, ordinal: int) -> None:
        """Keep the facts of a cluster; call it just before the cluster is dropped."""
        namespaces = tuple(each for each in selection.namespaces() if ordinal in selection.namespace_members(each))
        self.remains[ordinal] = Remains(
            selection.name(ordinal),
            selection.store_of(ordinal),
            selection.labels_of(ordinal),
            tuple(selection.groups_of(ordinal)),
            namespaces,
        )
        self._changed()

    def forget(self, ordinal: int) -> None:
        """The cluster is back."""
        if self.remains.pop(ordinal, None) is not None:
            self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._facts = None

    def select(self, expression: Expression) -> BitMap:
        """Return the gone clusters that an expression would have selected."""
        if not self.remains:
            return BitMap()
        facts, ordinals = self._facts or self._built()
        return BitMap([ordinals[place] for place in evaluate(expression, facts.everything, facts)])

    def _built(self) -> tuple[Selection, list[int]]:
        facts = Selection()
        ordinals = list(self.remains)
        for remains in self.remains.values():
            facts.put_cluster(remains.name, remains.store, remains.labels)
        facts.settle()
        for place, remains in enumerate(self.remains.values()):
            for kind, names in (("group", remains.groups), ("namespace", remains.namespaces)):
                for name in names:
                    key = NodeKey("group" if kind == "group" else "namespace", name)
                    facts.node_members.setdefault(key, BitMap()).add(place)
        self._facts = facts, ordinals
        return self._facts
