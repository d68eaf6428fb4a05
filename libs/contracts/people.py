"""The names of people, wherever they are read: in a token, a role binding, a filter.

A name is the identity, so two texts for one person are one name, and no two people look alike: names are kept in
Unicode's NFC, contain nothing invisible, and never look like a process or service account.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

PERSON_BYTES_MAX = 255
"""In UTF-8; with an idempotency key of 255 it fits the log's 512, and OpenID Connect's `sub` has at most 255 (§2)."""
GROUP_CHARACTERS_MAX = 256
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+|@=~-]{0,199}")
"""Names of one word, which can come before a colon."""

_FIRST = "_-+"
"""Characters with which a name may begin besides letters and digits: random subs and telephone numbers do."""
_ASCII_NEVER = frozenset('"<>`')
_MORE = frozenset("\N{RIGHT SINGLE QUOTATION MARK}\N{MIDDLE DOT}\N{KATAKANA MIDDLE DOT}\N{HYPHEN}")
"""Punctuation in names besides ASCII: Irish, Catalan, Japanese and double names have it."""
_UNSEEN = frozenset(
    (
        *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)
"""Invisible letters and marks (Unicode: Default_Ignorable_Code_Point)."""
_ALIKE_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE", "LISU"})
"""Scripts whose letters look like those of another one: no word mixes them (UTS #39, §5)."""
_ALIKE = str.maketrans("аесԁһіјӏорԛѕтԝхуοαινρκυτսօոһ‐", "aecdhijlopqstwxyoaivpkutuonh-")  # noqa: RUF001 - the point
"""Letters of those scripts that look like Latin ones: a word of only these is refused."""
_OURS = "resedge/"
"""The names of our own processes."""
_COUNT = re.compile(r"and [0-9,]+ more")
"""The text in a commit for further people whom it does not name."""
_ADDRESS = re.compile(r"[^\s@:\\,()\[\]]+@[^\s@:\\,()\[\]/]+")


def normal(text: str) -> str:
    """Return text in NFC, so that é is é, whether or not its accent came as a character of its own."""
    return unicodedata.normalize("NFC", text)


def person_name(text: str) -> str | None:
    """Return the name of a person as it is kept (an address in lower case), or nothing if it cannot be one.

    What has a colon is no address: `sub:Ana@example.com` is as the identity provider writes it.
    """
    name = _written(text)
    if name is None or "@" not in name or ":" in name:
        return name
    return _written(name.lower())


def address_name(text: str) -> str | None:
    """Return the name for an address, or None if it is not an address."""
    name = person_name(text)
    return name if name is not None and _ADDRESS.fullmatch(name) else None


def claimed_name(text: str, claim: str) -> str | None:
    """Return the name for `text` from a claim that does not verify addresses.

    A text that looks like an address becomes `<claim>:<text>`, which no address can be.
    """
    name = _written(text)
    if name is None or "@" not in name:
        return name
    return _written(f"{claim}:{name}")


def looks_like_any(name: str, others: Iterable[str]) -> bool:
    """Tell whether a name looks like one of others, regardless of script and case."""
    looks = _look(name)
    return any(looks == _look(each) for each in others)


@lru_cache(maxsize=4_096)
def _look(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().translate(_ALIKE)


def _written(text: str) -> str | None:
    if len(text) > PERSON_BYTES_MAX or any(map(_is_ascii_elsewhere, text)):
        return None
    name = normal(text)
    if not _is_bounded(name) or not (name[0].isalnum() or name[0] in _FIRST) or name[-1] == " ":
        return None
    if "  " in name or _COUNT.fullmatch(name) or _look(name).startswith(_OURS):
        return None
    if not any(map(str.isalnum, name)) or not _marks_follow_letters(name):
        return None
    return name if all(map(_may_stand, name)) and not any(map(_mixes, re.split(r"[\W\d_]+", name))) else None


def _is_bounded(name: str) -> bool:
    try:
        return 0 < len(name.encode()) <= PERSON_BYTES_MAX
    except UnicodeEncodeError:
        return False


def _is_ascii_elsewhere(letter: str) -> bool:
    """Tell whether this is an ASCII character in another form, such as a full-width letter or the Kelvin sign."""
    return not letter.isascii() and any(map(str.isascii, unicodedata.normalize("NFKC", letter)))


def _may_stand(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable() and letter not in _ASCII_NEVER
    if letter in _MORE:
        return True
    return unicodedata.category(letter) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"} and (
        ord(letter) not in _UNSEEN
    )


def _marks_follow_letters(name: str) -> bool:
    kinds = [unicodedata.category(letter)[0] for letter in name]
    return all(kind != "M" or before in "LM" for before, kind in zip([" ", *kinds], kinds, strict=False))


def _mixes(word: str) -> bool:
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word}
    return len(scripts & _ALIKE_SCRIPTS) > 1
