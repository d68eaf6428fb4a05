"""Which scalars an API server accepts: type, format, enum, and the rule of the field.

The one rule: the requirements on a release's slots are stored in the log, and judged whenever a cluster's values
change, so the meaning of a rule's name never changes; a stricter rule gets another name. Sources: apimachinery
`validation` and `content`; `k8s.io/kubernetes/pkg/apis/*/validation`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from libs.contracts.names import nearest
from libs.contracts.quantities import milli
from libs.kubernetes.findings import shown_value

_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_NAME_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)
_PORT_NAME = re.compile(r"(?=[a-z0-9-]{1,15}\Z)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_ENV_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
_SCHEDULE_WORDS = re.compile(r"@(?:yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SIGNED_QUANTITY = re.compile(r"[+-]?(?=[0-9.])\S*", re.ASCII)
PORT_MAX = 65_535
CHOICES_SHOWN_MAX = 20

_NUMBERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def value_problem(wanted: Mapping[str, Any], value: Any) -> str | None:
    """Return why no API server accepts a value for `wanted`, or None.

    `wanted` has some of `type`, `format`, `enum`, `rule`, `needed`; for a list or map `each` is what its values must be
    like, and `keys` is `label` where its keys are those of labels. A null is as if the field were not there.
    """
    if value is None or value == "":
        if wanted.get("needed"):
            return "the field is required, and is empty"
        if value is None or not wanted.get("type") or wanted["type"] == "string":
            return None
    if isinstance(value, (dict, list)):
        return _inner_problem(wanted, value)
    return _type_problem(wanted.get("type"), wanted.get("format"), value) or _ruled(wanted, value)


def _ruled(wanted: Mapping[str, Any], value: Any) -> str | None:
    allowed = wanted.get("enum")
    if allowed and value not in allowed:
        near = nearest(value, [each for each in allowed if isinstance(each, str)]) if isinstance(value, str) else None
        hint = f"; did you mean {near}?" if near else ""
        more = f" and {len(allowed) - CHOICES_SHOWN_MAX} more" if len(allowed) > CHOICES_SHOWN_MAX else ""
        listed = ", ".join(str(each)[:80] for each in allowed[:CHOICES_SHOWN_MAX])
        return f"{shown_value(value)} is not one of {listed}{more}{hint}"
    name = wanted.get("rule", "")
    fits = isinstance(value, str) if name in TEXT_RULES else name in SCALAR_RULES and not isinstance(value, bool)
    if not fits or (name in NUMBER_RULES and isinstance(value, str)):
        return None
    return SCALAR_RULES[name](value)


def _inner_problem(wanted: Mapping[str, Any], value: dict[str, Any] | list[Any]) -> str | None:
    asked, form = wanted.get("type"), wanted.get("format")
    if asked is None and form is None:
        return None
    if asked != ("object" if isinstance(value, dict) else "array"):
        return f"{'a map' if isinstance(value, dict) else 'a list'} stands where {_named(asked, form)} belongs"
    if isinstance(value, dict) and wanted.get("keys") == "label":
        problem = next(filter(None, map(qualified_name_problem, value)), None)
        if problem:
            return problem
    each = wanted.get("each")
    parts = value.values() if isinstance(value, dict) else value
    return next(filter(None, (value_problem(each, part) for part in parts)), None) if each else None


def _type_problem(wanted: str | None, form: str | None, value: Any) -> str | None:  # noqa: PLR0911 - one answer a type
    if form == "int-or-string":
        return None if isinstance(value, str) or _integral(value) else _instead(value, "a whole number or text")
    if form == "quantity":
        return _quantity(value)
    match wanted:
        case "string":
            if not isinstance(value, str):
                return f"{_instead(value, 'text')}, and an unquoted {shown_value(value)} is none: put it in quotes"
            return _formatted(form, value)
        case "integer":
            if not _integral(value):
                return _instead(value, "a whole number")
            low, high = _NUMBERS.get(form or "int64", _NUMBERS["int64"])
            return None if low <= value <= high else f"{value} does not fit {form or 'int64'}"
        case "number":
            plain = isinstance(value, (int, float)) and not isinstance(value, bool)
            return None if plain else _instead(value, "a number")
        case "boolean":
            return None if isinstance(value, bool) else _instead(value, "true or false")
        case "object" | "array":
            return f"{shown_value(value)} stands where {_named(wanted, form)} belongs"
    return None


def _named(wanted: str | None, form: str | None) -> str:
    if form in ("quantity", "int-or-string"):
        return "a quantity" if form == "quantity" else "a number or text"
    names = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return {**names, "object": "a map", "array": "a list"}.get(wanted or "", "a scalar")


def _instead(value: Any, wanted: str) -> str:
    return f"{shown_value(value)} stands where {wanted} belongs"


def _integral(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _formatted(form: str | None, value: str) -> str | None:
    if form == "byte":
        try:
            base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
        except (binascii.Error, ValueError):
            return "the text is not base64"
    if form == "date-time" and not _DATE_TIME.fullmatch(value):
        return f"{shown_value(value)} is not a time such as 2026-11-24T12:00:00Z"
    return None


def _quantity(value: Any) -> str | None:
    if isinstance(value, bool):
        return _instead(value, "a quantity")
    text = str(value)
    if not _SIGNED_QUANTITY.fullmatch(text):
        return f"{shown_value(value)} is not a quantity such as 500m, 2 or 8Gi"
    try:
        milli(text.lstrip("+-") if text[:1] in "+-" else text)
    except ValueError as error:
        # Kubernetes caps larger quantities, and texts may be longer than we read.
        return (
            None
            if "larger" in str(error) or len(text) > 20
            else f"{shown_value(value)} is not a quantity such as 500m, 2 or 8Gi"
        )
    return None


def quantity_milli(value: Any) -> int | None:
    """Return a quantity in thousandths; None if it is not a quantity or too large to compare."""
    text = str(value)
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * milli(text.lstrip("+-") if text[:1] in "+-" else text)
    except ValueError:
        return None


# --- rules of fields ------------------------------------------------------------------------------------------------


def _label_value(value: Any) -> str | None:
    if _LABEL_VALUE.fullmatch(value):
        return None
    return f"{shown_value(value)} is not a label value: letters, digits and inner -, _ and ., at most 63"


def _dns_label(value: Any) -> str | None:
    if _DNS_LABEL.fullmatch(value):
        return None
    return f"{shown_value(value)} is not a DNS label: lower-case letters, digits and inner -, at most 63"


def _subdomain(value: Any) -> str | None:
    if len(value) <= 253 and _SUBDOMAIN.fullmatch(value):
        return None
    return f"{shown_value(value)} is not a DNS name: lower-case letters, digits, - and ., at most 253"


def _port_name(value: Any) -> str | None:
    if value == "" or ("--" not in value and _PORT_NAME.fullmatch(value)):
        return None
    return f"{shown_value(value)} is not a port name: lower-case letters, digits and inner -, at most 15, with a letter"


def _port(value: Any) -> str | None:
    return None if 1 <= value <= PORT_MAX else f"{value} is not a port: 1 to {PORT_MAX}"


def _port_or_none(value: Any) -> str | None:
    return None if 0 <= value <= PORT_MAX else f"{value} is not a port: 1 to {PORT_MAX}"


def _port_or_name(value: Any) -> str | None:
    return _port_name(value or "-") if isinstance(value, str) else _port(value)


def _not_negative(value: Any) -> str | None:
    return f"{shown_value(value)} is negative" if value < 0 else None


def _positive(value: Any) -> str | None:
    return f"{shown_value(value)} is not more than 0" if value < 1 else None


def _quantity_not_negative(value: Any) -> str | None:
    return (
        f"{shown_value(value)} is negative" if str(value).startswith("-") and (quantity_milli(value) or 0) < 0 else None
    )


def _quantity_positive(value: Any) -> str | None:
    amount = quantity_milli(value)
    return f"{shown_value(value)} is not more than 0" if amount is not None and amount < 1 else None


def _env_name(value: Any) -> str | None:
    return None if _ENV_NAME.fullmatch(value) else f"{shown_value(value)} is not the name of an environment variable"


def _config_key(value: Any) -> str | None:
    return config_key_problem(value)


def config_key_problem(key: str) -> str | None:
    """Return why a ConfigMap or Secret does not accept a key, or None."""
    if _CONFIG_KEY.fullmatch(key) and key != "." and not key.startswith(".."):
        return None
    return (
        f"{shown_value(key)} is not a key of a ConfigMap or Secret: letters, digits, -, _ and .,"
        " at most 253, not . or .."
    )


def qualified_name_problem(key: str) -> str | None:
    """Return why a text is not a key of a label or annotation, or None."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        return f"{shown_value(key)} has a prefix that is not a lower-case DNS name"
    if not _NAME_PART.fullmatch(name):
        return (
            f"{shown_value(key)} is not a key: letters, digits and inner -, _ and .,"
            " at most 63, after an optional prefix/"
        )
    return None


