"""The problem of a change with refused documents.

It lists each of them with the problem that it alone would have, in their order; its own title and detail are those of
the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from libs.access.granting import EVENT
from libs.contracts.documents import names_of
from libs.contracts.problems import Problem

LISTED_MAX = 100
"""Refused documents that an answer lists; it says how many there are."""
EVENT_OF = EVENT


def documents_refused(refused: Mapping[int, Problem], documents: Sequence[Any]) -> Problem:
    """Return the problem; pointers are into the request's body."""
    listed = sorted(refused)[:LISTED_MAX]
    first = refused[listed[0]]
    told = [_told(index, refused[index], documents[index]) for index in listed]
    return replace(
        first,
        pointer=told[0]["pointer"],
        extra={**_extra(first), "document": listed[0], "refused": told, "refused_count": len(refused)},
    )


def _extra(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in problem.extra.items() if key != EVENT}


def _told(index: int, problem: Problem, document: Any) -> dict[str, Any]:
    kind, name = names_of(document)
    said = replace(problem, pointer=f"/documents/{index}{problem.pointer or ''}", extra=_extra(problem)).document("")
    said.pop("request_id", None)
    return {"document": index, "kind": kind, "name": name, **said}
