"""A fork and a snapshot of the index hold every attribute of it, down to the last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap

from libs.selection import Selection, parse

BOOKKEEPING = {"_shared", "_owned", "_everything_shown"}
"""What tells a side what it may write in place: it is no content."""

DERIVED = re.compile(r"\._graph|\.(names|labels)\b.*\._")
"""What names and labels make again when it is asked for, and the graph: what it does is compared in histories."""


def filled() -> Selection:
    """An index with something of everything, of which some waits to be settled."""
    index = Selection()
    for number in range(20):
        labels = {"size": "ab"[number % 2], "lanes": str(number), "grill": ["x", "y"]}
        index.put_cluster(f"c-{number}", f"s-{number // 2}", labels)
    index.put_group("/geo/us", ["c-3"], ["s-4"], parse("size = a"))
    index.put_namespace("pos", parse("/g/geo/us and lanes > 3"))
    index.save(("freeze", "f"), parse('grill = x and name like "c-1*"'))
    index.settle()
    assert index.saved(("freeze", "f"))
    index.put_cluster("c-1", "s-9", {"size": "a"})
    index.drop_cluster("c-4")
    index.select(parse("lanes >= 2 and size = b"))
    index.drop_cluster("c-5")  # what nothing has been asked about since
    return index


def inside(it: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all that a thing consists of, by its path."""
    names = [name for base in type(it).__mro__ for name in base.__dict__.get("__slots__", ())]
    if isinstance(it, BitMap | str | int | float) or it is None or not (names or isinstance(it, dict | list)):
        yield path, it
    elif isinstance(it, dict | list):
        yield path, len(it)
        for key, each in it.items() if isinstance(it, dict) else enumerate(it):
            yield from inside(each, f"{path}[{key}]")
    else:
        for name in names:
            if name not in BOOKKEEPING:
                yield from inside(getattr(it, name), f"{path}.{name}")


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


def kept(it: Any) -> Any:
    """Return what a snapshot keeps: codes without the room behind them, the clusters of a store in no order."""
    if isinstance(it, np.ndarray):
        return np.trim_zeros(it, "b")
    return sorted(it) if isinstance(it, tuple) and all(isinstance(each, int) for each in it) else it


@pytest.mark.parametrize("settled", [False, True])
def test_a_fork_holds_every_attribute_of_the_index(settled: bool) -> None:
    index = filled()
    if settled:
        index.settle()
    twin = index.fork()
    mine, forked = dict(inside(index)), dict(inside(twin))

    assert {".names.of_store", ".labels.columns", "._graph.watchers", "._unsettled.moved"} <= mine.keys()
    assert mine.keys() == forked.keys()
    assert [path for path, each in mine.items() if not same(each, forked[path])] == []


def test_a_snapshot_holds_every_attribute_of_the_index() -> None:
    index = filled()
    again = Selection.load(index.dump())
    mine, read = ({path: each for path, each in inside(it) if not DERIVED.match(path)} for it in (index, again))

    assert {".names.of_store", "._unsettled.before", "._unsettled.moved", ".node_members"} <= mine.keys()
    assert mine.keys() == read.keys()
    assert [path for path, each in mine.items() if not same(kept(each), kept(read[path]))] == []
