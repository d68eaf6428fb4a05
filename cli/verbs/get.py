"""`resedge get`: read things of a kind, or one by name."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

import typer

from cli.cells import table_columns
from cli.client import PAGE_ITEMS_MAX, Client, path_of
from cli.errors import CliError, ExitCode, UsageProblem
from cli.helping import READABLE, readable_starting
from cli.options import Limit, Output, Where, verb_app
from cli.output import Format, Item, TableColumn, field, sort_items, write_items, write_value
from cli.session import Session, session_of
from cli.terminal import is_plain
from libs.kinds import Kind

app = verb_app()
TERMINAL_ITEMS = 100

_LAYERS = (TableColumn("KEY", field("key")), TableColumn("VALUE", field("value")), TableColumn("LAYER", field("layer")))

History = Annotated[
    bool, typer.Option("--history", help="With `release-choices`: who set what and when, the newest first.")
]
_HISTORY = (
    TableColumn("POSITION", field("position")),
    TableColumn("TIME", field("time")),
    TableColumn("ACTOR", field("actor")),
    TableColumn("WHAT", field("sentence")),
)

_Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        help="With `configuration`: resolve for it; with `windows`: what is open for it.",
        metavar="NAME",
    ),
]


@app.command()
def get(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="KIND [NAME…]",
            help=f"A kind, and names; or KIND/NAME. Kinds: {READABLE}.",
            autocompletion=readable_starting,
        ),
    ],
    output: Output = Format.TABLE,
    where: Where = "",
    limit: Limit = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, on a terminal too.")] = False,
    sort: Annotated[
        str, typer.Option("--sort", help="By a column or path; a leading `-` reverses the order.", metavar="KEY")
    ] = "",
    cluster: _Cluster = "",
    application: Annotated[
        str,
        typer.Option(
            "--application", help="Of releases, choices, a resolved configuration, windows, blocked.", metavar="NAME"
        ),
    ] = "",
    state: Annotated[str, typer.Option("--state", help="Overrides or approvals in this state.", metavar="STATE")] = "",
    retired: Annotated[
        bool, typer.Option("--retired", help="With `clusters`: deleted ones whose empty directories are still there.")
    ] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Only approvals that I can vote on now.")] = False,
    history: History = False,
    since: Annotated[str, typer.Option("--from", help="Windows from this instant on.", metavar="INSTANT")] = "",
    until: Annotated[str, typer.Option("--to", help="Windows before this instant.", metavar="INSTANT")] = "",
) -> None:
    """Read things of a kind, or some by name.

    A terminal shows the first hundred and says so; what is piped or has --all or --limit is not cut off.
    `get configuration --cluster C --application A` resolves the layers and names the one that gave each key.
    """
    session = session_of(ctx)
    kind, names = _asked(session, what, retired=retired)
    if kind.singular == "configuration" and (cluster or application):
        _resolved(session.client, cluster, application, output)
        return
    if history:
        _history(session, kind, (application, names), output, limit)
        return
    span = {"from": since, "to": until, "cluster": cluster}
    asked = {"where": where, "state": state, "mine": "true" if mine else "", **span}
    if kind.of_application:
        application, names = _application_of(kind, application, names)
    else:
        asked["application"] = application
    filters = _filters(session.kinds, kind, asked)
    page_items = PAGE_ITEMS_MAX if sort else min(limit or PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)
    listed = _named(session.client, kind, names, application) if names else None
    items = listed or _listed(session.client, kind, filters, application, page_items)
    whole, single = everything or bool(names), len(names) == 1
    _write(session, kind, items, output, limit=limit, everything=whole, sort=sort, single=single)


def _asked(session: Session, what: list[str], *, retired: bool) -> tuple[Kind, list[str]]:
    kind, names = session.kinds.things(what)
    if not retired:
        return kind, names
    if kind.singular != "cluster":
        raise UsageProblem(f"{kind.plural} do not take --retired", fix="resedge get clusters --retired")
    return session.kinds.named("retired-clusters"), names


def _write(  # noqa: PLR0913 - each is one part of what is said
    session: Session,
    kind: Kind,
    items: Iterable[Item],
    how: Format,
    *,
    limit: int | None,
    everything: bool,
    sort: str,
    single: bool,
) -> None:
    columns = table_columns(kind)
    if sort:
        items = sort_items(items, sort, columns)
    on_terminal = how in (Format.TABLE, Format.WIDE) and not is_plain(sys.stdout)
    most = limit or (None if everything or not on_terminal else TERMINAL_ITEMS)
    rest = iter(items)
    shown = islice(rest, most) if most else rest
    write_items(shown, how, columns, kind.name, single=single, empty=f"no {kind.plural}")
    if most and not limit and next(rest, None) is not None:
        session.say(f"the first {most}; --all shows every one, --limit N so many")


def _filters(kinds: Iterable[Kind], kind: Kind, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the query that the options make.

    Raises:
        UsageProblem: this kind's list cannot be narrowed by one of them.
    """
    given = {name: value for name, value in asked.items() if value}
    for name in given:
        if name not in kind.filters:
            taken = ", ".join(each.plural for each in kinds if name in each.filters)
            option = "-l" if name == "where" else f"--{name}"
            raise UsageProblem(f"{kind.plural} do not take {option}", fix=f"it is of {taken}; see `resedge get --help`")
    return given


