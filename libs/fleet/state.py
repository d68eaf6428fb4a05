"""The parts of a model in memory, declared once: how each begins, is forked, and goes into a snapshot.

The one rule: a model has no attribute besides its parts (its `__slots__` are made from them), so that neither a fork
nor a snapshot can leave one out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_origin

import msgspec
import numpy as np
from pyroaring import BitMap

from libs.contracts import Event, decode, encode, type_name
from libs.fleet.columns import Codes, Extent, FleetColumn, filled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Part:
    """One attribute of a model.

    `begin` makes it for a new model, `fork` copies it so that neither side sees what the other changes, `dump` returns
    it as msgpack takes it, `load` takes that back. The extent is that of the model which the result belongs to.
    """

    begin: Callable[[Extent], Any]
    fork: Callable[[Any, Extent], Any]
    dump: Callable[[Any], Any]
    load: Callable[[Any, Extent], Any]


Parts = Mapping[str, Part]


def dump_parts(model: object, parts: Parts) -> dict[str, Any]:
    """Return all parts of a model as plain values."""
    return {name: part.dump(getattr(model, name)) for name, part in parts.items()}


def load_parts(model: object, parts: Parts, plain: Mapping[str, Any], extent: Extent) -> None:
    """Set all parts of a model.

    Raises:
        KeyError: a part is missing; the model may have been changed in part.
    """
    for name, part in parts.items():
        setattr(model, name, part.load(plain[name], extent))


def begin_parts(model: object, parts: Parts, extent: Extent) -> None:
    """Set all parts of a new model."""
    for name, part in parts.items():
        setattr(model, name, part.begin(extent))


def fork_parts(model: object, twin: object, parts: Parts, extent: Extent) -> None:
    """Set all parts of `twin` to copies of the model's."""
    for name, part in parts.items():
        setattr(twin, name, part.fork(getattr(model, name), extent))


# --- kinds of parts --------------------------------------------------------------------------------------------------


def value(begin: Any, dump: Callable[[Any], Any] = lambda it: it, load: Callable[[Any], Any] = lambda it: it) -> Part:
    """Return a part that is never changed in place: a number, text, a frozen thing."""
    return Part(lambda _: begin, lambda it, _: it, dump, lambda it, _: load(it))


def never(*_: Any) -> Any:
    """Stand in for the fork of a model that is not forked."""
    raise NotImplementedError("this model is not forked")


def made(
    make: Callable[[], Any],
    dump: Callable[[Any], Any],
    load: Callable[[Any], Any],
    fork: Callable[[Any], Any] = never,
) -> Part:
    """Return a part with a state of its own, which knows how to fork itself."""
    return Part(lambda _: make(), lambda it, _: fork(it), dump, lambda it, _: load(it))


def remembered(make: Callable[[], Any], fork: Callable[[Any], Any] | None = None) -> Part:
    """Return a part that is only a cache: it may begin empty at any time."""
    return Part(
        lambda _: make(),
        lambda it, _: make() if fork is None else fork(it),
        lambda _: None,
        lambda _, __: make(),
    )


def mapping(dump: Callable[[dict[Any, Any]], Any], load: Callable[[Any], dict[Any, Any]]) -> Part:
    """Return a dictionary whose values are never changed in place."""
    return Part(lambda _: {}, lambda it, _: dict(it), dump, lambda it, _: load(it))


def typed(kind: Any, fork: Callable[[Any], Any] = never) -> Part:
    """Return a dataclass, or a container of them, that goes into a snapshot field by field, as its annotations say."""
    return Part(
        lambda _: kind(),
        lambda it, _: fork(it),
        lambda it: msgspec.json.encode(it, enc_hook=_plain),
        lambda plain, _: msgspec.json.decode(plain, type=kind, dec_hook=_typed),
    )


def copied(it: Any) -> Any:
    """Return a copy of a dataclass whose dictionaries, lists and sets hold nothing that is changed in place.

    Fields that are not arguments of its constructor are caches, and begin empty.
    """
    kept = {each.name: getattr(it, each.name) for each in fields(it) if each.init}
    return type(it)(
        **{name: each.copy() if isinstance(each, dict | list | set | BitMap) else each for name, each in kept.items()}
    )


def _plain(it: Any) -> Any:
    if isinstance(it, BitMap):
        return bytes(it.serialize())
    if isinstance(it, np.ndarray):
        return [it.dtype.str, it.tobytes()]
    raise NotImplementedError(f"a snapshot cannot hold {type(it).__name__}")


