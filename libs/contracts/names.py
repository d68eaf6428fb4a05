"""Names and labels, as in every document (DESIGN rule 14 and §8); one that breaks a rule raises `Invalid`.

A name that was accepted here is safe as a file name, a stream key and a Kubernetes name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from libs.contracts.inventory import Labels
from libs.contracts.refusals import Invalid

API_VERSION = "resedge.dev/v1"
"""What a document says of its own format."""

NAME_CHARACTERS_MAX = 63
LABEL_VALUE_CHARACTERS_MAX = 256
LABELS_MAX = 256
VALUES_OF_A_LABEL_MAX = 256

NEAREST_CHARACTERS_MAX = 300
"""Longer words are not compared: group paths are the longest, and comparing is quadratic in the length."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", re.ASCII)


def escape(token: object) -> str:
    """Return one reference token of a JSON pointer (RFC 6901)."""
    return str(token).replace("~", "~0").replace("/", "~1")


def pointer_of(path: Iterable[str | int]) -> str:
    """Return `path` as an RFC 6901 JSON pointer."""
    return "".join("/" + escape(key) for key in path)


def unescape(token: str) -> str:
    """Reverse `escape`."""
    return token.replace("~1", "/").replace("~0", "~")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be; None if `word` is too long."""
    if len(word) > NEAREST_CHARACTERS_MAX:
        return None
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None


def check_name(name: str, pointer: str = "/metadata/name") -> str:
    """Return `name`, if it is a valid name.

    Raises:
        Invalid: it is not made of lower-case letters, digits and inner dashes, or is longer than 63.
    """
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name[:80]!r} is not a name: lower-case letters, digits and dashes inside, at most {NAME_CHARACTERS_MAX}",
            pointer=pointer,
            fix="use a name such as tx-austin-0042",
        )
    return name


def label_problem(key: object, value: object) -> str | None:
    """Return what is wrong with one label, or None."""
    if not isinstance(key, str) or not LABEL_KEY.fullmatch(key):
        return f"{str(key)[:80]!r} is not a label key: a letter or digit, then letters, digits and ._/-, at most 63"
    values = value if isinstance(value, list) else [value]
    if not values:
        return f"label {key!r} has an empty list of values: leave the label out instead"
    if len(values) > VALUES_OF_A_LABEL_MAX:
        return f"label {key!r} has more than {VALUES_OF_A_LABEL_MAX} values"
    for each in values:
        if not isinstance(each, str):
            return f"label {key!r} must be text or a list of texts: write it in quotes"
        if len(each) > LABEL_VALUE_CHARACTERS_MAX:
            return f"label {key!r} has a value of more than {LABEL_VALUE_CHARACTERS_MAX} characters"
    return None


def check_labels(labels: Mapping[str, Any], pointer: str = "/metadata/labels") -> Labels:
    """Return the labels as they are kept: a list of one value becomes that value, repeated values become one.

    Raises:
        Invalid: a key or a value breaks a rule; the pointer names the label.
    """
    if len(labels) > LABELS_MAX:
        raise Invalid(f"there are more than {LABELS_MAX} labels", pointer=pointer)
    kept: Labels = {}
    for key, value in labels.items():
        if problem := label_problem(key, value):
            raise Invalid(problem, pointer=f"{pointer}/{escape(key)}")
        if isinstance(value, list):
            distinct = list(dict.fromkeys(value))
            kept[key] = distinct[0] if len(distinct) == 1 else distinct
        else:
            kept[key] = value
    return kept
