"""Recognises numbers that are written in a way that we do not read: `1,024`, full-width digits, a decimal comma.

Such a number is never interpreted; the refusal names what is unusual, and shows the plain spelling.
"""

from __future__ import annotations

import re
import unicodedata

_CHARACTERS_MAX = 40
_BLANKS = " \u00a0\u2007\u2009\u202f"
_GROUPED = re.compile(rf"([+-]?[0-9]{{1,3}})(?:([,.'\u2019_{_BLANKS}])[0-9]{{3}})(?:\2[0-9]{{3}})*(\D.*)?", re.DOTALL)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+[A-Za-z]*")
_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[A-Za-z]*")


def spelled_plainly(text: str) -> tuple[str, str] | None:
    """Return (what is unusual about a number, its plain spelling), or None if `text` is not such a number."""
    text = text.strip()
    if not text or len(text) > _CHARACTERS_MAX or _PLAIN.fullmatch(text):
        return None
    ascii_text = _ascii(text)
    grouped = _GROUPED.fullmatch(ascii_text)
    if grouped is not None:
        plain = ascii_text.replace(grouped[2], "", ascii_text.count(grouped[2]))
        why = "it has a thousands separator"
    elif _DECIMAL_COMMA.fullmatch(ascii_text):
        plain, why = ascii_text.replace(",", "."), "it has a decimal comma"
    else:
        plain = "".join(each for each in ascii_text if each not in _BLANKS)
        why = "it has a blank in it"
    if ascii_text != text:
        why = "it has digits or letters that are not ASCII, such as full-width ones"
    return (why, plain) if plain != text and _PLAIN.fullmatch(plain) else None


def _ascii(text: str) -> str:
    """Return full-width characters and the digits of other scripts as ASCII ones; blanks stay unchanged."""
    found = []
    for character in text:
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            found.append(str(digit))
        elif unicodedata.east_asian_width(character) == "F":
            found.append(unicodedata.normalize("NFKC", character))
        else:
            found.append("-" if character == "\u2212" else character)
    return "".join(found)
