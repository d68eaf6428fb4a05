"""Converts arguments of the command line to values: text, whole numbers, choices, paths, and lists of these.

The one rule: nothing here loads a library. Typer would do the same through pydantic, whose import takes longer than the
request that it delays (0.2 of 0.4 s); a parameter of another type is left to Typer.
"""

from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

from cli.errors import UsageProblem, nearest_words

_TYPES = (bool, str, int, Path)


class PlainValue:
    """Converts one parameter's words; takes the place of Typer's `RuntimeParam`."""

    def __init__(self, annotation: Any, low: float | None, high: float | None) -> None:
        self._annotation = annotation
        self._low = low
        self._high = high

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002 - Typer's signature
        """Return the value of a word, of a list of words, or of a default.

        Raises:
            UsageProblem: the word is not such a value.
        """
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        name = max(param.opts, key=len) if param.param_type_name == "option" else param.metavar or param.name
        if many:
            kind = get_args(self._annotation)[0]
            return [self._value(kind, word, name) for word in value]
        return self._value(self._annotation, value, name)

    def _value(self, kind: Any, word: Any, name: str) -> Any:
        if isinstance(word, kind):
            return word
        if issubclass(kind, Enum):
            return _choice(kind, word, name)
        if kind is not int:
            return kind(word)
        if not word.removeprefix("-").isdecimal() or len(word) > 18:  # beyond any position of a log
            raise UsageProblem(f"{name} takes a whole number, not {word!r}")
        number = int(word)
        if (self._low is not None and number < self._low) or (self._high is not None and number > self._high):
            bounds = f"from {self._low}" + (f" to {self._high}" if self._high is not None else "")
            raise UsageProblem(f"{name} takes a number {bounds}, not {number}")
        return number


def _choice(kind: type[Enum], word: str, name: str) -> Enum:
    known = [str(member.value) for member in kind]
    if word not in known:
        raise UsageProblem(
            f"{name} does not take {word!r}", fix=f"use one of {', '.join(known)}", nearest=nearest_words(word, known)
        )
    return kind(word)


def plain_values(command: TyperCommand | TyperGroup, ctx: Any = None) -> TyperCommand | TyperGroup:
    """Return the command, and what is below it, with plain values wherever the type is one of ours."""
    help_option = command.get_help_option(ctx) if ctx is not None else None
    for param in [*command.params, *([help_option] if help_option else [])]:
        plain_one(param)
    for below in getattr(command, "commands", {}).values():
        plain_values(below, ctx)
    return command


def plain_one(param: Any) -> None:
    """Make one parameter's values plain, if its type is one of ours."""
    described = getattr(param, "type_descriptor", None)
    annotation = getattr(described, "annotation", None)
    kind = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    if described is not None and (kind in _TYPES or (isinstance(kind, type) and issubclass(kind, Enum))):
        info = described.parameter_info
        param._runtime_param = PlainValue(annotation, info.min, info.max)  # noqa: SLF001 - built lazily by Typer
