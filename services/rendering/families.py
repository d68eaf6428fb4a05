"""From a part of the target to the Git blobs of its variants: rendered and hashed once for each distinct variant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from libs.gittree import Column, Family
from libs.templates import Unresolved
from services.rendering.inputs import Coded, distinct
from services.rendering.target import constants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from libs.templates import Input, Slot
    from services.rendering.target import Part


def family_of(part: Part) -> tuple[Family, NDArray[np.int32] | None]:
    """Return the distinct variants of a part as blobs, and each cluster's code into them.

    No codes means that every cluster has a variant of its own, in the order of `part.among`.

    Raises:
        Unresolved: a value is missing (the target refuses such clusters before they come here).
    """
    codes: NDArray[np.int32] | None = None
    rows = np.arange(len(part.among))
    if not any(coded.own for coded in part.inputs.values()):
        rows, codes = distinct([part.variants[:, 0], part.variants[:, 1]])
    fixed = constants(part)
    parts: list[bytes] = []
    columns: list[Column] = []
    pending = b""
    for segment, slot in zip(part.template.segments, part.template.slots, strict=False):
        column = _column(slot, part.inputs, fixed, rows)
        if isinstance(column, bytes):
            pending += segment + column
        else:
            parts.append(pending + segment)
            columns.append(column)
            pending = b""
    parts.append(pending + part.template.segments[-1])
    return Family("blob", tuple(parts), tuple(columns), len(rows)), codes


def _column(
    slot: Slot, inputs: Mapping[Input, Coded], fixed: Mapping[Input, Any], rows: NDArray[np.int64]
) -> Column | bytes:
    varying = [each for each in slot.inputs if each in inputs]
    if not varying:
        return slot.encode([fixed[each] for each in slot.inputs])
    codes = [inputs[each].codes[rows] for each in varying]
    if len(varying) == 1 and inputs[varying[0]].own:
        return Column(_encoded(slot, inputs, fixed, varying, codes))
    if len(varying) == 1:
        used, inverse = np.unique(codes[0], return_inverse=True)
        values = _encoded(slot, inputs, fixed, varying, [used.astype(np.int32)])
        return Column(values, inverse.reshape(-1).astype(np.int32))
    if any(inputs[each].own for each in varying):
        return Column(_encoded(slot, inputs, fixed, varying, codes))
    first, inverse = distinct(codes)
    return Column(_encoded(slot, inputs, fixed, varying, [each[first] for each in codes]), inverse)


def _encoded(
    slot: Slot,
    inputs: Mapping[Input, Coded],
    fixed: Mapping[Input, Any],
    varying: list[Input],
    codes: list[NDArray[np.int32]],
) -> list[bytes]:
    """Return the slot's bytes for each row of codes."""
    columns = []
    for each in slot.inputs:
        if each in inputs:
            values = inputs[each].values
            columns.append([values[code] for code in codes[varying.index(each)].tolist()])
        else:
            columns.append([fixed[each]] * len(codes[0]))
    return [_bytes(each) for each in slot.encode_many(list(zip(*columns, strict=True)))]


def _bytes(written: bytes | Unresolved) -> bytes:
    if isinstance(written, Unresolved):
        raise written
    return written
