"""Writes the generated pages, and the generated parts of two others, from the code that they describe.

`python -m scripts.generate` writes them; `--check` only says which are not current, and exits 1 if there are any.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cli.reference
import libs
import services
from libs.contracts.refusals import Invalid, Rejected
from libs.gates import GATES
from libs.runtime.settings import Settings
from libs.selection.errors import SelectionError
from scripts import architecture, kinds_page
from services.catalog.publishing import REFUSED_CODES

_ROOT = Path(__file__).parents[1]
MADE = "<!-- Made by `python -m scripts.generate`; do not edit. -->"
HTTP_FOLDERS = ("libs", "services")
PUBLISH_FOLDER = "libs/templates"

MEANINGS = {
    "host": "The address to listen on, loopback by default. There is no TLS yet.",
    "port": "The port to listen on. `resedge up` takes `--port` instead.",
    "data_dir": "The directory of log, views, snapshots and tokens. `resedge up` takes `--data-dir` instead.",
    "log_url": "The event log, if it is not SQLite in the data directory: `postgresql+pg8000://USER@HOST/DATABASE` or "
    "`mssql+pyodbc://USER@HOST/DATABASE`.",
    "views_url": "The database of the views, if they are not SQLite in the data directory: "
    "`postgresql+asyncpg://ROLE@HOST/DATABASE`, with a role for each service; `{service}` is replaced by its name.",
    "kafka_servers": "Kafka's `HOST:PORT,…`; without it, events are read from the log.",
    "kafka_prefix": "The prefix of the names of topics and groups, if several systems share a Kafka.",
    "kafka_create_topics": "Whether the relay creates missing topics at start.",
    "tokens_path": "The file of hashed tokens that services share; `tokens.json` in the data directory if not set.",
    "oidc_issuer": "The identity provider whose access tokens are accepted: exactly its `iss`, an https address; "
    "without it, none.",
    "oidc_audience": "A value that a token's `aud` must contain; the client id if not set.",
    "oidc_algorithms": "The accepted signature algorithms, separated by commas; shared secrets are refused.",
    "oidc_name_claim": "The claim with a person's name; if not set, a verified `email`, otherwise `sub`.",
    "oidc_groups_claim": "The claim with the groups that role bindings name, or a JSON pointer to it: "
    "`/realm_access/roles`.",
    "oidc_verified_claim": "The claim that says whether `email` is verified: `true`, or the text `true`.",
    "oidc_client_id": "The client id that `resedge login` uses.",
    "instance": "The unique name of this replica; derived from host and data directory if not set.",
    "trusted_proxies": "Addresses and networks whose `X-Forwarded-For` is trusted, separated by `,`; none if not set.",
    "connections_max": "The limit of client connections; at the limit, one without a request is closed for a new one.",
    "otlp_endpoint": "Where traces are sent, by OTLP over gRPC: `http://HOST:4317`; without it, they are not sent.",
    "api_url": "The address of the edge router, where the relay reaches the other services.",
    "token": "The relay's own token, with the role `relay`.",
    "log_level": "The least severe line that is logged: `DEBUG`, `INFO`, `WARNING`, `ERROR`.",
    "snapshot_seconds": "How often snapshots of in-memory models are written, so that a start reads less of the log.",
    "repository": "The bare repository to write; `gitops.git` in the data directory if not set.",
    "remote": "The repository to push to, if set. A push that is not a fast-forward is reported, never forced.",
    "push_retry_seconds": "How long until the first retry of a failed push; each further interval is twice as long.",
    "push_retry_seconds_max": "The longest interval between retries of a push.",
    "push_check_seconds": "How often the branch is pushed without a new commit, for a remote that was returned.",
    "workers": "The number of processes that write packs; with 0 the server's own process writes them.",
    "workers_from_clusters": "The number of clusters from which workers are started.",
    "lease_seconds": "How long a lease (to write the branch, to publish to Kafka) stays valid after its holder died.",
    "maintain_every_commits": "The number of commits after which packs are merged.",
    "snapshot_every_events": "The number of events after which a snapshot of the renderer's model is written.",
    "snapshot_every_files": "The number of written files after which such a snapshot is written, too.",
    "removals_settle_seconds": "How long a removal must be wanted without interruption before it is admitted.",
    "retired_days": "How long the empty directory of a deleted cluster stays, so that Flux prunes.",
    "layout_step_hours": "How long stores have to pull one step of `resedge gitops upgrade-layout` before the next.",
}


@dataclass(frozen=True, order=True)
class _Row:
    """One code, as it can be answered."""

    code: str
    status: str
    title: str


def import_everything() -> None:
    """Load every module, so that every subclass is known; entry points are left alone."""
    for package in (libs, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


T = TypeVar("T")


def subclasses(base: type[T]) -> Iterator[type[T]]:
    """Yield all classes below `base` that ship; a test may define some of its own."""
    for each in base.__subclasses__():
        if each.__module__.partition(".")[0] in {"libs", "services"}:
            yield each
        yield from subclasses(each)


def first_line(cls: type) -> str:
    """Return what a refusal's docstring says first."""
    return inspect.cleandoc(cls.__doc__ or "").splitlines()[0]


def refusals() -> Iterator[_Row]:
    """Yield what deciders refuse and what expressions can be wrong with."""
    for each in subclasses(Rejected):
        if "code" in vars(each):
            yield _Row(each.code, "422" if issubclass(each, Invalid) else "409", first_line(each))
    yield _Row(SelectionError.code, "422", "The expression cannot be read.")


