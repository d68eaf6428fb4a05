"""Cluster names ↔ ordinals, and the store of each cluster.

A name keeps its ordinal for ever, and an ordinal never gets another name; both are given in the order of first sight.
"""

from __future__ import annotations

from bisect import bisect_left

from pyroaring import BitMap

from libs.selection.glob import fixed_prefix, glob

_PATTERNS_MAX = 1024


class Names:
    """Everything by ordinal or name; shared between forks until one of them writes."""

    __slots__ = ("_matched", "_shared", "_sorted", "of_store", "ordinals", "stores", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.ordinals: dict[str, int] = {}
        self.stores: list[str] = []
        self.of_store: dict[str, tuple[int, ...]] = {}
        self._matched: dict[str, tuple[int, BitMap]] = {}
        self._sorted: list[str] = []
        self._shared = False

    def fork(self) -> Names:
        """Return a copy that shares everything until either side writes."""
        other = Names()
        other.texts, other.ordinals, other.stores, other.of_store = (
            self.texts,
            self.ordinals,
            self.stores,
            self.of_store,
        )
        other._matched, other._sorted = self._matched.copy(), self._sorted
        other._shared = self._shared = True
        return other

    def _own(self) -> None:
        if self._shared:
            self.texts, self.ordinals = self.texts.copy(), self.ordinals.copy()
            self.stores, self.of_store = self.stores.copy(), self.of_store.copy()
            self._shared = False

    def put(self, name: str, store: str) -> tuple[int, str | None]:
        """Return the ordinal of `name` and the store that it was in before, if that is another one or it is new."""
        ordinal = self.ordinals.get(name)
        if ordinal is not None and self.stores[ordinal] == store:
            return ordinal, store
        self._own()
        before: str | None = None
        if store == name:
            store = name  # one text object for both
        if ordinal is None:
            ordinal = len(self.texts)
            self.ordinals[name] = ordinal
            self.texts.append(name)
            self.stores.append(store)
        else:
            before = self.stores[ordinal]
            self.stores[ordinal] = store
            left = tuple(other for other in self.of_store[before] if other != ordinal)
            if left:
                self.of_store[before] = left
            else:
                del self.of_store[before]
        self.of_store[store] = (*self.of_store.get(store, ()), ordinal)
        return ordinal, before

    def in_order(self) -> list[str]:
        """Return all names ever given, sorted."""
        if len(self._sorted) != len(self.texts):
            self._sorted = sorted(self.texts)
        return self._sorted

    def like(self, pattern: str) -> BitMap:
        """Return the ordinals ever given whose name fits `pattern`; remembered, and extended by new names only."""
        known, found = self._matched.get(pattern, (0, BitMap()))
        if known == len(self.texts):
            return found
        fits = glob(pattern).fullmatch
        if known:
            new = [ordinal for ordinal in range(known, len(self.texts)) if fits(self.texts[ordinal])]
            found = found | BitMap(new) if new else found
        else:
            prefix = fixed_prefix(pattern)
            names = self.in_order()
            start = bisect_left(names, prefix)
            end = bisect_left(names, prefix + "\U0010ffff") if prefix else len(names)
            candidates = names[start:end]
            if pattern != f"{prefix}*":
                candidates = [name for name in candidates if fits(name)]
            found = BitMap([self.ordinals[name] for name in candidates])
        if len(self._matched) >= _PATTERNS_MAX:
            self._matched.clear()
        self._matched[pattern] = (len(self.texts), found)
        return found
