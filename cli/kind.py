"""What the command knows of one kind of things: its words, where it is read, what a table shows of it."""

from __future__ import annotations

from dataclasses import dataclass

from cli.output import Column, Item, field


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `document` is its name in documents (empty: it is not declared); `of_application`: lives below one.

    `picked`: a single one has no address, and is picked from the list. `filters` are the options of `get`
    that choose what is in its list.
    """

    singular: str
    plural: str
    columns: tuple[Column, ...]
    document: str = ""
    key: str = "metadata.name"
    of_application: bool = False
    deletable: bool = False
    picked: bool = False
    filters: tuple[str, ...] = ("where",)
    aliases: tuple[str, ...] = ()

    def name(self, item: Item) -> str:
        """Return `kind/name`, which `get` and `delete` take back."""
        return f"{self.singular}/{self.key_of(item)}"

    def key_of(self, item: Item) -> str:
        """Return the name of an item, for a group its path without the leading slash."""
        value = field(self.key)(item)
        return str(value if value is not None else item.get("name") or item.get("id") or "-").removeprefix("/")
