"""The refusals of deciders, which `libs/commands/problems.py` turns into problem documents."""

from __future__ import annotations

from typing import Any, ClassVar


class Rejected(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A command that is refused (409). A subclass's docstring is the title that the user reads.

    `detail` says exactly what is wrong, `fix` what to do, `pointer` (RFC 6901) where in the document.
    """

    code: ClassVar[str] = "rejected"

    def __init__(self, detail: str, *, pointer: str | None = None, fix: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.fix = fix
        self.extra = extra

    @property
    def title(self) -> str:
        """The first sentence of the class docstring."""
        return (type(self).__doc__ or self.code).strip().splitlines()[0]


class Invalid(Rejected):
    """The document does not fit its schema."""

    code = "invalid-document"
    # answered with 422 instead of 409


class UnknownReference(Rejected):
    """The document refers to something that does not exist."""

    code = "unknown-reference"


class Cycle(Rejected):
    """The expression refers to what it defines."""

    code = "cycle"


class StillReferenced(Rejected):
    """Something still refers to this, so it cannot be deleted."""

    code = "still-referenced"


class SelectsNothing(Rejected):
    """A saved expression selects nothing; set `allow_empty: true` if that is intended."""

    code = "selects-nothing"
