"""`resedge undo`: declare what was before a change, where nothing else has touched it since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import LONG_SECONDS, PAGE_ITEMS_MAX, path_of
from cli.errors import CliError, ExitCode
from cli.options import DryRun, Yes, verb_app
from cli.reaching import change_reaching, tell_reach
from cli.session import session_of
from libs.kinds import BY_RIGHT, DECLARED_KINDS

if TYPE_CHECKING:
    from cli.client import Client, ServerAnswer
    from libs.kinds import Kind

app = verb_app()
_CHOICES = BY_RIGHT["ReleaseChoices"]
_UNDOABLE = {kind.streams: kind for kind in (*DECLARED_KINDS, _CHOICES)}
_AROUND = PAGE_ITEMS_MAX // 2
"""Events on each side of the position that are read: a change with more is too large to be undone."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that a change touched: `was` is its document before (none: it did not exist)."""

    kind: Kind
    name: str
    was: Mapping[str, Any] | None
    version: int
    declared: bool

    @property
    def shown(self) -> str:
        """Return how the thing is named to people."""
        return f"{self.kind.plural if self.kind is _CHOICES else self.kind.singular}/{self.name.lstrip('/')}"

    @property
    def path(self) -> str:
        """Return its address."""
        return _address(self.kind, self.name)

    @property
    def conditions(self) -> dict[str, str]:
        """Return the headers under which it is changed only if nobody changed it since it was read."""
        return {"If-Match": f'"{self.version}"'} if self.declared else {"If-None-Match": "*"}


Undoing = tuple[str, str, Callable[[Mapping[str, str]], "ServerAnswer"]]
"""(what it is about, the result in a word, what sends it)."""


@app.command()
def undo(
    ctx: typer.Context,
    position: Annotated[
        int, typer.Argument(min=1, metavar="POSITION", help="The position of the change, as `resedge audit` shows it.")
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Declare what was before a change: all that was changed together with the event at the position.

    It is refused (exit 3) if anything has touched one of these things since, and says what. What was created is
    deleted, and what was deleted is declared again.
    """
    session = session_of(ctx)
    events = _together(session.client, position)
    parts = [_part(session.client, event, {int(each["position"]) for each in events}) for event in events]
    for done, (what, result, send) in enumerate(_steps(session.client, parts)):
        try:
            answer = change_reaching(session, f"undoing {what}", send, yes=yes, dry_run=dry_run)
        except CliError as error:
            if done and not dry_run:
                error.fix = f"{error.fix + '; ' if error.fix else ''}what is listed above was undone before"
            raise
        tell_answer(session, what, answer, output, dry_run=dry_run, result=result)
        tell_reach(session, answer.body)


def _together(client: Client, position: int) -> list[Mapping[str, Any]]:
    """Return the events that were appended with the one at a position, that one included.

    Raises:
        CliError: there is none (exit 5), or there are too many.
    """
    after = max(0, position - _AROUND)
    items = client.get("/v1/events", {"after": after, "limit": PAGE_ITEMS_MAX}).body.get("items") or []
    here = next((index for index, each in enumerate(items) if int(each["position"]) == position), None)
    if here is None:
        raise CliError(
            f"there is no event at position {position}",
            fix="find the change with `resedge audit`",
            exit_code=ExitCode.NOT_FOUND,
            code="not-found",
        )
    request = items[here].get("correlationid")
    first = last = here
    while request and first > 0 and items[first - 1].get("correlationid") == request:
        first -= 1
    while request and last + 1 < len(items) and items[last + 1].get("correlationid") == request:
        last += 1
    if (first == 0 and after > 0) or last + 1 == PAGE_ITEMS_MAX:
        raise _cannot(f"the change at position {position} has more than {_AROUND} events", "declare what was before")
    return list(items[first : last + 1])


def _part(client: Client, event: Mapping[str, Any], together: set[int]) -> _Part:
    """Return what an event touched, as it was before.

    Raises:
        CliError: it is not about a declared thing, or something else has touched that since (exit 3).
    """
    category, _, name = str(event["stream"]).partition("-")
    kind = _UNDOABLE.get(category)
    position = int(event["position"])
    if kind is None:
        what = str(event["type"]).removeprefix("dev.resedge.")
        raise _cannot(f"position {position} is {what}, which declares nothing", "undo the change that led to it")
    told = client.get(_address(kind, name), {"before": position}).body
    part = _Part(kind, name, told["document"], int(told["version"]), bool(told["declared"]))
    since = [each for each in told["since"] if int(each["position"]) not in together]
    if since:
        said = "; ".join(f"position {each['position']} by {each['actor']} at {each['time']}" for each in since)
        raise _cannot(
            f"{part.shown} was changed again after position {position}",
            f"undo that first: resedge undo {since[-1]['position']}",
            said,
        )
    return part


def _address(kind: Kind, name: str) -> str:
    if kind is _CHOICES:
        return path_of("applications", name, kind.plural)
    return path_of(kind.plural, name.removeprefix("/") if kind.is_path else name)


def _cannot(what: str, fix: str, why: str = "") -> CliError:
    return CliError(what, why=why, fix=fix, exit_code=ExitCode.REFUSED, code="cannot-undo")


def _steps(client: Client, parts: Sequence[_Part]) -> Iterator[Undoing]:
    """Yield the changes: documents as one, then release choices, then the deletions, the last created first."""
    documents = [part for part in parts if part.kind is not _CHOICES and part.was is not None]
    if len(documents) == 1:
        part = documents[0]
        yield part.shown, "undone", _putting(client, part, part.was)
    elif documents:
        body = {"documents": [part.was for part in documents]}
        more = f" and {len(documents) - 1} more"
        yield (
            documents[0].shown + more,
            "undone",
            lambda params: client.change("POST", "/v1/documents", body, params=params, read_seconds=LONG_SECONDS),
        )
    for part in parts:
        if part.kind is _CHOICES:
            # What was chosen stays chosen, also if it selects nothing now.
            listed = [{**each, "allow_empty": True} for each in (part.was or {}).get("choices") or ()]
            yield part.shown, "undone", _putting(client, part, {"choices": listed})
    for part in reversed(parts):
        if part.kind is not _CHOICES and part.was is None and part.declared:
            yield part.shown, "deleted", _deleting(client, part)


def _putting(client: Client, part: _Part, body: Any) -> Callable[[Mapping[str, str]], ServerAnswer]:
    conditions = {} if part.kind is _CHOICES and not part.version else part.conditions
    return lambda params: client.change("PUT", part.path, body, params=params, conditions=conditions)


def _deleting(client: Client, part: _Part) -> Callable[[Mapping[str, str]], ServerAnswer]:
    return lambda params: client.change(
        "DELETE", part.path, params={**params, "reason": "undo"}, conditions=part.conditions
    )