def _listed(
    client: Client, kind: Kind, filters: Mapping[str, str], application: str, page_items: int
) -> Iterator[Item]:
    path = path_of("applications", application, kind.plural) if kind.of_application else path_of(kind.plural)
    choices = kind.plural == "release-choices"
    key = "choices" if choices else "items"
    items = client.pages(path, filters, key=key, page_items=page_items)
    for order, item in enumerate(items, start=1):
        yield _of(kind, application, {"order": order, **item} if choices else item)


def _history(session: Session, kind: Kind, of: tuple[str, list[str]], how: Format, limit: int | None) -> None:
    """Write what was set for an application, each with the position that `resedge undo` takes."""
    if kind.plural != "release-choices":
        raise UsageProblem(f"{kind.plural} do not take --history", fix="see `resedge audit --subject KIND/NAME`")
    application, _ = _application_of(kind, *of)
    query = {"subject": f"application/{application}", "type": "ReleaseChoicesSet", "order": "newest"}
    items = session.client.pages("/v1/audit", query)
    write_items(islice(items, limit), how, _HISTORY, lambda item: f"event/{item['position']}", empty="nothing was set")


def _named(client: Client, kind: Kind, names: list[str], application: str) -> Iterator[Item]:
    if kind.picked:
        yield from _picked(client, kind, names)
        return
    for name in names:
        parts = ("applications", application, kind.plural, name) if kind.of_application else (kind.plural, name)
        yield _of(kind, application, client.get(path_of(*parts)).body)


def _picked(client: Client, kind: Kind, names: list[str]) -> Iterator[Item]:
    """Yield from a list that has no address for a single one; a hold is named by id, a refusal by its application."""
    found = [item for item in client.pages(path_of(kind.plural), {}) if kind.key_of(item) in names]
    if missing := sorted(set(names) - {kind.key_of(item) for item in found}):
        raise CliError(
            f"no {kind.singular} {', '.join(missing)}",
            fix=f"see `resedge get {kind.plural}`",
            exit_code=ExitCode.NOT_FOUND,
            code="not-found",
        )
    yield from found


def _of(kind: Kind, application: str, item: Any) -> Item:
    """Return the item with the application that it belongs to."""
    return {"application": application, **item} if kind.of_application and "application" not in item else dict(item)


def _application_of(kind: Kind, application: str, names: list[str]) -> tuple[str, list[str]]:
    """Read `get releases APPLICATION [VERSION…]`, `get releases APPLICATION/VERSION` and `--application`."""
    if not application and names:
        application, *names = names
    application, _, version = application.partition("/")
    if not application:
        raise UsageProblem(f"{kind.plural} of which application?", fix=f"resedge get {kind.plural} APPLICATION")
    if kind.plural == "release-choices" and (names or version):
        raise UsageProblem("release choices are one list", fix=f"resedge get release-choices {application}")
    return application, [version, *names] if version else names


def _resolved(client: Client, cluster: str, application: str, how: Format) -> None:
    if not (cluster and application):
        raise UsageProblem("resolving a configuration needs both --cluster and --application")
    body = client.get("/v1/configurations:resolve", {"cluster": cluster, "application": application}).body
    if how in (Format.JSON, Format.YAML):
        write_value(body, how)
        return
    origins: Mapping[str, Any] = body.get("origins") or {}
    rows = [
        {"key": key, "value": value, "layer": _layer(origins, key)} for key, value in _leaves(body.get("values"), "")
    ]
    write_items(rows, how, _LAYERS, lambda row: str(row["key"]), empty="no values")


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """Yield every value that is not a map, with its JSON pointer (RFC 6901)."""
    if not isinstance(value, Mapping) or not value:
        if pointer or value:
            yield pointer, value
        return
    for key, part in value.items():
        yield from _leaves(part, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


def _layer(origins: Mapping[str, Any], pointer: str) -> Any:
    """Return the layer of the nearest pointer that has one: a map that came whole is named once."""
    while pointer and pointer not in origins:
        pointer = pointer.rpartition("/")[0]
    return origins.get(pointer)
