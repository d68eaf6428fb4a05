"""The placeholder language: `${edge.<reference>[:text][:-default]}` inside a scalar.

`split_text` is the whole grammar. Everything else with `$` is left alone, and `$${edge.` is a literal `${edge.`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Final, Literal

_Source = Literal[
    "cluster.name",
    "store.name",
    "store.timezone",
    "labels",
    "config",
    "application.name",
    "release.version",
    "namespace.name",
]

REFERENCES: Final[tuple[_Source, ...]] = (
    "cluster.name",
    "store.name",
    "store.timezone",
    "application.name",
    "release.version",
    "namespace.name",
)
OPENING: Final = "${edge."
_OPENING = re.compile(r"\$?\$\{edge\.")
_WORDS = "cluster|store|labels|config|application|release|namespace"
_DAMAGED = re.compile(
    r"(?<!\$)\$\{(?!edge\.)(?:(?i:edge)\.|(?i:edge)-(?i:" + _WORDS + r")|edge_(?:" + _WORDS + r"))[^}\s]{0,80}\}?"
    r"|(?<![\w$}])\{(?i:edge)[.-](?i:" + _WORDS + r")\b[^}\s]{0,80}\}?"
    r"|%24%7[Bb](?i:edge)\.[^%\s]{0,80}"
    r"|(?<!\$)\$\{e(?:d(?:ge?)?)?\Z"
)
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}", re.ASCII)
_CONFIG_PATH = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
_FIRST_WORDS = ("cluster", "store", "labels", "config", "application", "release", "namespace")


class Missing(Enum):
    """The type of `MISSING`: no value, which is not the same as null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
Default = str | float | bool | Missing | None


@dataclass(frozen=True, slots=True, order=True)
class Input:
    """What a placeholder reads: `key` is the label's key or the dotted configuration path, else empty."""

    source: _Source
    key: str = ""

    @property
    def reference(self) -> str:
        """What stands in the placeholder: `config.tax.rate`."""
        return f"{self.source}.{self.key}" if self.key else self.source


@dataclass(frozen=True, slots=True)
class Reference:
    """One placeholder; `text` if it was marked `:text`.

    `default` is `MISSING` where it has none; `default_text` is what it is inside text: as it was written, so that an
    image tag `1.10` does not become the number 1.1.
    """

    input: Input
    default: Default = MISSING
    default_text: str = ""
    text: bool = False

    def __str__(self) -> str:
        """Write it as it stands in a manifest."""
        quoted = isinstance(self.default, str) and _default(self.default_text) != self.default
        written = json.dumps(self.default, ensure_ascii=False) if quoted else self.default_text
        default = "" if self.default is MISSING else f":-{written}"
        return f"{OPENING}{self.input.reference}{':text' if self.text else ''}{default}}}"


_Part = str | Reference


class PlaceholderRejected(ValueError):  # noqa: N818 - a refusal states the fact
    """A placeholder that means nothing; `position` is its first character in the scalar, from 0."""

    def __init__(self, code: str, detail: str, position: int, fix: str) -> None:
        self.code = code
        self.detail = detail
        self.position = position
        self.fix = fix
        super().__init__(detail)


def split_text(text: str) -> tuple[_Part, ...]:
    """Return `text` as constants and references, adjacent constants joined. Raises `PlaceholderRejected`."""
    parts: list[_Part] = []
    constant, at = "", 0
    while match := _OPENING.search(text, at):
        constant += text[at : match.start()]
        if match[0].startswith("$$"):
            constant += OPENING
            at = match.end()
            continue
        end = text.find("}", match.end())
        if end < 0:
            raise PlaceholderRejected(
                "placeholder-malformed",
                f"the placeholder at character {match.start() + 1} has no closing brace",
                match.start(),
                "Close it with }, or write $${edge. for the text itself.",
            )
        if constant:
            parts.append(constant)
            constant = ""
        parts.append(_reference(text[match.end() : end], match.start()))
        at = end + 1
    constant += text[at:]
    if constant or not parts:
        parts.append(constant)
    return tuple(parts)


def damaged(text: str) -> str:
    """Return the first remains of a placeholder that something cut, re-cased or re-punctuated; empty without any.

    Shells know no dots in names and Spring no case-folded `edge.config`, so little else looks like it.
    """
    found = _DAMAGED.search(text)
    return found[0] if found else ""


def _reference(body: str, position: int) -> Reference:
    head, has_default, default = body.partition(":-")
    name, colon, suffix = head.partition(":")
    if colon and suffix != "text":
        raise _malformed(body, position, f"after the name comes :text or :-default, not :{suffix}")
    if default.endswith(":text"):
        raise _malformed(body, position, "the default comes last", f"${{edge.{name}:text:-{default[:-5]}}}")
    if "${" in default:
        raise _malformed(body, position, "a default is a constant")
    if "{" in default or _unclosed(default):
        raise _malformed(
            body,
            position,
            "the placeholder ends at its first }, so its default cannot hold a brace",
            f"${{edge.{name}}} without a default, and give the value in --defaults or in a Configuration",
        )
    found = _input(name)
    if found is None:
        nearest = _nearest(name)
        hint = (
            f"Did you mean ${{edge.{nearest}}}?" if nearest else f"Known: {', '.join(REFERENCES)}, labels.…, config.…"
        )
        raise PlaceholderRejected(
            "placeholder-unknown",
            f"${{edge.{name}}} at character {position + 1} names nothing",
            position,
            hint,
        )
    if not has_default:
        return Reference(found, text=bool(colon))
    value = _default(default)
    return Reference(found, value, value if isinstance(value, str) else default.strip(), text=bool(colon))


def _unclosed(default: str) -> bool:
    """Tell whether a default in quotes was cut by a brace inside them."""
    return default.startswith('"') and (len(default) == 1 or not default.endswith('"'))


def _malformed(body: str, position: int, why: str, instead: str = "") -> PlaceholderRejected:
    return PlaceholderRejected(
        "placeholder-malformed",
        f"${{edge.{body}}} at character {position + 1}: {why}",
        position,
        f"Write {instead or '${edge.<name>}, ${edge.<name>:text} or ${edge.<name>:-default}'}.",
    )


def _input(name: str) -> Input | None:
    for source in REFERENCES:
        if name == source:
            return Input(source)
    first, _, key = name.partition(".")
    if first == "labels" and _LABEL_KEY.fullmatch(key):
        return Input("labels", key)
    if first == "config" and _CONFIG_PATH.fullmatch(key):
        return Input("config", key)
    return None


def _nearest(name: str) -> str | None:
    first, _, key = name.partition(".")
    whole = get_close_matches(name, REFERENCES, n=1)
    if whole:
        return whole[0]
    words = get_close_matches(first, _FIRST_WORDS, n=1)
    if words and words[0] in ("labels", "config"):
        return f"{words[0]}.{key or '<key>'}" if words[0] != first or not key else None
    return next((reference for reference in REFERENCES if words and reference.startswith(words[0])), None)


def _default(text: str) -> str | float | bool | None:
    """Return the JSON scalar that `text` reads as, else `text` itself; a number beyond 64 bits stays text."""
    if len(text) > 400 and not text.startswith('"'):
        return text
    try:
        value = json.loads(text, parse_constant=lambda word: word)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, (list, dict)):
        return text
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return text
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return text
    return value  # type: ignore[no-any-return]  # a JSON scalar, see above
