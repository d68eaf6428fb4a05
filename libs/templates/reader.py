"""Reading bodies: YAML as documents (JSON's scalars) or as manifests (kubectl's), and JSON, all within limits."""

from __future__ import annotations

import json
import math
from typing import Any

from libs.templates.scalars import INTEGER_MAX, INTEGER_MIN, construct
from libs.templates.yaml_nodes import Limits, YamlRejected, decode_text, parse_nodes

DOCUMENT_LIMITS = Limits()
MANIFEST_LIMITS = Limits()


def read_yaml(data: bytes | str, limits: Limits = DOCUMENT_LIMITS) -> list[Any]:
    """Return the documents in `data`, empty ones left out, with JSON's scalars only. Raises `YamlRejected`."""
    return [construct(root, manifest=False) for root in parse_nodes(data, limits)]


def read_manifests(data: bytes | str, limits: Limits = MANIFEST_LIMITS) -> list[Any]:
    """Return the documents in `data` as `kubectl apply` reads them, empty ones left out. Raises `YamlRejected`."""
    return [construct(root, manifest=True) for root in parse_nodes(data, limits)]


def read_json(data: bytes | str, limits: Limits = DOCUMENT_LIMITS) -> Any:
    """Return the one JSON value in `data`; duplicate keys, NaN and numbers beyond 64 bits are refused."""
    text = decode_text(data, limits)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
        if "\\u" in text:  # only an escape can make half of a pair
            json.dumps(value, ensure_ascii=False).encode()
        text.encode()
    except json.JSONDecodeError as error:
        raise YamlRejected("syntax", error.msg, error.lineno) from None
    except UnicodeEncodeError:
        raise YamlRejected("not-utf-8", "the text holds half of a surrogate pair") from None
    except RecursionError:
        raise YamlRejected("too-deep", f"nested more than {limits.depth_max} levels deep") from None
    _measure(value, limits)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # `add` is called for its effect
        raise YamlRejected("duplicate-key", f"the key {twice[:60]!r} is given twice in one map")
    return found


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 21 else INTEGER_MAX + 1
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise YamlRejected("integer-too-large", "an integer has at most 64 bits; quote it if it is text")
    return value


def _float(digits: str) -> float:
    value = float(digits) if len(digits) <= 400 else math.inf
    if math.isinf(value):
        raise YamlRejected("number-too-large", "a number is too large; quote it if it is text")
    return value


def _constant(word: str) -> Any:
    raise YamlRejected("not-finite", f"{word} is not a JSON number")


def _measure(value: Any, limits: Limits) -> None:
    """Raise `YamlRejected` if `value` is too deep or has too many parts."""
    level, nodes = [value], 0
    for depth in range(limits.depth_max + 2):
        nodes += len(level)
        if nodes > limits.nodes_max:
            raise YamlRejected("too-many-nodes", f"more than {limits.nodes_max:,} values")
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return
        if depth == limits.depth_max:
            break
        level = [part for item in containers for part in (item.values() if isinstance(item, dict) else item)]
    raise YamlRejected("too-deep", f"nested more than {limits.depth_max} levels deep")
