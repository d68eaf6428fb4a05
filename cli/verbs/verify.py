"""`resedge verify`: check that the log and the repository are unchanged and match."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import LONG_SECONDS, Client
from cli.errors import ExitCode, UsageProblem
from cli.options import Output, verb_app
from cli.output import Format, TableColumn, field, write_items, write_value
from cli.session import session_of
from cli.terminal import coloured

app = verb_app()
_COLUMNS = (
    TableColumn("OK", field("ok")),
    TableColumn("CHECK", field("check")),
    TableColumn("DETAIL", field("detail")),
)


@app.command()
def verify(
    ctx: typer.Context,
    every_commit: Annotated[bool, typer.Option("--all", help="Rebuild every commit, not only the newest.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", help="Check this directory offline, without a server.", metavar="DIR", show_default=False
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Check the log's chain, the heads in the commits, and the tree against the log.

    Exits 1 when a check fails.
    """
    checks = _offline(data_dir, every_commit) if data_dir else _online(session_of(ctx).client, every_commit)
    ok = bool(checks) and all(check.get("ok") for check in checks)
    if output in (Format.JSON, Format.YAML):
        write_value({"ok": ok, "checks": checks}, output)
    else:
        write_items(checks, output, _COLUMNS, lambda check: str(check.get("check")))
    verdict = "Verified: log, commits and tree match." if ok else "Not verified: see the failed checks."
    print(coloured(verdict, "green" if ok else "red", sys.stderr), file=sys.stderr)
    if not ok:
        raise typer.Exit(ExitCode.FAILED)


def _online(client: Client, every_commit: bool) -> list[Mapping[str, Any]]:
    checks: list[Mapping[str, Any]] = []
    for path, params in (("/v1/log:verify", {}), ("/v1/rendering:verify", {"all": str(every_commit).lower()})):
        body = client.change("POST", path, params=params, read_seconds=LONG_SECONDS).body
        found = list(body.get("checks") or ())
        # A verdict that no check explains must not be lost.
        explained = bool(body.get("ok")) == all(check.get("ok") for check in found)
        checks += [check for check in found if not _listed(check, checks)]
        checks += [] if explained else [{"check": path, "ok": bool(body.get("ok")), "detail": "overall"}]
    return checks


def _listed(check: Mapping[str, Any], checks: list[Mapping[str, Any]]) -> bool:
    """Tell whether another service has found the same: each looks at the chain before anything else."""
    return any((each.get("check"), each.get("ok")) == (check.get("check"), check.get("ok")) for each in checks)


def _offline(data_dir: Path, every_commit: bool) -> list[Mapping[str, Any]]:
    if not data_dir.is_dir():
        raise UsageProblem(f"{data_dir} is not a directory")
    from cli.verify_offline import verify_data_dir  # noqa: PLC0415 - loaded only when it is needed: start-up time

    try:
        return list(verify_data_dir(data_dir, every_commit))
    except OSError as error:
        raise UsageProblem(f"{data_dir} cannot be verified", why=str(error)) from error