def _text_of(node: ast.expr) -> str:
    """Return a text in the code; what is filled in at run time shows as `…`."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in values)
        case ast.BinOp(left=left, right=right):
            return _text_of(left) + _text_of(right)
        case ast.Attribute(value=ast.Name(id=name), attr="code"):
            return next((each.code for each in subclasses(Rejected) if each.__name__ == name), "")
        case _:
            return ""


def calls(folder: str, *names: str) -> Iterator[ast.Call]:
    """Yield the calls of some functions in a folder's modules."""
    for path in sorted((_ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield node


def _problems() -> Iterator[_Row]:
    """Yield what the web answers of itself."""
    for folder in HTTP_FOLDERS:
        for call in calls(folder, "Problem", "unavailable"):
            if isinstance(call.func, ast.Name) and call.func.id == "unavailable":
                code = next((_text_of(each.value) for each in call.keywords if each.arg == "code"), "unavailable")
                yield _Row(code, "503", "The service cannot answer now.")
            elif len(call.args) > 2 and isinstance(call.args[0], ast.Constant) and _text_of(call.args[1]):
                yield _Row(_text_of(call.args[1]), str(call.args[0].value), _text_of(call.args[2]) or "…")


def status_of(code: str) -> str:
    """Return what a release that cannot be taken is answered with."""
    return "409" if code in REFUSED_CODES else "422"


def publishing() -> Iterator[_Row]:
    """Yield why a release, a document or a schema cannot be taken."""
    for call in calls(PUBLISH_FOLDER, "PublishRejected", "YamlRejected"):
        if len(call.args) > 1 and _text_of(call.args[0]):
            title = _text_of(call.args[1]) or "The body cannot be parsed"
            yield _Row(_text_of(call.args[0]), status_of(_text_of(call.args[0])), title[:1].upper() + title[1:])


def one_each(rows: Iterator[_Row]) -> list[_Row]:
    """Return one row a code, with the first of its titles in the order of the alphabet."""
    found: dict[str, _Row] = {}
    for row in sorted(rows):
        found.setdefault(row.code, row)
    return list(found.values())


def problems_page() -> str:
    """Return the page of all codes."""
    import_everything()
    refused = one_each(refusals())
    known = {row.code for row in refused}
    answered = [row for row in one_each(_problems()) if row.code not in known]
    known |= {row.code for row in answered}
    published = [row for row in one_each(publishing()) if row.code not in known]
    rendering = sorted({code for gate in GATES for code in gate.refusals})
    lines = [
        "# Problems",
        "",
        MADE,
        "",
        "Every answer that is not a success is a problem document (RFC 9457): `type`, `code`, `title`, `status`,",
        "`detail`, where they apply `pointer` and `fix`, and `request_id`. `code` is stable; `detail` explains",
        "this case.",
        "",
    ]
    for heading, rows in (
        ("Refused by a decision", refused),
        ("Answered by the HTTP layer", answered),
        ("A body or a release that is not accepted", published),
    ):
        lines += [f"## {heading}", ""]
        for row in rows:
            lines += [f"### `{row.code}`", "", f"{row.status}. {row.title.rstrip('.')}.", ""]
    lines += [
        "## Refused at rendering",
        "",
        "This is a state, not an answer: what was admitted stays. `resedge get refusals` and `resedge why` show it.",
        "",
        *(f"- `{code}`" for code in rendering),
    ]
    return "\n".join(lines).rstrip() + "\n"


def settings_page() -> str:
    """Return the page of all settings."""
    import_everything()
    lines = [
        "# Settings",
        "",
        MADE,
        "",
        "A process reads its settings from the environment once, at start. For secrets, `<NAME>_FILE` names a file",
        "that holds the value. A service without its own variable uses the shared one: `RESEDGE_LOG_URL` if",
        "`RESEDGE_CATALOG_LOG_URL` is not set.",
        "",
    ]
    for each in sorted(subclasses(Settings), key=lambda found: (found.__module__, found.__name__)):
        prefix = each.model_config.get("env_prefix", "")
        lines += [
            f"## `{each.__name__}`",
            "",
            first_line(each),
            "",
            "| variable | default | meaning |",
            "|---|---|---|",
        ]
        for name, field in each.model_fields.items():
            default = "" if field.default in (None, "") else f"`{field.default}`"
            lines.append(f"| `{prefix}{name.upper()}` | {default} | {MEANINGS[name]} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


CALENDARS = "docs/reference/calendars.md"
GATES_BEGIN, GATES_END = "<!-- gates: made by `python -m scripts.generate` -->", "<!-- end of gates -->"


def calendars_page() -> str:
    """Return the page about gates with the table that follows from their list; the rest is written by hand."""
    before, begin, rest = (_ROOT / CALENDARS).read_text("utf-8").partition(GATES_BEGIN)
    _, end, after = rest.partition(GATES_END)
    if not begin or not end:
        raise ValueError(f"{CALENDARS} has no place for the table of gates")
    table = ["| gate | open when |", "|---|---|", *(f"| {gate.name} | {gate.open_when} |" for gate in GATES)]
    return "\n".join([before + begin, *table, end]) + after


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/problems.md": problems_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/cli.md": cli.reference.reference,
    architecture.PAGE: architecture.architecture_page,
    CALENDARS: calendars_page,
    kinds_page.KINDS_PAGE: kinds_page.kinds_page,
}
"""Page → what it must hold."""


def _stale() -> list[str]:
    """Return the pages that are not what the code says now."""
    return [
        name
        for name, page in PAGES.items()
        if not (_ROOT / name).exists() or (_ROOT / name).read_text("utf-8") != page()
    ]


def main() -> int:
    """Write the pages, or with `--check` compare them."""
    if "--check" in sys.argv[1:]:
        found = _stale()
        for name in found:
            print(f"{name} is not current: run python -m scripts.generate")
        return 1 if found else 0
    for name, page in PAGES.items():
        (_ROOT / name).write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
