"""The order in which documents can be declared: referenced documents come first.

The order depends on the documents only, never on the order in which they came. Documents of one service stay together
as far as references allow, so that separate services are asked few times.
"""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from libs.contracts.documents import DECIDED_BY, names_of
from libs.kinds import BY_DOCUMENT, KINDS, texts_at

_RANK = {kind: rank for rank, kind in enumerate(DECIDED_BY)}
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_CLUSTER = "cluster"
_BELOW = "below"
"""Stands for all documents at or below a path: only all of them together complete what the path selects."""
_OF_LETTER = {kind.letter: _BELOW if kind.is_path else kind.document or kind.singular for kind in KINDS if kind.letter}
_REFERENCE = re.compile(rf"/([{''.join(_OF_LETTER)}])/([^\s(),=!<>\"']+)")
_FIRST_SERVICE = next(iter(DECIDED_BY.values()))
"""The first service that decides refuses documents of an unknown kind."""

_Node = tuple[str, str]
"""Something that a document declares or completes: ("Store", name), ("below", group path), …"""
Edges = Mapping[int | _Node, set[int | _Node]]
Rank = tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class Ordered:
    """The order of some documents, by their index; `edges` lists for each document those that wait for it."""

    sequence: Sequence[int]
    services: Sequence[str]
    edges: Edges

    def stages(self) -> Iterator[tuple[str, list[int]]]:
        """Yield the documents in runs, one service after the other."""
        for service, indices in groupby(self.sequence, key=lambda index: self.services[index]):
            yield service, list(indices)

    def first_of_each_chain(self, refused: Iterable[int]) -> list[int]:
        """Return the refused documents, in order, without those that wait for another refused one.

        Their refusals may only follow from that one.
        """
        kept: list[int] = []
        reached: set[int | _Node] = set()
        for index in refused:
            if index not in reached:
                kept.append(index)
                self._reach(index, reached)
        return kept

    def _reach(self, start: int, reached: set[int | _Node]) -> None:
        waiting: list[int | _Node] = [start]
        while waiting:
            for after in self.edges.get(waiting.pop(), ()):
                if after not in reached:
                    reached.add(after)
                    waiting.append(after)


def ordered(documents: Sequence[Any]) -> Ordered:
    """Return the order of documents: each comes after those that it refers to.

    A reference to a group waits for everything below it too: those are its members. Stores come first: they bring the
    labels that expressions use. Documents that refer to each other in a circle keep their usual order; the service that
    decides about them names the circle.
    """
    named = [names_of(document) for document in documents]
    services = [DECIDED_BY.get(kind, _FIRST_SERVICE) for kind, _ in named]
    ranks = [(_RANK.get(kind, 0), name, index) for index, (kind, name) in enumerate(named)]
    edges = _edges(documents, named, parents_first=True)
    placed = _sorted(edges, ranks, services)
    if len(placed) < len(documents):
        edges = _edges(documents, named, parents_first=False)
        placed = _sorted(edges, ranks, services)
    seen = set(placed)
    rest = sorted(rank for rank in ranks if rank[2] not in seen)
    return Ordered([*placed, *(rank[2] for rank in rest)], services, edges)


def _references(document: Mapping[str, Any]) -> Iterator[_Node]:
    """Yield what a document needs to exist: what its kind refers to, and what its expressions name."""
    kind = BY_DOCUMENT.get(names_of(document)[0])
    if kind is None:
        return
    for path, referred in kind.refers.items():
        yield from ((referred, name) for name in texts_at(document, path))
    for path in kind.expressions:
        for expression in texts_at(document, path):
            for letter, name in _REFERENCE.findall(_QUOTED.sub(" ", expression)):
                what = _OF_LETTER[letter]
                yield what, name.strip("/") if what == _BELOW else name


def provides(document: Mapping[str, Any], kind: str, name: str) -> Iterator[_Node]:
    """Yield what a document declares or completes: itself, the clusters in it, the membership of a path."""
    yield kind, name
    registered = BY_DOCUMENT.get(kind)
    if registered is None:
        return
    if registered.clusters:
        yield from ((_CLUSTER, each) for each in list(texts_at(document, registered.clusters)) or [name])
    if registered.is_path:
        yield _BELOW, name


def _ancestors(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _edges(documents: Sequence[Any], named: Sequence[tuple[str, str]], *, parents_first: bool) -> Edges:
    """Return for each document, and each thing in between, the documents that wait for it."""
    edges: dict[int | _Node, set[int | _Node]] = defaultdict(set)
    known = [
        (index, document, kind, name)
        for index, (document, (kind, name)) in enumerate(zip(documents, named, strict=True))
        if kind and name
    ]
    for index, document, kind, name in known:
        for node in provides(document, kind, name):
            edges[index].add(node)
        if kind in BY_DOCUMENT and BY_DOCUMENT[kind].is_path:
            step = name
            for above in _ancestors(name):
                edges[_BELOW, step].add((_BELOW, above))
                if parents_first:
                    edges[kind, above].add(index)
                step = above
    for index, document, _, name in known:
        for node in _references(document):
            if node != (_BELOW, name):
                edges[node].add(index)
    return edges


class _Ready:
    """The documents that no longer wait for anything; those of the service that decided last go first."""

    def __init__(self) -> None:
        self._of: dict[str, list[Rank]] = defaultdict(list)
        self._service = ""

    def add(self, service: str, rank: Rank) -> None:
        heapq.heappush(self._of[service], rank)

    def __bool__(self) -> bool:
        return any(self._of.values())

    def take(self) -> int:
        if not self._of[self._service]:
            self._service = min((ranks[0], service) for service, ranks in self._of.items() if ranks)[1]
        return heapq.heappop(self._of[self._service])[2]


def _sorted(edges: Edges, ranks: Sequence[Rank], services: Sequence[str]) -> list[int]:
    """Return the documents that can be placed, by Kahn's algorithm; equal ones in the order of kind and name."""
    waiting: dict[int | _Node, int] = defaultdict(int)
    for waiters in edges.values():
        for node in waiters:
            waiting[node] += 1
    ready = _Ready()
    for index, rank in enumerate(ranks):
        if not waiting[index]:
            ready.add(services[index], rank)
    free: list[_Node] = [node for node in edges if isinstance(node, tuple) and not waiting[node]]
    placed: list[int] = []
    while free or ready:
        done: int | _Node = free.pop() if free else ready.take()
        if isinstance(done, int):
            placed.append(done)
        for after in edges.get(done, ()):
            waiting[after] -= 1
            if waiting[after]:
                continue
            if isinstance(after, int):
                ready.add(services[after], ranks[after])
            else:
                free.append(after)
    return placed
