"""How a scalar reads, and how a value is written so that every reader gets the same.

Two ways of reading. Documents know JSON's types only. Manifests are read as `kubectl apply` and Helm read them
(sigs.k8s.io/yaml: YAML 1.1 booleans and integers, dates stay text). Writing never relies on either: text is written in
double quotes wherever any YAML version could take it for something else.
"""

from __future__ import annotations

import json
import math
import re
from json.encoder import encode_basestring
from typing import Any

from libs.templates.yaml_nodes import MERGE, Listing, Scalar, YamlNode, YamlRejected

JsonScalar = str | int | float | bool | None

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
YAML_KEY_CHARACTERS_MAX = 1_000  # libyaml and go-yaml look for the colon of a key within 1,024 characters

_JSON_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_JSON_WORDS: dict[str, bool | None] = {"": None, "null": None, "true": True, "false": False}

_GO_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)", re.ASCII)
_GO_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_GO_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
NULLS = ("", "~", "null", "Null", "NULL")
_GO_WORDS: dict[str, bool | None] = (
    dict.fromkeys(NULLS)
    | dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True)
    | dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False)
)

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*(?::[A-Za-z0-9_./@-]+)*(?: [A-Za-z0-9_./@-]+(?::[A-Za-z0-9_./@-]+)*)*")
# Line separators and the byte order mark: readable as escapes by every YAML reader, raw by some.
_ESCAPED = re.compile("[\u2028\u2029\ufeff]")
# Kustomize, and Flux with it, writes what it read as JSON and reads that as YAML again, which refuses these characters
# and turns U+0085 into a space: one of them would stop the whole namespace of a store from being built.
_REFUSED = re.compile("[\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


class Unwritable(ValueError):  # noqa: N818 - a refusal states the fact
    """A value that no manifest can carry: not finite, out of 64 bits, or text with a refused character."""


def read_document_scalar(node: Scalar) -> JsonScalar:
    """Return the JSON value of `node`: null, true, false and JSON's numbers if it has no quotes, else text."""
    text = node.text
    value: JsonScalar = text
    if not node.plain:
        return text
    if text in _JSON_WORDS:
        value = _JSON_WORDS[text]
    elif _JSON_INTEGER.fullmatch(text):
        value = _integer(text, 10, node.line)
    elif _JSON_NUMBER.fullmatch(text):
        value = _finite(text, node.line)
    return _tagged(node, value)


def read_manifest_scalar(node: Scalar) -> JsonScalar:
    """Return what `kubectl apply` takes `node` for."""
    text = node.text
    if not node.plain:
        return text
    if text in _GO_WORDS:
        return _tagged(node, _GO_WORDS[text])
    if _GO_NOT_FINITE.fullmatch(text):
        raise YamlRejected("not-finite", f"{text} is not a JSON number; quote it if it is text", node.line)
    return _tagged(node, _go_number(text, node.line))


def _go_number(text: str, line: int) -> JsonScalar:
    if text[0] not in "+-.0123456789":
        return text
    digits = text if text[0] == "." else text.replace("_", "")
    match = _GO_INTEGER.fullmatch(digits)
    if match:
        body = match[2].lower()
        base = {"0x": 16, "0b": 2, "0o": 8}.get(body[:2], 8 if body[0] == "0" else 10)
        return _integer(match[1] + (body[2:] if body[1:2] in ("x", "b", "o") else body), base, line)
    if len(digits) <= 400 and _GO_FLOAT.fullmatch(digits):
        number = float(digits)
        return text if math.isinf(number) else number
    return text


def _integer(digits: str, base: int, line: int) -> int:
    """Return the integer; the length is checked first, since converting many digits takes quadratic time."""
    value = int(digits, base) if len(digits) <= 66 else INTEGER_MAX + 1
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise YamlRejected("integer-too-large", "an integer has at most 64 bits; quote it if it is text", line)
    return value


def _finite(text: str, line: int) -> float:
    value = float(text) if len(text) <= 400 else math.inf
    if math.isinf(value):
        raise YamlRejected("number-too-large", "a number is too large; quote it if it is text", line)
    return value


def _tagged(node: Scalar, value: JsonScalar) -> JsonScalar:
    """Return `value` if the tag, where there is one, asks for the type that it has."""
    kinds = {"": object, "int": int, "float": (int, float), "bool": bool, "null": type(None)}
    wanted = kinds.get(node.tag)
    if wanted is None or not isinstance(value, wanted) or (node.tag in ("int", "float") and isinstance(value, bool)):  # type: ignore[arg-type]  # mypy joins the types to `object`
        raise YamlRejected("tag-refused", f"the tag !!{node.tag} does not fit {node.text[:60]!r}", node.line)
    return value


def construct(node: YamlNode, *, manifest: bool) -> Any:
    """Return `node` as JSON values: dict, list, text, numbers, booleans, None."""
    if isinstance(node, Scalar):
        return read_manifest_scalar(node) if manifest else read_document_scalar(node)
    if isinstance(node, Listing):
        return [construct(item, manifest=manifest) for item in node.items]
    return {key: construct(value, manifest=manifest) for key, value in node.entries.items()}


def stays_text(text: str) -> bool:
    """Tell whether `text` without quotes is the same text to every YAML reader."""
    return len(text) <= 512 and _PLAIN.fullmatch(text) is not None and text not in _GO_WORDS


def quoted(text: str) -> str:
    """Return `text` in double quotes, readable by YAML 1.1, 1.2 and Go alike. Raises `Unwritable`."""
    written = encode_basestring(text)
    if written.isascii() and "\x7f" not in written:
        return written
    refuse_characters(written)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def refuse_characters(text: str) -> None:
    """Raise `Unwritable` if `text` holds a character that would not reach Kubernetes."""
    if not text.isascii() or "\x7f" in text:
        found = _REFUSED.search(text)
        if found:
            raise Unwritable(f"the text holds U+{ord(found[0]):04X}, which does not survive Flux's kustomize")


def typed_line(value: Any) -> str:  # noqa: PLR0911 - one case a JSON type
    """Return `value` as one line of YAML that reads back as the same JSON value. Raises `Unwritable`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return _int_text(value)
        case float():
            return _float_text(value)
        case str():
            return quoted(value)
        case list() | tuple():
            return f"[{', '.join(map(typed_line, value))}]"
        case dict():
            return f"{{{', '.join(f'{_key(key)}: {typed_line(value[key])}' for key in sorted(value))}}}"
        case _:
            raise Unwritable(f"{type(value).__name__} is not a JSON value")


def as_text(value: Any) -> str:
    """Return `value` as the text that stands inside other text: a list joined with commas, a map as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and not any(isinstance(item, (list, tuple, dict)) for item in value):
        return ",".join(map(as_text, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return _int_text(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, TypeError):
        raise Unwritable("the value is not finite, or not a JSON value") from None


def _int_text(value: int) -> str:
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise Unwritable("an integer has at most 64 bits")
    return str(value)


def _float_text(value: float) -> str:
    """Return the shortest form with a dot and a signed exponent, without which YAML 1.1 takes it for text."""
    if not math.isfinite(value):
        raise Unwritable("a number is not finite")
    mantissa, exponent_mark, exponent = repr(value).partition("e")
    if not exponent_mark:
        return mantissa
    dotted = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{dotted}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _key(key: str) -> str:
    if key == MERGE:
        raise Unwritable("the key << reads as a merge to some tools, even in quotes")
    written = quoted(key)
    if len(written.encode()) > YAML_KEY_CHARACTERS_MAX:
        raise Unwritable(f"a key is longer than {YAML_KEY_CHARACTERS_MAX:,} characters")
    return written
