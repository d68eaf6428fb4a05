"""Kubernetes quantities as exact integers in thousandths of a unit: `100m` is 100, `2` is 2,000, `1Ki` is 1,024,000.

The one rule: no floating point; fractions of a thousandth are rounded up, as Kubernetes does. Source:
k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

from libs.contracts.names import escape
from libs.contracts.numbers import spelled_plainly
from libs.contracts.refusals import Invalid

MILLI_MAX = (2**63 - 1) * 1000
RESOURCE_CHARACTERS_MAX = 253

_QUANTITY = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(n|u|m|k|[MGTPE]i?|Ki|[eE][+-]?[0-9]{1,2})?")
_RESOURCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
_SCALE: dict[str | None, Fraction] = {
    None: Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    **{letter: Fraction(10 ** (3 * power)) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


@lru_cache(maxsize=4096)
def milli(quantity: str) -> int:
    """Return a quantity in thousandths of its unit (cores for cpu, bytes for memory).

    Raises:
        ValueError: it is not a quantity, is negative, or is more than Kubernetes holds.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        detail = f"{quantity[:80]!r} is not a Kubernetes quantity such as 500m, 2 or 8Gi"
        unusual = spelled_plainly(quantity)
        raise ValueError(detail if unusual is None else f"{detail}: {unusual[0]}; write {unusual[1]}")
    number, suffix = match.groups()
    scale = _SCALE.get(suffix)
    if scale is None:
        scale = Fraction(10) ** int(suffix[1:])
    value = ceil(Fraction(number) * scale * 1000)
    if value > MILLI_MAX:
        raise ValueError(f"{quantity[:80]!r} is larger than a Kubernetes quantity can be")
    return value


def check_capacity(capacity: Mapping[str, Any], pointer: str = "/spec/capacity") -> dict[str, str]:
    """Return a capacity as it is kept: resource name → quantity as text.

    Raises:
        Invalid: a resource name or a quantity is not valid; the pointer names it.
    """
    kept: dict[str, str] = {}
    for resource, quantity in capacity.items():
        here = f"{pointer}/{escape(resource)}"
        if len(resource) > RESOURCE_CHARACTERS_MAX or not _RESOURCE.fullmatch(resource):
            raise Invalid(f"{resource[:80]!r} is not a resource name such as cpu or memory", pointer=here)
        text = str(quantity) if type(quantity) is int else quantity
        if not isinstance(text, str):
            raise Invalid("a quantity is text such as 500m, 2 or 8Gi", pointer=here)
        try:
            milli(text)
        except ValueError as error:
            raise Invalid(str(error), pointer=here) from None
        kept[resource] = text
    return kept