def _typed(kind: Any, plain: Any) -> Any:
    if kind is BitMap:
        return BitMap.deserialize(base64.b64decode(plain))
    if get_origin(kind) is np.ndarray:
        name, data = plain
        return np.frombuffer(base64.b64decode(data), name).copy()
    raise NotImplementedError(f"a snapshot cannot hold {kind}")


def whole(make: Callable[[Extent], Any], parts: Parts) -> Part:
    """Return a model inside the model, of the same extent, which has parts of its own."""

    def fork(it: Any, extent: Extent) -> Any:
        twin = make(extent)
        fork_parts(it, twin, parts, extent)
        return twin

    def load(plain: Any, extent: Extent) -> Any:
        loaded = make(extent)
        load_parts(loaded, parts, plain, extent)
        return loaded

    return Part(make, fork, lambda it: dump_parts(it, parts), load)


def events_by(key: Callable[[Any], Any]) -> Part:
    """Return a dictionary of events, each under what `key` reads from it."""
    return mapping(
        lambda known: [plain_event(each) for each in known.values()],
        lambda plain: {key(each): each for each in (_event_of(*said) for said in plain)},
    )


def column(dtype: Any, *, width: int = 0, fill: Any = 0) -> Part:
    """Return a column over the model's ordinals."""
    return Part(
        lambda extent: FleetColumn(extent, dtype, width=width, fill=fill),
        lambda it, extent: it.copy(extent),
        plain_column,
        column_of,
    )


def columns() -> Part:
    """Return columns by name, created on demand."""
    return Part(
        lambda _: {},
        lambda it, extent: {name: each.copy(extent) for name, each in it.items()},
        lambda it: {name: plain_column(each) for name, each in it.items()},
        columns_of,
    )


def codes() -> Part:
    """Return names for dense integers."""
    return made(Codes, lambda it: it.names, Codes, lambda it: it.copy())


# --- plain values ----------------------------------------------------------------------------------------------------


def plain_event(event: Event) -> tuple[str, bytes]:
    """Return an event as its type and bytes."""
    return type_name(event), encode(event)


def _event_of(name: str, data: bytes) -> Any:
    """Return the event that `plain_event` wrote."""
    return decode(name, data)


def plain_column(it: FleetColumn) -> dict[str, Any]:
    """Return a column as msgpack takes it; for a mostly empty one, only the written rows."""
    values = it.values
    plain = {"type": values.dtype.str, "shape": values.shape, "fill": it.fill, "rows": None}
    if np.count_nonzero(_written(values[::_SAMPLED], it.fill)) * 2 * _SAMPLED < len(values):
        rows = np.flatnonzero(_written(values, it.fill))
        return {**plain, "rows": rows.astype(np.uint32).tobytes(), "bytes": values[rows].tobytes()}
    return {**plain, "bytes": values.tobytes()}


_SAMPLED = 61
"""A sample of the rows decides whether a column is mostly empty: most columns are full, and need no full scan."""


def _written(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    written: NDArray[np.bool_] = values != fill
    return written if written.ndim == 1 else np.any(written, axis=1)


def column_of(plain: Mapping[str, Any], extent: Extent) -> FleetColumn:
    """Return the column that `plain_column` wrote."""
    read: NDArray[Any] = np.frombuffer(plain["bytes"], plain["type"]).reshape(-1, *plain["shape"][1:])
    if plain["rows"] is None:
        return FleetColumn.of(extent, read.copy(), plain["fill"])
    values = filled(tuple(plain["shape"]), plain["fill"], read.dtype)
    values[np.frombuffer(plain["rows"], np.uint32)] = read
    return FleetColumn.of(extent, values, plain["fill"])


def columns_in(it: Any) -> dict[str, FleetColumn]:
    """Return the columns among the fields of a dataclass, by name."""
    found = {each.name: getattr(it, each.name) for each in fields(it)}
    return {name: each for name, each in found.items() if isinstance(each, FleetColumn)}


def plain_columns(it: Any) -> dict[str, Any]:
    """Return the columns of a dataclass as msgpack takes them."""
    return {name: plain_column(each) for name, each in columns_in(it).items()}


def columns_of(plain: Mapping[str, Any], extent: Extent) -> dict[str, FleetColumn]:
    """Return what `plain_columns` wrote."""
    return {name: column_of(each, extent) for name, each in plain.items()}


def plain_bitmap(members: BitMap) -> bytes:
    """Return a set as bytes."""
    return bytes(members.serialize())
