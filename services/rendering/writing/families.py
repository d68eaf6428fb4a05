"""Renders a part of the target as Git blobs: each distinct variant is rendered and hashed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from libs.fleet import compact, distinct
from libs.gittree import Family, SlotColumn
from libs.templates import Unresolved
from services.rendering.target.inputs import Coded
from services.rendering.target.target import constants
from services.rendering.turns import pause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from libs.templates import Input, Slot
    from services.rendering.target.target import TargetPart


INLINE_OBJECTS_MAX = 200
"""A family of at most so many is written directly, without a task of its own."""


async def family_of(part: TargetPart) -> tuple[Family, NDArray[np.int32] | None]:
    """Return the distinct variants of a part as blobs, and each cluster's code into them.

    No codes means that every cluster has a variant of its own, in the order of `part.among`.

    Raises:
        Unresolved: a value is missing (the target refuses such clusters before they come here).
    """
    codes: NDArray[np.int32] | None = None
    rows = np.arange(len(part.among))
    if not any(coded.own for coded in part.inputs.values()):
        rows, codes = distinct([coded.codes for coded in part.inputs.values()], len(part.among))
    fixed = constants(part)
    parts: list[bytes] = []
    columns: list[SlotColumn] = []
    pending = b""
    for segment, slot in zip(part.template.segments, part.template.slots, strict=False):
        column = _column(slot, part.inputs, fixed, rows)
        if isinstance(column, bytes):
            pending += segment + column
        else:
            parts.append(pending + segment)
            columns.append(column)
            pending = b""
            if len(rows) > INLINE_OBJECTS_MAX:
                await pause()
    parts.append(pending + part.template.segments[-1])
    return Family("blob", tuple(parts), tuple(columns), len(rows)), codes


def _column(
    slot: Slot, inputs: Mapping[Input, Coded], fixed: Mapping[Input, Any], rows: NDArray[np.int64]
) -> SlotColumn | bytes:
    varying = [each for each in slot.inputs if each in inputs]
    if not varying:
        return slot.encode([fixed[each] for each in slot.inputs])
    codes = [inputs[each].codes[rows] for each in varying]
    if len(varying) == 1 and inputs[varying[0]].own:
        return SlotColumn(_encoded(slot, inputs, fixed, varying, codes))
    if len(varying) == 1:
        used, places = compact(codes[0])
        return SlotColumn(_encoded(slot, inputs, fixed, varying, [used]), places)
    if any(inputs[each].own for each in varying):
        return SlotColumn(_encoded(slot, inputs, fixed, varying, codes))
    first, places = distinct(codes, len(rows))
    return SlotColumn(_encoded(slot, inputs, fixed, varying, [each[first] for each in codes]), places)


def _encoded(
    slot: Slot,
    inputs: Mapping[Input, Coded],
    fixed: Mapping[Input, Any],
    varying: list[Input],
    codes: list[NDArray[Any]],
) -> list[bytes]:
    """Return the slot's bytes for each row of codes."""
    columns = []
    for each in slot.inputs:
        if each in inputs:
            values = inputs[each].values
            columns.append([values[code] for code in codes[varying.index(each)].tolist()])
        else:
            columns.append([fixed[each]] * len(codes[0]))
    written = slot.encode_many(list(zip(*columns, strict=True)))
    for unresolved in written:
        if isinstance(unresolved, Unresolved):
            raise unresolved
    return cast("list[bytes]", written)
