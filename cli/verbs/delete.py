"""`resedge delete`: remove declared things; refused while something refers to them."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.errors import CliError, UsageProblem
from cli.helping import DELETABLE, deletable_starting
from cli.options import DryRun, Yes, dry, verb_app
from cli.reaching import tell_reach
from cli.session import Session, session_of
from libs.kinds import Kind

app = verb_app()


@app.command()
def delete(
    ctx: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="KIND NAME…",
            help=f"A kind and names; or KIND/NAME. Kinds: {DELETABLE}.",
            autocompletion=deletable_starting,
        ),
    ],
    yes: Yes = False,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Stores and clusters: remove the empty directory at once; Flux then prunes nothing more."
        ),
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.", metavar="TEXT")] = "",
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Delete declared things of a kind by name; refused while something refers to them.

    The directory of a deleted cluster stays for a while, empty, so that its Flux prunes; see `get clusters --retired`.
    """
    session = session_of(ctx)
    kind, names = session.kinds.things(what, deletable=True)
    if not names:
        raise UsageProblem("delete which?", fix=f"resedge delete {kind.singular} NAME…")
    if not dry_run:
        few = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        session.ask(f"delete {kind.singular if len(names) == 1 else kind.plural} {few}?", yes=yes)
    if now and kind.singular not in {"store", "cluster"}:
        raise UsageProblem(f"--now is for stores and clusters, not for a {kind.singular}")
    gone = [each for name in names for each in _clusters(session, kind, name)] if now and not dry_run else []
    params = {**dry(dry_run), "reach": "true", **({"reason": reason} if reason else {})}
    for done, name in enumerate(names):
        try:
            answer = session.client.change("DELETE", path_of(kind.plural, name), params=params)
        except CliError as error:
            if done and not dry_run:
                error.fix = f"{error.fix + '; ' if error.fix else ''}{done} of {len(names)} were deleted before"
            raise
        tell_answer(session, f"{kind.singular}/{name}", answer, output, dry_run=dry_run, result="deleted")
        tell_reach(session, answer.body)
    for name in gone:
        session.client.change("DELETE", path_of("retired-clusters", name))


def _clusters(session: Session, kind: Kind, name: str) -> list[str]:
    """Return the clusters that go with a store, or the cluster itself."""
    if kind.singular == "cluster":
        return [name]
    spec = session.client.get(path_of(kind.plural, name)).body.get("spec", {})
    clusters = spec.get("clusters")
    return [name] if clusters is None else [str(each["name"]) for each in clusters]
