"""All kinds of things: declared by documents, or only readable. Each is registered here once."""

from libs.kinds.declared import DECLARED_KINDS
from libs.kinds.kind import Kind, KindColumn, kind_as_json, texts_at, understood, value_at, version_of
from libs.kinds.read import READ_KINDS

KINDS = (*DECLARED_KINDS, *READ_KINDS)
"""All kinds; the declared ones first, in the order in which their documents usually refer to each other."""
BY_DOCUMENT = {kind.document: kind for kind in DECLARED_KINDS}
"""`kind` of a document → its registration."""
BY_RIGHT = {kind.right: kind for kind in KINDS}
"""How roles name a kind → its registration."""

__all__ = [
    "BY_DOCUMENT",
    "BY_RIGHT",
    "DECLARED_KINDS",
    "KINDS",
    "READ_KINDS",
    "Kind",
    "KindColumn",
    "kind_as_json",
    "texts_at",
    "understood",
    "value_at",
    "version_of",
]
