"""`resedge export`: everything that is declared, in the form that `apply` and `import fleet` accept."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Client, path_of
from cli.errors import UsageProblem
from cli.options import verb_app
from cli.output import to_yaml
from cli.session import Session, session_of

app = verb_app()
DOCUMENTS = "documents.yaml"
RELEASES = "releases"
MANIFESTS = "manifests.yaml"
RELEASE_FILE = "release.json"
CHOICES_FILE = "choices.json"


@app.command()
def export(
    ctx: typer.Context,
    with_releases: Annotated[
        bool, typer.Option("--with-releases", help="Include releases and choices; needs --dir.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Write into this new or empty directory.", metavar="DIR", show_default=False),
    ] = None,
) -> None:
    """Write every document as one YAML stream, to stdout or into a directory.

    `resedge apply -f` takes the stream back, `resedge import fleet DIR` a directory with its releases and choices.
    """
    session = session_of(ctx)
    if folder is None:
        if with_releases:
            raise UsageProblem("releases are exported into a directory", fix="add --dir DIR")
        for text in _documents(session):
            print(text, end="")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageProblem(f"{folder} is not empty", fix="name a new directory")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / DOCUMENTS).open("w", encoding="utf-8") as file:
        file.writelines(_documents(session))
    if with_releases:
        _releases(session.client, folder / RELEASES)
    session.say(f"written to {folder}; `resedge import fleet {folder}` takes it back")


def _documents(session: Session) -> Iterator[str]:
    session.kinds.ask_again()  # a kind that is not known here would be left out
    for kind in session.kinds.by_document.values():
        for item in session.client.pages(path_of(kind.plural), {}):
            yield "---\n" + to_yaml(item)


def _releases(client: Client, folder: Path) -> None:
    for application in client.pages(path_of("applications"), {}):
        name = str(application["metadata"]["name"])
        below = path_of("applications", name)
        for release in client.pages(f"{below}/releases", {}):
            version = str(release["version"])
            where = folder / _safe(name) / _safe(version)
            where.mkdir(parents=True)
            one = client.get(path_of("applications", name, "releases", version)).body
            answer = client.get(f"{path_of('applications', name, 'releases', version)}/manifests")
            (where / MANIFESTS).write_text(_text(answer.body, answer.text), encoding="utf-8", newline="")
            (where / RELEASE_FILE).write_text(
                _json({key: one.get(key) for key in ("schema", "defaults")}), encoding="utf-8"
            )
        choices = list(client.pages(f"{below}/release-choices", {}, key="choices"))
        if choices:
            (folder / _safe(name)).mkdir(parents=True, exist_ok=True)
            (folder / _safe(name) / CHOICES_FILE).write_text(_json(choices), encoding="utf-8")


def _safe(name: str) -> str:
    """Return the name as a file name; a server that answers with a path does not get to choose where we write.

    Raises:
        UsageProblem: it is a path.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UsageProblem(f"the server answered with {name!r} as a name")
    return name


def _text(body: Any, text: str) -> str:
    """Return the manifests, whether the server sent them bare or in a JSON object."""
    return str(body["manifests"]) if isinstance(body, Mapping) else text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