def annotation_key_problem(key: str) -> str | None:
    """Return why a text is not a key of an annotation, or None: unlike a label's, its prefix may have upper case."""
    return qualified_name_problem(key.lower()) and qualified_name_problem(key)


def _inner_path(value: Any) -> str | None:
    if value.startswith("/") or ".." in value.split("/"):
        return f"{shown_value(value)} must be a path below the volume, without .."
    return None


def _schedule(value: Any) -> str | None:
    if "TZ" in value:
        return f"{shown_value(value)} contains a time zone: use spec.timeZone"
    if _SCHEDULE_WORDS.fullmatch(value) or len(value.split()) == 5:
        return None
    return f"{shown_value(value)} is not a schedule of five fields such as '0 3 * * *'"


def _ip(value: Any) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return f"{shown_value(value)} is not an IP address"
    return None


def _host(value: Any) -> str | None:
    if value == "":
        return None
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return _subdomain(value.removeprefix("*."))
    return f"{shown_value(value)} is an IP address: a host is a DNS name"


TEXT_RULES: Mapping[str, Callable[[Any], str | None]] = {
    "label-value": _label_value,
    "dns-label": _dns_label,
    "dns-subdomain": _subdomain,
    "port-name": _port_name,
    "env-name": _env_name,
    "config-key": _config_key,
    "inner-path": _inner_path,
    "schedule": _schedule,
    "ip": _ip,
    "host": _host,
}

NUMBER_RULES: Mapping[str, Callable[[Any], str | None]] = {
    "port": _port,
    "port-or-none": _port_or_none,
    "not-negative": _not_negative,
    "positive": _positive,
}

SCALAR_RULES: Mapping[str, Callable[[Any], str | None]] = {
    **TEXT_RULES,
    **NUMBER_RULES,
    "port-or-name": _port_or_name,
    "quantity-not-negative": _quantity_not_negative,
    "quantity-positive": _quantity_positive,
}
"""The rules of fields besides their types, by the name that is kept in the log."""
