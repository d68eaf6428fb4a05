"""All kinds of things: declared by documents, or only readable. Each is registered here once."""

from libs.kinds.declared import DECLARED
from libs.kinds.kind import Column, Kind, texts_at, told, understood, value_at, version_of
from libs.kinds.read import READ

KINDS = (*DECLARED, *READ)
"""All kinds; the declared ones first, in the order in which their documents usually refer to each other."""
BY_DOCUMENT = {kind.document: kind for kind in DECLARED}
"""`kind` of a document → its registration."""
BY_RIGHT = {kind.right: kind for kind in KINDS}
"""How roles name a kind → its registration."""

__all__ = [
    "BY_DOCUMENT",
    "BY_RIGHT",
    "DECLARED",
    "KINDS",
    "READ",
    "Column",
    "Kind",
    "texts_at",
    "told",
    "understood",
    "value_at",
    "version_of",
]
