"""For every history of changes, the index answers as a scan of the facts does, and says exactly what changed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from libs.selection import Expression, ReferenceCycle, Selection, canonical, canonicalise, parse
from libs.selection import expression as ex

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

CLUSTERS = [f"{state}-{number}" for state in ("tx", "ny") for number in range(5)]
SETTLED_FLEET = [f"c-{number}" for number in range(90)]  # so that a few changes are a small part
STORES = ["austin", "boston", "cairo"]
KEYS = ["size", "lanes", "grill", "and"]
VALUES = ["large", "xl", "2", "10", "-0.5", "a b", "none"]
PATHS = ["/geo", "/geo/us", "/geo/us/tx", "/geo/us/ny", "/mkt", "/mkt/x"]
NAMESPACES = ["pos", "kds"]
SAVED: list[Hashable] = ["one", ("two", 2)]


def naive_like(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive_like(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and naive_like(pattern[1:], text[1:])


@dataclass
class Naive:
    """The facts, and every question answered by looking at all of them."""

    clusters: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    groups: dict[str, tuple[list[str], list[str], Expression | None]] = field(default_factory=dict)
    namespaces: dict[str, Expression] = field(default_factory=dict)
    saved: dict[Hashable, Expression] = field(default_factory=dict)
    ever: list[str] = field(default_factory=list)
    memo: dict[tuple[str, str], bool] = field(default_factory=dict)

    def copy(self) -> Naive:
        return Naive(dict(self.clusters), dict(self.groups), dict(self.namespaces), dict(self.saved), [*self.ever])

    def select(self, expression: Expression) -> set[str]:
        return {name for name in self.clusters if self.holds(expression, name)}

    def holds(self, expression: Expression, name: str) -> bool:  # noqa: C901, PLR0911, PLR0912  (one case per term)
        store, labels = self.clusters[name]
        del store

        def values(key: str) -> list[str]:
            value = labels.get(key, [])
            return [value] if isinstance(value, str) else value

        match expression:
            case ex.Nothing():
                return False
            case ex.Everything():
                return True
            case ex.InGroup(path):
                return self.in_group(path, name)
            case ex.InNamespace(namespace):
                return namespace in self.namespaces and self.holds(self.namespaces[namespace], name)
            case ex.Named(names):
                return name in names
            case ex.NameLike(pattern):
                return naive_like(pattern, name)
            case ex.Labelled(key, wanted):
                return any(value in wanted for value in values(key))
            case ex.HasLabel(key):
                return bool(values(key))
            case ex.Compared(key, operator, number):
                numbers = [Decimal(v) for v in values(key) if re.fullmatch(r"-?\d+(\.\d+)?", v)]
                compare: Callable[[Decimal, Decimal], bool] = {
                    ">=": Decimal.__ge__,
                    "<=": Decimal.__le__,
                    ">": Decimal.__gt__,
                    "<": Decimal.__lt__,
                }[operator]
                return any(compare(value, Decimal(number)) for value in numbers)
            case ex.LabelLike(key, pattern):
                return any(naive_like(pattern, value) for value in values(key))
            case ex.Not(operand):
                return not self.holds(operand, name)
            case ex.And(operands):
                return all(self.holds(operand, name) for operand in operands)
            case ex.Or(operands):
                return any(self.holds(operand, name) for operand in operands)

    def in_group(self, path: str, name: str) -> bool:
        if (path, name) not in self.memo:
            self.memo[path, name] = any(
                name in clusters
                or self.clusters[name][0] in stores
                or (expression is not None and self.holds(expression, name))
                for other, (clusters, stores, expression) in self.groups.items()
                if other == path or other.startswith(f"{path}/")
            )
        return self.memo[path, name]


patterns = st.text("tx*?-12ae", max_size=5)
terms: st.SearchStrategy[Expression] = st.one_of(
    st.just(ex.Nothing()),
    st.just(ex.Everything()),
    st.sampled_from(PATHS).map(ex.InGroup),
    st.sampled_from(NAMESPACES).map(ex.InNamespace),
    st.lists(st.sampled_from(CLUSTERS), min_size=1, max_size=3).map(lambda names: ex.Named(tuple(names))),
    patterns.map(ex.NameLike),
    st.builds(
        ex.Labelled, st.sampled_from(KEYS), st.lists(st.sampled_from(VALUES), min_size=1, max_size=10).map(tuple)
    ),
    st.sampled_from(KEYS).map(ex.HasLabel),
    st.builds(
        ex.Compared, st.sampled_from(KEYS), st.sampled_from([">=", "<=", ">", "<"]), st.sampled_from(["2", "-1", "9.5"])
    ),
    st.builds(ex.LabelLike, st.sampled_from(KEYS), patterns),
)


def combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    operands = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.one_of(inner.map(ex.Not), operands.map(ex.And), operands.map(ex.Or))


expressions = st.recursive(terms, combined, max_leaves=8)
labels = st.dictionaries(
    st.sampled_from(KEYS), st.one_of(st.sampled_from(VALUES), st.lists(st.sampled_from(VALUES), max_size=3)), max_size=4
)
changes = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(CLUSTERS), st.sampled_from(STORES), labels),
    st.tuples(st.just("put"), st.sampled_from(CLUSTERS), st.sampled_from(STORES), labels),
    st.tuples(st.just("put"), st.sampled_from(CLUSTERS), st.sampled_from(STORES), labels),
    st.tuples(st.just("drop"), st.sampled_from(CLUSTERS)),
    st.tuples(
        st.just("group"),
        st.sampled_from(PATHS),
        st.lists(st.sampled_from(CLUSTERS), max_size=3),
        st.lists(st.sampled_from(STORES), max_size=1),
        st.none() | expressions,
    ),
    st.tuples(st.just("drop_group"), st.sampled_from(PATHS)),
    st.tuples(st.just("namespace"), st.sampled_from(NAMESPACES), expressions),
    st.tuples(st.just("drop_namespace"), st.sampled_from(NAMESPACES)),
    st.tuples(st.just("save"), st.sampled_from(SAVED), expressions),
    st.tuples(st.just("forget"), st.sampled_from(SAVED)),
    st.tuples(st.just("save"), st.sampled_from(SAVED), expressions),
    st.tuples(st.just("settle")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("read"), expressions),
    st.tuples(st.just("fork")),
    st.tuples(st.just("back")),
    st.tuples(st.just("reload")),
)


def apply(change: tuple[Any, ...], index: Selection, naive: Naive) -> None:  # noqa: C901  (one case per kind of change)
    naive.memo.clear()
    match change:
        case "put", name, store, given_labels:
            index.put_cluster(name, store, given_labels)
            naive.clusters[name] = (store, given_labels)
            if name not in naive.ever:
                naive.ever.append(name)
        case "drop", name:
            index.drop_cluster(name)
            naive.clusters.pop(name, None)
        case "group", path, clusters, stores, expression:
            try:
                index.put_group(path, clusters, stores, expression)
            except ReferenceCycle:
                return
            naive.groups[path] = (clusters, stores, expression)
        case "drop_group", path:
            index.drop_group(path)
            naive.groups.pop(path, None)
        case "namespace", name, expression:
            try:
                index.put_namespace(name, expression)
            except ReferenceCycle:
                return
            naive.namespaces[name] = expression
        case "drop_namespace", name:
            index.drop_namespace(name)
            naive.namespaces.pop(name, None)
        case "save", key, expression:
            index.save(key, expression)
            naive.saved[key] = expression
        case "forget", key:
            index.forget(key)
            naive.saved.pop(key, None)
        case "read", expression:
            assert named(index, index.select(expression)) == naive.select(expression)


def named(index: Selection, clusters: BitMap) -> set[str]:
    return {index.name(ordinal) for ordinal in clusters}


def agree(index: Selection, naive: Naive) -> None:
    naive.memo.clear()
    assert named(index, index.everything) == set(naive.clusters)
    assert [index.name(ordinal) for ordinal in range(index.size)] == naive.ever
    for path in PATHS:
        assert index.group_exists(path) == any(p == path or p.startswith(f"{path}/") for p in naive.groups)
        assert named(index, index.members(path)) == {n for n in naive.clusters if naive.in_group(path, n)}, path
    for name in NAMESPACES:
        wanted = naive.select(naive.namespaces[name]) if name in naive.namespaces else set()
        assert named(index, index.namespace_members(name)) == wanted
    for key in SAVED:
        assert named(index, index.saved(key)) == (naive.select(naive.saved[key]) if key in naive.saved else set())
    for name, (store, declared) in naive.clusters.items():
        ordinal = index.ordinal(name)
        assert ordinal is not None
        assert index.store_of(ordinal) == store
        kept = {k: v if isinstance(v, str) else tuple(dict.fromkeys(v)) for k, v in declared.items() if v != []}
        assert index.labels_of(ordinal) == kept
    every = [index.labels_of(ordinal) for ordinal in range(index.size)]
    for key in KEYS:
        codes, values = index.column(key)
        assert [values[code] for code in codes] == [held.get(key) for held in every]


@dataclass
class Settled:
    """What an observer of `settle` knew: it must be able to follow by the changes alone."""

    saved: dict[Hashable, BitMap]
    labels: list[dict[str, Any]]
    clusters: dict[int, str]

    @classmethod
    def of(cls, index: Selection) -> Settled:
        live = {ordinal: index.store_of(ordinal) for ordinal in index.everything}
        every = [index.labels_of(ordinal) for ordinal in range(index.size)]
        return cls({key: index.saved(key).copy() for key in SAVED}, every, live)


def settle(index: Selection, before: Settled) -> Settled:
    told = index.settle()
    after = Settled.of(index)
    assert told.saved == {k: before.saved[k] ^ after.saved[k] for k in SAVED if before.saved[k] != after.saved[k]}
    for ordinal, now in enumerate(after.labels):
        was = before.labels[ordinal] if ordinal < len(before.labels) else {}
        for key in KEYS:
            if was.get(key) != now.get(key):
                assert ordinal in told.labels[key]
    moved = {o for o in {*before.clusters, *after.clusters} if before.clusters.get(o) != after.clusters.get(o)}
    assert moved <= set(told.clusters)
    again = index.settle()
    assert (again.saved, again.labels, again.clusters) == ({}, {}, BitMap())
    return after


def populate(index: Selection, naive: Naive, random: Random) -> None:
    for name in SETTLED_FLEET:
        values: dict[str, Any] = {key: random.choice(VALUES) for key in KEYS if random.random() < 0.7}
        if random.random() < 0.3:
            values["grill"] = random.sample(VALUES, 2)
        apply(("put", name, random.choice(STORES), values), index, naive)


@given(st.lists(changes, max_size=30), st.integers(0, 99))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_history_answers_as_a_scan_does(history: list[tuple[Any, ...]], seed: int) -> None:
    index, naive = Selection(), Naive()
    if seed:
        populate(index, naive, Random(seed))
        index.settle()
    known = Settled.of(index)
    others: list[tuple[Selection, Naive, Settled]] = []
    for change in history:
        match change:
            case ("settle",):
                known = settle(index, known)
            case ("fork",):
                others.append((index, naive, known))
                index, naive = index.fork(), naive.copy()
            case ("back",) if others:
                others.insert(0, (index, naive, known))
                index, naive, known = others.pop()
            case ("reload",):
                index = Selection.load(index.dump())
            case _:
                apply(change, index, naive)
    for each, facts, knew in [*others, (index, naive, known)]:
        agree(each, facts)
        settle(each, knew)


@given(expressions)
@settings(max_examples=300, deadline=None)
def test_every_canonical_form_is_a_fixpoint(expression: Expression) -> None:
    text = canonical(expression)

    assert parse(text) == canonicalise(expression)
    assert canonical(parse(text)) == text
    assert canonicalise(canonicalise(expression)) == canonicalise(expression)
