"""The kinds in help and completion: those that the server published last, without asking it again.

The one rule: nothing here waits for a server; an unreadable cache counts as missing.
"""

from __future__ import annotations

from typing import Any

import typer

from cli.config import Flags
from cli.errors import CliError
from cli.kinds import Kinds
from cli.session import Session

READABLE, DELETABLE = "{readable}", "{deletable}"
"""Stand in a help for the kinds that `get` and that `delete` takes."""


def known_kinds(ctx: Any) -> Kinds:
    """Return the kinds of the server that a command line names; without any, those of this version."""
    if ctx is None:
        return Kinds()
    words = ctx.find_root().params
    flags = Flags(*(str(words.get(name) or "") for name in ("server", "token", "context")))
    try:
        return Session(flags).kinds
    except CliError:
        return Kinds()


def with_kinds(command: Any, ctx: Any) -> None:
    """Write the kinds into the help of a command's parameters."""
    for param in command.params:
        told = getattr(param, "help", None) or ""
        if READABLE in told or DELETABLE in told:
            kinds = known_kinds(ctx)
            param.help = told.replace(READABLE, kinds.told()).replace(DELETABLE, kinds.told(deletable=True))


def readable_starting(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a kind that `get` takes."""
    return _starting(ctx, incomplete, deletable=False)


def deletable_starting(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a kind that `delete` takes."""
    return _starting(ctx, incomplete, deletable=True)


def _starting(ctx: typer.Context, incomplete: str, *, deletable: bool) -> list[str]:
    if ctx.params.get("what"):
        return []  # the kind is there; names are not completed
    kinds = [kind for kind in known_kinds(ctx) if kind.deletable or not deletable]
    return [kind.plural for kind in kinds if any(word.startswith(incomplete) for word in kind.words)]
