"""The generated part of `docs/explanation/architecture.md`: a drawing and two tables, read from the code itself.

Services, their kinds and their consumers come from the composition roots, event types from their registry, imports from
the import graph, the order of the libraries from `.importlinter`.
"""

from __future__ import annotations

import configparser
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

from cli.embedded import SERVICES
from libs.bus import ViewConsumer
from libs.contracts import event_types
from libs.runtime.embedded import Embedded

_ROOT = Path(__file__).parents[1]
PAGE = "docs/explanation/architecture.md"
_BEGIN = "<!-- Made by `python -m scripts.generate` from here to the end of the page; do not edit. -->"
ENDS = {"libs.gittree": "git", "libs.bus.outbox": "kafka"}
"""Library → the place outside that a service which imports it writes to."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One service: what it declares, what it consumes the log with, and what it imports."""

    name: str
    kinds: tuple[str, ...]
    views: tuple[str, ...]
    models: tuple[str, ...]
    types: int
    libraries: tuple[str, ...]
    ends: tuple[str, ...]


def imports(graph: grimp.ImportGraph, package: str) -> set[str]:
    """Return the modules that a package imports directly, its own ones left out."""
    return {
        imported
        for module in {package, *graph.find_descendants(package)}
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.partition(f"{package}.")[1] == ""
    }


def libraries(modules: set[str]) -> tuple[str, ...]:
    """Return the names of the libraries to which modules belong."""
    return tuple(sorted({module.split(".")[1] for module in modules if module.startswith("libs.")}))


def drawn(graph: grimp.ImportGraph) -> list[Drawn]:
    """Return every service that `resedge up` runs, in the order in which it starts them."""
    types = Counter(name.split(".")[2] for name in event_types())
    found = []
    for build in SERVICES:
        name = build.__module__.split(".")[1]
        imported = imports(graph, f"services.{name}")
        with tempfile.TemporaryDirectory() as directory:
            alone = Embedded(Path(directory), [build])
            (service,) = alone.services
            alone.log.close()
        views = tuple(each.name for each in service.consumers if isinstance(each, ViewConsumer))
        found.append(
            Drawn(
                name=name,
                kinds=tuple(kind.kind for kind in service.kinds),
                views=views,
                models=tuple(each.name for each in service.consumers if each.name not in views),
                types=types[name],
                libraries=libraries(imported),
                ends=tuple(end for library, end in ENDS.items() if any(each.startswith(library) for each in imported)),
            )
        )
    return found


def drawing(services: list[Drawn]) -> Iterator[str]:
    """Yield the drawing in Mermaid's language."""
    yield from ("```mermaid", "flowchart LR", '    people["CLI, scripts, curl"]', '    outside["systems outside"]')
    yield '    subgraph services["services"]'
    for each in services:
        kinds = f"<br/><small>{', '.join(each.kinds)}</small>" if each.kinds else ""
        yield f'        {each.name}["<b>{each.name}</b>{kinds}"]'
    yield from ("    end", '    log[("event log")]')
    yield '    fleet["fleet<br/><small>facts in memory, in every process</small>"]'
    yield from ('    git[("Git branch")]', '    kafka[/"Kafka"/]', '    stores["Flux in the stores"]')
    yield from ("    people -->|HTTP| services", "    outside -->|CloudEvents| relay")
    for each in services:
        if each.types:
            yield f"    {each.name} -->|{each.types} event types| log"
    for each in services:
        reads = [*(f"model {model}" for model in each.models), *(f"view {view}" for view in each.views)]
        yield f"    log -.->|{'<br/>'.join(reads)}| {each.name}"
    yield from ("    log -.->|feed| fleet", "    fleet -.-|asked by| services")
    for each in services:
        for end in each.ends:
            yield f"    {each.name} ==> {end}"
    yield "    kafka -.->|the same feed,<br/>if services run alone| services"
    yield from ("    git ==>|pull| stores", "```")


def layers() -> list[list[str]]:
    """Return the libraries in the order of `.importlinter`, the topmost first; those of one line are independent."""
    config = configparser.ConfigParser()
    config.read(_ROOT / ".importlinter")
    lines = config["importlinter:contract:libs"]["layers"].split("\n")
    return [[name.strip() for name in line.split("|")] for line in lines if line.strip()]


def _tables(graph: grimp.ImportGraph, services: list[Drawn]) -> Iterator[str]:
    """Yield the table of the services and the table of the libraries."""
    yield "| service | declares | publishes | consumes the log with | imports from `libs` |"
    yield "|---|---|---|---|---|"
    for each in services:
        consumed = ", ".join([f"model `{name}`" for name in each.models] + [f"view `{name}`" for name in each.views])
        published = f"{each.types} event types" if each.types else ""
        yield f"| `{each.name}` | {', '.join(each.kinds)} | {published} | {consumed} | {', '.join(each.libraries)} |"
    yield from ("", "| layer | library | imports directly |", "|---|---|---|")
    for depth, names in enumerate(layers(), start=1):
        for name in names:
            below = libraries(imports(graph, f"libs.{name}"))
            yield f"| {depth} | `{name}` | {', '.join(below) or 'nothing of ours'} |"


def architecture_page() -> str:
    """Return the page: its written part as it is, then the drawing and the tables as the code is now."""
    graph = grimp.build_graph("services", "libs", cache_dir=None)
    services = drawn(graph)
    written = (_ROOT / PAGE).read_text("utf-8").partition(_BEGIN)[0].rstrip()
    made = ["## The drawing", "", *drawing(services), "", "## The same as tables", "", *_tables(graph, services)]
    return "\n".join([written, "", _BEGIN, "", *made]) + "\n"
