"""Configuration layers: which values an application gets on a cluster, and which layer gave each of them.

Layers apply by ascending rank (specificity, priority). Maps merge, `null` removes a key, any other value replaces (as
RFC 7396 merge patches). Two layers of one rank that set a key differently conflict: no order between them has meaning.
Values are never changed in place; merged maps may share parts with the layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libs.contracts.names import pointer_of
from libs.templates.placeholders import MISSING, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """Values by the name of who gives them; `rank` is (specificity, priority), the higher wins."""

    name: str
    rank: tuple[int, int]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome; `origins` names for the JSON pointer of every leaf (a list is one) the layer that gave it."""

    values: Values
    origins: dict[str, str]


@dataclass(frozen=True, slots=True)
class Conflict:
    """`key` (dotted) is set differently by `layers`, which have one rank."""

    key: str
    layers: tuple[str, ...]


def _in_order(layers: Iterable[Layer]) -> list[Layer]:
    """Return `layers` lowest first; the name decides between equal ranks, where it cannot matter."""
    return sorted(layers, key=lambda layer: (layer.rank, layer.name))


def merge_values(layers: Iterable[Layer]) -> Values:
    """Return the merged values of `layers`, without their origins."""
    values: Values = {}
    for layer in _in_order(layers):
        values = _patched(values, layer.values)
    return values


def merge_layers(layers: Iterable[Layer]) -> Merged:
    """Return the merged values of `layers` and where each came from."""
    ordered = _in_order(layers)
    values: Values = {}
    origins: Values = {}
    for layer in ordered:
        values = _patched(values, layer.values)
        origins = _patched(origins, _owned(layer.values, layer.name))
    found: dict[str, str] = {}
    _collect(values, origins, (), found)
    return Merged(values, found)


def conflicts(layers: Sequence[Layer]) -> list[Conflict]:
    """Return the keys that layers of equal rank set differently, in the order of the keys."""
    by_rank: dict[tuple[int, int], list[Layer]] = {}
    for layer in _in_order(layers):
        by_rank.setdefault(layer.rank, []).append(layer)
    found: list[Conflict] = []
    for peers in by_rank.values():
        if len(peers) > 1:
            _compare([(peer.name, peer.values) for peer in peers], (), found)
    return sorted(found, key=lambda conflict: (conflict.key, conflict.layers))


def lookup(values: Mapping[str, Any], path: str) -> Any | Missing:
    """Return what stands at the dotted `path` (`tax.rate`), or `MISSING`."""
    found: Any = values
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            return MISSING
        found = found[key]
    return found


def _patched(base: Mapping[str, Any], patch: Mapping[str, Any]) -> Values:
    patched = dict(base)
    for key, value in patch.items():
        if value is None:
            patched.pop(key, None)
        elif isinstance(value, dict):
            below = patched.get(key)
            patched[key] = _patched(below if isinstance(below, dict) else {}, value)
        else:
            patched[key] = value
    return patched


def _owned(values: Mapping[str, Any], name: str) -> Values:
    """Return `values` with `name` instead of every leaf, so that origins merge by the same rules as values."""
    return {
        key: _owned(value, name) if isinstance(value, dict) else (None if value is None else name)
        for key, value in values.items()
    }


def _collect(values: Values, origins: Values, path: tuple[str, ...], found: dict[str, str]) -> None:
    for key, value in values.items():
        owner = origins[key]
        if isinstance(value, dict):
            _collect(value, owner, (*path, key), found)
        else:
            found[pointer_of((*path, key))] = owner


def _compare(peers: list[tuple[str, Any]], path: tuple[str, ...], found: list[Conflict]) -> None:
    """Compare maps that several layers of one rank set at `path`."""
    setters: dict[str, list[tuple[str, Any]]] = {}
    for name, values in peers:
        for key, value in values.items():
            setters.setdefault(key, []).append((name, value))
    for key, given in setters.items():
        if len(given) == 1:
            continue
        if all(isinstance(value, dict) for _, value in given):
            _compare(given, (*path, key), found)
        elif not all(same(value, given[0][1]) for _, value in given[1:]):
            found.append(Conflict(".".join((*path, key)), tuple(name for name, _ in given)))


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal and of the same types: 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
