"""The order in which documents can be declared: what is referred to comes first.

The one rule: the order depends on the documents only, never on the files that they came in.
"""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.documents import Document

_KINDS = (
    "Store",
    "Group",
    "Role",
    "SignOff",
    "Namespace",
    "Application",
    "Configuration",
    "Calendar",
    "Freeze",
    "PlacementPolicy",
    "RoleBinding",
    "Source",
)
_RANK = {kind: rank for rank, kind in enumerate(_KINDS)}
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_REFERENCE = re.compile(r"/([gnc])/([^\s(),=!<>\"']+)")

Node = tuple[str, str]
"""Something that a document declares or completes: ("Store", name), ("below", group path), …"""


def in_order(documents: Sequence[Document]) -> list[Document]:
    """Return the documents so that each stands after those that it refers to.

    A reference to a group waits for everything below it too, for those are its members. Stores come first anyway: they
    bring the labels that expressions use. Documents that refer to each other in a circle stay in their usual order; the
    server names the circle.
    """
    placed = _sorted(documents, parents_first=True)
    if len(placed) < len(documents):
        placed = _sorted(documents, parents_first=False)
    seen = set(placed)
    rest = [i for i in range(len(documents)) if i not in seen]
    return [documents[i] for i in [*placed, *sorted(rest, key=lambda i: _rank(documents[i]))]]


def _rank(document: Document) -> tuple[int, str]:
    return _RANK[document.body["kind"]], document.name


def references(document: Document) -> Iterator[Node]:
    """Yield what a document needs to exist: names in its fields, and `/g/ /n/ /c/` in its expressions."""
    spec = document.body.get("spec")
    if not isinstance(spec, Mapping):
        return
    yield from _of_policy(spec)
    yield from (("cluster", name) for name in _texts(spec.get("clusters")) if document.body["kind"] == "Group")
    yield from (("Store", name) for name in _texts(spec.get("stores")))
    yield from (("Application", name) for name in _texts(spec.get("applications")))
    yield from (("Namespace", name) for name in _texts([spec.get("namespace")]))
    for expression in _texts([spec.get("expression"), spec.get("clusters")]):
        for letter, name in _REFERENCE.findall(_QUOTED.sub(" ", expression)):
            kind = {"g": "below", "n": "Namespace", "c": "cluster"}[letter]
            yield kind, name.strip("/") if letter == "g" else name


def _of_policy(spec: Mapping[str, Any]) -> Iterator[Node]:
    """Yield what only documents of policy name, and the sign-off that others may name too."""
    yield from (("SignOff", name) for name in _texts([spec.get("signoff")]))
    yield from (("Role", name) for name in _texts([spec.get("role")]))
    yield from (("Namespace", name) for name in _texts(spec.get("namespaces")))
    stages, forbid = spec.get("stages"), spec.get("forbid")
    for stage in stages if isinstance(stages, list) else ():
        yield from (("Role", name) for name in _texts(stage.get("roles") if isinstance(stage, Mapping) else None))
    if isinstance(forbid, Mapping):
        yield from (("Application", name) for name in _texts(forbid.get("applications")))


def _texts(value: Any) -> Iterable[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def provides(document: Document) -> Iterator[Node]:
    """Yield what a document declares or completes: itself, a store's clusters, the membership of a group."""
    kind = document.body["kind"]
    yield kind, document.name
    if kind == "Store":
        spec = document.body.get("spec")
        clusters = spec.get("clusters") if isinstance(spec, Mapping) else None
        named = [c.get("name") for c in clusters if isinstance(c, Mapping)] if isinstance(clusters, list) else None
        yield from (("cluster", str(name)) for name in ([document.name] if named is None else named))
    if kind == "Group":
        yield "below", document.name


def _ancestors(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _edges(documents: Sequence[Document], *, parents_first: bool) -> dict[int | Node, set[int | Node]]:
    """Return for each document, and each thing in between, what waits for it."""
    edges: dict[int | Node, set[int | Node]] = defaultdict(set)
    for i, document in enumerate(documents):
        for node in provides(document):
            edges[i].add(node)
        if document.body["kind"] == "Group":
            step = document.name
            for above in _ancestors(document.name):
                edges["below", step].add(("below", above))
                if parents_first:
                    edges["Group", above].add(i)
                step = above
    for i, document in enumerate(documents):
        for node in references(document):
            if node != ("below", document.name):
                edges[node].add(i)
    return edges


def _sorted(documents: Sequence[Document], *, parents_first: bool) -> list[int]:
    """Return the documents that can be placed, by Kahn's algorithm; equal ones in the order of kind and name."""
    edges = _edges(documents, parents_first=parents_first)
    waiting: dict[int | Node, int] = defaultdict(int)
    for waiters in edges.values():
        for node in waiters:
            waiting[node] += 1
    ranks = [_rank(document) for document in documents]
    ready = [(ranks[i], i) for i in range(len(documents)) if not waiting[i]]
    heapq.heapify(ready)
    free: list[int | Node] = [node for node in edges if isinstance(node, tuple) and not waiting[node]]
    placed: list[int] = []
    while free or ready:
        node = free.pop() if free else heapq.heappop(ready)[1]
        if isinstance(node, int):
            placed.append(node)
        for after in edges.get(node, ()):
            waiting[after] -= 1
            if waiting[after]:
                continue
            if isinstance(after, int):
                heapq.heappush(ready, (ranks[after], after))
            else:
                free.append(after)
    return placed
