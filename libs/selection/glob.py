"""`like`: `*` is any text, `?` is any one character, everything else is itself; the whole text must fit."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a `like` pattern.

    Each piece between stars is found at its first place and never tried again, which decides a glob and keeps a hostile
    pattern linear (the way `fnmatch.translate` does it).
    """
    first, *rest = (_piece(piece) for piece in re.sub(r"\*+", "*", pattern).split("*"))
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + f".*{last}", re.DOTALL)


def _piece(text: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in text)


def fixed_prefix(pattern: str) -> str:
    """Return the text before the first wildcard."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0]
