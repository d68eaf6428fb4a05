"""The selection language, and the index that evaluates it and keeps the results up to date."""

from libs.selection.canonical import canonical, canonicalise
from libs.selection.column import LabelValue
from libs.selection.errors import ReferenceCycle, SelectionError, UnknownName, caret
from libs.selection.explanation import Explanation
from libs.selection.expression import Expression, References, references
from libs.selection.gone import Gone
from libs.selection.grammar import parse
from libs.selection.index import Changes, Selection

__all__ = [
    "Changes",
    "Explanation",
    "Expression",
    "Gone",
    "LabelValue",
    "ReferenceCycle",
    "References",
    "Selection",
    "SelectionError",
    "UnknownName",
    "canonical",
    "canonicalise",
    "caret",
    "parse",
    "references",
]
