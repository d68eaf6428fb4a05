"""A kind's registration: its words, its service, what its documents refer to, and what a table shows of it.

A registration is plain data that travels as JSON; the server publishes it and the command reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

VERSION_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class KindColumn:
    """A column of a table.

    `path` is where its value is in an item (`spec.timezone`); of several, separated by `|`, the first that has one.
    `form` says how the command writes the value (`cli.cells`); a form that the command does not know is left out.
    `otherwise` is shown where there is no value, and only `-o wide` shows a `wide` column.
    """

    heading: str
    path: str = ""
    form: str = ""
    otherwise: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of things.

    `singular`, `plural` and `aliases` are its words on the command line; `/v1/<plural>` is its address. `right` is how
    roles name it. `name_path` is where its name is in an item, and `subject` are the categories of the streams by
    which the audit trail tells of it.

    `about` says what it is, in one sentence. `category` is what the names of its streams begin with, where that is not
    `singular`.

    Of a declared kind, `document` is the `kind` of its documents (empty: it is not declared). `refers` maps the paths
    of references (`spec.stages[].roles`) to the document kinds that they name, or to `cluster`; `expressions` are the
    paths of expressions, in which `/<letter>/` names a thing of this kind. `clusters` is the path of the names of the
    clusters that a document declares; one without that path declares a cluster of its own name. `gives_rights`: its
    documents give people rights. `example` is a document for the reference pages.

    Of a kind that is only read: `of_application`, its address is below that of an application; `deletable`, `DELETE` on
    its address works; `picked`, a single one has no address and is found in the list. `filters` are the options of
    `resedge get` that its list takes.
    """

    singular: str
    plural: str
    service: str
    columns: Sequence[KindColumn]
    right: str
    about: str = ""
    aliases: Sequence[str] = ()
    document: str = ""
    name_path: str = "metadata.name"
    subject: Sequence[str] = ()
    refers: Mapping[str, str] = field(default_factory=dict)
    expressions: Sequence[str] = ()
    letter: str = ""
    clusters: str = ""
    gives_rights: bool = False
    example: Mapping[str, Any] | None = None
    category: str = ""
    of_application: bool = False
    deletable: bool = False
    picked: bool = False
    filters: Sequence[str] = ("where",)

    @property
    def streams(self) -> str:
        """Return the category of its streams."""
        return self.category or self.singular

    @property
    def named_by(self) -> str:
        """Return the field of `metadata` that names a document: `name` or `path`."""
        return self.name_path.rpartition(".")[2]

    @property
    def is_path(self) -> bool:
        """Tell whether its names are paths, as those of groups are."""
        return self.named_by == "path"

    @property
    def words(self) -> tuple[str, ...]:
        """Return all its words on the command line."""
        return (self.singular, self.plural, *self.aliases)

    def key_of(self, item: Mapping[str, Any]) -> str:
        """Return the name of an item (of a group, its path without the leading slash); `-` if it has none."""
        value = value_at(item, self.name_path)
        return str(value if value is not None else item.get("name") or item.get("id") or "-").removeprefix("/")

    def name(self, item: Mapping[str, Any]) -> str:
        """Return `kind/name`, which `resedge get` and `delete` accept."""
        return f"{self.singular}/{self.key_of(item)}"

    def shown(self, name: str) -> str:
        """Return a name without outer slashes as people write it."""
        return f"/{name}" if self.is_path else name


def declared(document: str, plural: str, service: str, columns: Sequence[KindColumn], **more: Any) -> Kind:
    """Return the registration of a declared kind; its words and its right follow from the `kind` of its documents."""
    word = document.lower()
    return Kind(
        singular=word,
        plural=plural,
        service=service,
        columns=columns,
        right=document,
        document=document,
        subject=(word,),
        deletable=True,
        **more,
    )


def value_at(item: Mapping[str, Any], path: str) -> Any:
    """Return what is at a dotted path (`spec.timezone`) of an item; a missing step gives None."""
    value: Any = item
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def texts_at(document: Any, path: str) -> Iterator[str]:
    """Yield the texts at a path of a document: `[]` after a step means every item of a list, whose end may be left out.

    Missing values, and values other than text, are left out.
    """
    step, _, rest = path.partition(".")
    value = document.get(step.removesuffix("[]")) if isinstance(document, Mapping) else None
    for each in value if isinstance(value, list) else [value]:
        if rest:
            yield from texts_at(each, rest)
        elif isinstance(each, str):
            yield each


def kind_as_json(kind: Kind) -> dict[str, Any]:
    """Return a registration as JSON, without what it leaves at its default."""
    columns = [_said(asdict(column)) for column in kind.columns]
    return _said(asdict(kind)) | {"columns": columns, "filters": list(kind.filters)}


def version_of(kinds: Sequence[Kind]) -> str:
    """Return the digest of a set of registrations."""
    content = json.dumps([kind_as_json(kind) for kind in kinds], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:VERSION_CHARACTERS]


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}


_TYPES: Mapping[str, type] = {"str": str, "bool": bool, "Sequence": list, "Mapping": dict}
"""Start of a field's annotation → its types in JSON."""


def understood(said: Mapping[str, Any]) -> Kind:
    """Return a registration that a server published; unknown fields of a newer one are left out.

    Raises:
        TypeError: a part is missing, or is of another type.
    """
    values = _checked(Kind, said)
    return Kind(**{**values, "columns": [KindColumn(**_checked(KindColumn, each)) for each in values["columns"]]})


def _checked(cls: type[Any], said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        raise TypeError(cls.__name__)
    types = {each.name: _TYPES[str(each.type).partition("[")[0]] for each in fields(cls)}
    values = {name: value for name, value in said.items() if name in types}
    for name, value in values.items():
        texts = value if isinstance(value, list) and name != "columns" else []
        if not isinstance(value, types[name]) or not all(isinstance(each, str) for each in texts):
            raise TypeError(name)
    if "columns" not in values and cls is Kind:
        raise TypeError("columns")
    return values
