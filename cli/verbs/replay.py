"""`resedge replay`: any view, and the Git tree, as of an earlier position."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.cells import table_columns
from cli.errors import UsageProblem, nearest_words
from cli.options import Output, verb_app
from cli.output import Format, Item, TableColumn, field, write_items
from cli.session import Session, session_of
from cli.terminal import progress
from libs.contracts.meaning import counted
from libs.kinds import KINDS

if TYPE_CHECKING:
    from cli.replaying import Replay

app = verb_app()
_COLUMNS = (TableColumn("VIEW", field("view")), TableColumn("ITEMS", field("items")))


@app.command()
def replay(
    ctx: typer.Context,
    as_of: Annotated[
        str,
        typer.Option("--as-of", help="A position, or a time: the last position at that time.", metavar="POSITION|TIME"),
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="The log in this data directory.", metavar="DIR", show_default=False),
    ] = None,
    log_url: Annotated[
        str, typer.Option("--log-url", help="The log there; else RESEDGE_LOG_URL(_FILE).", metavar="URL")
    ] = "",
    view: Annotated[
        str, typer.Option("--view", help="The view to write; without it, all are listed.", metavar="NAME")
    ] = "",
    gitops: Annotated[
        Path | None,
        typer.Option(
            "--gitops", help="Write the branch into this new bare repository.", metavar="DIR", show_default=False
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Rebuild views, or the Git tree, as they were at a position or a time.

    Only the log is read, and nothing is changed: no server, no lock and no lease is needed, and one may be running.
    Views are the documents of a kind (`stores`, `groups`, `releases`, …) and the tables that services keep
    (`audit.trail`, `inventory.documents`, …). The commits of --gitops have the ids that they have on the live branch.
    """
    from cli import replaying  # noqa: PLC0415 - loaded only when it is needed: start-up time

    session = session_of(ctx)
    if view and view not in replaying.NAMES:
        fix = f"views: {', '.join(replaying.NAMES)}"
        raise UsageProblem(f"there is no view {view!r}", fix=fix, nearest=nearest_words(view, replaying.NAMES))
    with replaying.opened_log(_url(session, data_dir, log_url)) as log, replaying.temporary() as folder:
        place = replaying.log_place_of(log, as_of)
        session.say(f"as of {place}")
        if view or gitops is None:
            names = [view] if view else list(replaying.NAMES)
            rebuilt = replaying.Replay(log, place, folder, names)
            for _ in progress(rebuilt.run(), place.position, "replaying"):
                pass
            _write(rebuilt, view, names, output)
        if gitops is not None:
            branch = replaying.rebuilt_branch(log, place, gitops)
            for note in branch.notes:
                session.warn(note)
            at = branch.commit or "no commit yet"
            session.say(f"branch {branch.branch} of {gitops} is at {at} ({counted(branch.commits, 'commit')})")


def _url(session: Session, data_dir: Path | None, log_url: str) -> str:
    if data_dir is not None and log_url:
        raise UsageProblem("--data-dir and --log-url name two logs", fix="leave one out")
    if data_dir is not None:
        if not data_dir.is_dir():
            raise UsageProblem(f"{data_dir} is not a directory")
        return f"sqlite:///{data_dir / 'log.db'}"
    file = session.environment.get("RESEDGE_LOG_URL_FILE", "")
    found = log_url or session.environment.get("RESEDGE_LOG_URL", "")
    if not found and file:
        found = Path(os.fsdecode(file)).read_text("utf-8").rstrip("\r\n")
    if not found:
        raise UsageProblem("no log is given", fix="add --data-dir DIR, or --log-url URL, or set RESEDGE_LOG_URL")
    return found


def _write(rebuilt: "Replay", view: str, names: list[str], output: Format) -> None:
    if not view:
        counts: list[Mapping[str, Any]] = [{"view": name, "items": rebuilt.count(name)} for name in names]
        write_items(counts, output, _COLUMNS, lambda item: str(item["view"]))
        return
    kind = next((kind for kind in KINDS if kind.plural == view), None)
    if kind is not None:
        write_items(rebuilt.items(view), output, table_columns(kind), kind.name, empty=f"no {view}")
        return

    def name(item: Item) -> str:
        return f"{item.get('table', view)}/{next((str(value) for key, value in item.items() if key != 'table'), '-')}"

    columns = [TableColumn(each.upper(), field(each)) for each in ("table", *rebuilt.columns(view))]
    write_items(rebuilt.items(view), output, columns, name, empty=f"nothing in {view}")
