"""The options that several verbs share, declared once so that they are the same everywhere."""

from typing import Annotated

import typer

from cli.errors import UsageProblem
from cli.output import Format

Output = Annotated[
    Format,
    typer.Option("--output", "-o", help="Output format: table, wide, json, yaml, name, jsonl.", metavar="FORMAT"),
]
Where = Annotated[str, typer.Option("--where", "-l", help="Only what this expression selects.", metavar="EXPRESSION")]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Maximum number of items.", show_default=False, metavar="N")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", help="Reason; kept in the log.", metavar="TEXT")]

Ticket = Annotated[str, typer.Option("--ticket", help="Ticket that tracks this; kept in the log.", metavar="TEXT")]


def required_reason(reason: str, what: str) -> str:
    """Return a reason that must be given.

    Raises:
        UsageProblem: there is none.
    """
    if not reason.strip():
        raise UsageProblem(f"{what} needs a reason", fix="give --reason TEXT")
    return reason


def dry(dry_run: bool) -> dict[str, str]:
    """Return the query parameters of a change or of its dry run."""
    return {"dry_run": "true"} if dry_run else {}


def verb_app() -> typer.Typer:
    """Return the Typer app of one verb, plain in help and errors like the root."""
    return typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
