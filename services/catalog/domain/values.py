"""Values of a configuration layer: JSON within bounds.

Accepted values can be kept in an event, merged and rendered without any further limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from libs.contracts.names import escape
from libs.contracts.refusals import Invalid

VALUES_BYTES_MAX = 64 * 1024
_VALUES_DEPTH_MAX = 16
_KEY_CHARACTERS_MAX = 253
_INTEGER_MAX = 2**63 - 1


def check_values(values: Mapping[str, Any], pointer: str) -> None:
    """Refuse values that are not JSON, too deep or too large; `null` is allowed, it removes a key.

    Raises:
        Invalid: with the pointer of the value.
    """
    _check(values, pointer, 1)
    if len(msgspec.json.encode(values)) > VALUES_BYTES_MAX:
        raise Invalid(
            f"the values are larger than {VALUES_BYTES_MAX // 1024} KiB",
            pointer=pointer,
            fix="split them into several configurations",
        )


def _check(value: Any, pointer: str, depth: int) -> None:
    if depth > _VALUES_DEPTH_MAX + 1:
        raise Invalid(f"the values nest deeper than {_VALUES_DEPTH_MAX} levels", pointer=pointer)
    if isinstance(value, list):
        for index, each in enumerate(value):
            _check(each, f"{pointer}/{index}", depth + 1)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str) or not 0 < len(key) <= _KEY_CHARACTERS_MAX:
                raise Invalid(f"a key is text of 1 to {_KEY_CHARACTERS_MAX} characters", pointer=pointer)
            _check_text(key, pointer)
            _check(each, f"{pointer}/{escape(key)}", depth + 1)
    else:
        _check_scalar(value, pointer)


def _check_scalar(value: Any, pointer: str) -> None:
    match value:
        case bool() | None:
            return
        case str():
            _check_text(value, pointer)
        case int():
            if not -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX:
                raise Invalid("an integer must fit into 64 bits", pointer=pointer, fix="write it as text")
        case float():
            if not math.isfinite(value):
                raise Invalid("a number must be finite", pointer=pointer)
        case _:
            raise Invalid("values must be text, numbers, true, false, null, lists or maps", pointer=pointer)


def _check_text(text: str, pointer: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("the text holds half of a surrogate pair", pointer=pointer) from None
