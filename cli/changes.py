"""The output of a change: a line for people, the name, or JSON for scripts.

In every format, warnings also go to stderr.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client import ServerAnswer
from cli.session import Session


class ChangeFormat(StrEnum):
    """How outcomes are written: `name result`, one JSON object a line, or only the name."""

    TEXT = "text"
    JSON = "json"
    NAME = "name"


ChangeOutput = Annotated[
    ChangeFormat,
    typer.Option("--output", "-o", help="Output format: text, json, name.", metavar="FORMAT"),
]


def tell_answer(
    session: Session, name: str, answer: ServerAnswer, how: ChangeFormat, *, dry_run: bool = False, result: str = ""
) -> None:
    """Write one outcome to stdout, as the server answered it; `result` replaces its word."""
    tell(
        session, name, result or answer.result, how, dry_run=dry_run, position=answer.position, warnings=answer.warnings
    )


def tell(
    session: Session,
    name: str,
    result: str,
    how: ChangeFormat,
    *,
    dry_run: bool = False,
    position: int = 0,
    warnings: Iterable[str] = (),
) -> None:
    """Write one outcome to stdout."""
    warned = list(warnings)
    match how:
        case ChangeFormat.JSON:
            outcome: dict[str, Any] = {"name": name, "result": result, "dry_run": dry_run}
            outcome |= {"position": position} if position and not dry_run else {}
            print(json.dumps({**outcome, "warnings": warned}, ensure_ascii=False), flush=True)
        case ChangeFormat.NAME:
            print(name, flush=True)
        case ChangeFormat.TEXT:
            print(f"{name} {result}{' (dry run)' if dry_run else ''}", flush=True)
    session.warn(*warned)


def tell_counts(session: Session, text: str, body: Mapping[str, Any], how: ChangeFormat, *, dry_run: bool) -> None:
    """Write the outcome of a bulk change: the sentence, or the server's own counts."""
    if how is ChangeFormat.JSON:
        print(json.dumps({**body, "dry_run": dry_run}, ensure_ascii=False))
    else:
        print(f"{text}{' (dry run)' if dry_run else ''}")
    session.warn(*map(str, body.get("warnings") or ()))
