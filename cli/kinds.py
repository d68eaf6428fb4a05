"""The kinds of things that `get` and `delete` know: their names, where they are read, what a table shows.

The one rule: a kind is added here and nowhere else (those of policy: `cli.policy_documents`, `cli.policy_kinds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.errors import UsageProblem, nearest
from cli.kind import Kind
from cli.output import Column, Item, field
from cli.policy_documents import POLICY_DOCUMENTS
from cli.policy_kinds import POLICY_KINDS


def _count(path: str) -> Any:
    read = field(path)

    def count(item: Item) -> object:
        value = read(item)
        return len(value) if isinstance(value, list | Mapping) else value

    return count


def _clusters(item: Item) -> object:
    clusters = field("spec.clusters")(item)
    return (
        [c.get("name") for c in clusters if isinstance(c, Mapping)]
        if isinstance(clusters, list)
        else field("metadata.name")(item)
    )


def _applies_to(item: Item) -> object:
    spec = item.get("spec", {})
    return spec.get("applications") or (f"namespace {spec['namespace']}" if spec.get("namespace") else "all")


def _types(item: Item) -> object:
    types = field("spec.types")(item)
    return [str(each).removeprefix("dev.resedge.inbox.") for each in types] if isinstance(types, list) else types


def _share(item: Item) -> object:
    share = item.get("share_percent")
    return f"{share:g}%" if isinstance(share, int | float) else share


def _first(*paths: str) -> Any:
    readers = [field(path) for path in paths]
    return lambda item: next((value for read in readers if (value := read(item)) is not None), None)


_NAME = Column("NAME", field("metadata.name"))
_EXPRESSION = Column("EXPRESSION", field("spec.expression"))
_LABELS = Column("LABELS", field("metadata.labels"), wide=True)

KINDS = (
    Kind(
        "store",
        "stores",
        (
            _NAME,
            Column("TIMEZONE", field("spec.timezone")),
            Column("CLUSTERS", _clusters),
            _LABELS,
            Column("HOURS", field("spec.hours"), wide=True),
        ),
        "Store",
        aliases=("st",),
    ),
    Kind(
        "cluster",
        "clusters",
        (
            Column("NAME", field("name")),
            Column("STORE", field("store")),
            Column("TIMEZONE", field("timezone")),
            Column("NAMESPACES", field("namespaces")),
            Column("CAPACITY", field("capacity"), wide=True),
            Column("PATH", field("path"), wide=True),
            Column("GROUPS", field("groups"), wide=True),
            Column("LABELS", field("labels"), wide=True),
        ),
        key="name",
        deletable=True,
    ),
    Kind(
        "retired-cluster",
        "retired-clusters",
        (
            Column("NAME", field("name")),
            Column("STORE", field("store")),
            Column("DELETED", field("deleted_at")),
            Column("PLACEMENTS", field("placements")),
            Column("UNTIL", field("until")),
            Column("PATH", field("path"), wide=True),
        ),
        key="name",
        picked=True,
        filters=(),
    ),
    Kind(
        "group",
        "groups",
        (
            Column("PATH", field("metadata.path")),
            Column("CLUSTERS", _count("spec.clusters")),
            Column("STORES", _count("spec.stores")),
            _EXPRESSION,
            _LABELS,
        ),
        "Group",
        key="metadata.path",
    ),
    Kind(
        "namespace",
        "namespaces",
        (
            _NAME,
            Column("OWNERS", field("spec.owners")),
            Column("CAPACITY", field("spec.capacity")),
            _EXPRESSION,
            Column("LABELS", field("spec.labels"), wide=True),
        ),
        "Namespace",
        aliases=("ns",),
    ),
    Kind(
        "application",
        "applications",
        (_NAME, Column("NAMESPACE", field("spec.namespace")), _EXPRESSION, _LABELS),
        "Application",
        aliases=("app", "apps"),
    ),
    Kind(
        "configuration",
        "configurations",
        (
            _NAME,
            Column("APPLIES-TO", _applies_to),
            Column("PRIORITY", field("spec.priority")),
            _EXPRESSION,
            Column("VALUES", field("spec.values"), wide=True),
        ),
        "Configuration",
        aliases=("config", "configs"),
    ),
    *POLICY_DOCUMENTS,
    Kind(
        "source",
        "sources",
        (
            _NAME,
            Column("SOURCE", field("spec.source")),
            Column("SERVICE-ACCOUNT", field("spec.serviceAccount")),
            Column("TYPES", _types),
            Column("NAMES", field("spec.names")),
            Column("MANIFESTS", field("spec.manifests"), wide=True),
            Column("MAPPINGS", _count("spec.mappings"), wide=True),
        ),
        "Source",
        aliases=("src",),
    ),
    Kind(
        "release",
        "releases",
        (
            Column("APPLICATION", _first("application", "metadata.application")),
            Column("VERSION", _first("version", "release", "metadata.name")),
            Column("DIGEST", field("digest")),
            Column("PUBLISHED", _first("published_at", "time", "at")),
            Column("IMAGES", field("images"), wide=True),
            Column("OBJECTS", _count("objects"), wide=True),
        ),
        key="version",
        of_application=True,
        aliases=("rel",),
    ),
    Kind(
        "release-choice",
        "release-choices",
        (
            Column("ORDER", field("order")),
            Column("VERSION", field("version")),
            Column("EXPRESSION", field("expression")),
        ),
        key="version",
        of_application=True,
        aliases=("choices", "choice"),
    ),
    Kind(
        "refusal",
        "refusals",
        (
            Column("APPLICATION", field("application")),
            Column("CODE", _first("code", "reason")),
            Column("CLUSTERS", _first("count", "clusters")),
            Column("EXAMPLES", field("examples")),
            Column("DETAIL", _first("detail", "reason")),
            Column("SINCE", field("since"), wide=True),
        ),
        key="application",
        picked=True,
    ),
    Kind(
        "hold",
        "holds",
        (
            Column("ID", field("id")),
            Column("REMOVALS", _first("count", "removals")),
            Column("SHARE", _share),
            Column("CAUSE", field("cause")),
            Column("EXAMPLES", field("examples")),
            Column("SINCE", field("since"), wide=True),
        ),
        key="id",
        picked=True,
    ),
    *POLICY_KINDS,
)

_BY_WORD = {word: kind for kind in KINDS for word in (kind.singular, kind.plural, *kind.aliases)}
BY_DOCUMENT = {kind.document: kind for kind in KINDS if kind.document}


def deletable_kind(kind: Kind) -> bool:
    """Say whether `delete` takes things of this kind."""
    return kind.deletable or bool(kind.document)


def kinds_told(*, deletable: bool = False) -> str:
    """Return the words for the kinds that a command takes, for its help and its errors."""
    return ", ".join(kind.plural for kind in KINDS if not deletable or deletable_kind(kind))


def kind_named(word: str, *, deletable: bool = False) -> Kind:
    """Return the kind that a word on the command line means; `deletable` allows only what can be deleted.

    Raises:
        UsageProblem: no kind is called so; says the nearest.
    """

    def fits(kind: Kind) -> bool:
        return not deletable or deletable_kind(kind)

    kind = _BY_WORD.get(word.lower())
    if kind is None or not fits(kind):
        raise UsageProblem(
            f"no kind {word!r}" if kind is None else f"{kind.plural} cannot be deleted",
            fix=f"use one of {kinds_told(deletable=deletable)}",
            nearest=nearest(word, (w for w, k in _BY_WORD.items() if fits(k))) if kind is None else (),
        )
    return kind


def things(words: list[str], *, deletable: bool = False) -> tuple[Kind, list[str]]:
    """Read `KIND [NAME…]` or `KIND/NAME…`: the kind, and the names without a group's leading slash.

    Raises:
        UsageProblem: the kind is unknown, or names of several kinds are mixed.
    """
    first, *rest = words
    if "/" not in first:
        kind = kind_named(first, deletable=deletable)
        names = [name.removeprefix(f"{kind.singular}/") for name in rest]
    else:
        kind = kind_named(first.partition("/")[0], deletable=deletable)
        pairs = [word.partition("/") for word in words]
        if any(kind_named(word, deletable=deletable) is not kind for word, _, _ in pairs):
            raise UsageProblem("names of several kinds in one command", fix="give one kind at a time")
        names = [name for _, _, name in pairs]
    return kind, [name.strip("/") if kind.singular == "group" else name for name in names]
