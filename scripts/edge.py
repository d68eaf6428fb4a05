"""Writes the routes of the edge router into `compose/edge/nginx.conf.template`, from `schemas/openapi/*.json`.

`python -m scripts.edge` writes them; `--check` says whether they are current. A path belongs to the service that
describes it; a collection (`/v1/stores`) goes whole to the service that has most of it, and the others' paths below it
are named one by one.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]
TEMPLATE = _ROOT / "compose/edge/nginx.conf.template"
COPY = _ROOT / "k8s/base/nginx.conf.template"
"""Kustomize reads no file outside its root."""
COPY = _ROOT / "k8s/base/nginx.conf.template"
"""kustomize reads nothing outside its own folder."""
DESCRIPTIONS = _ROOT / "schemas/openapi"
_BEGIN, _END = "    # routes: written by python -m scripts.edge", "    # end of routes"
OF_EACH_SERVICE = ("livez", "readyz", "metrics", "openapi.json", "v1/projections", "v1/documents:decide")
"""What every service has for itself: `/services/<name>/readyz` and the like."""
ANSWERED_BY = {"/v1/whoami": "inventory", "/v1/kinds": "inventory", "/v1/documents": "relay"}
"""What every service answers alike, and who does: documents of all kinds go to the relay, which asks the services."""
NAMED_AFTER_THEIR_SERVICE = "/v1/projections"
"""`/v1/projections/<service>.<view>`: the name says whose it is; the list of each is under `/services/<name>`."""


@dataclass(frozen=True, slots=True, order=True)
class Operation:
    """One method of one path of one service's description."""

    path: str
    method: str
    service: str


def operations(descriptions: Path = DESCRIPTIONS) -> list[Operation]:
    """Return all operations of all services that the edge routes by their path."""
    return sorted(
        Operation(path, method.upper(), file.stem)
        for file in descriptions.glob("*.json")
        for path, methods in json.loads(file.read_text("utf-8"))["paths"].items()
        if path.removeprefix("/") not in OF_EACH_SERVICE
        for method in methods
    )


def collection_of(path: str) -> str:
    """Return what a path is under: `/v1/stores` of `/v1/stores:import` and `/v1/stores/{name}`."""
    found = re.match(r"/v1/[a-z-]+", path)
    if found is None:
        raise ValueError(f"{path} is not under /v1: the edge has no rule for it")
    return found[0]


def routes(descriptions: Path = DESCRIPTIONS) -> Iterator[tuple[str, str]]:
    """Yield (regular expression of `METHOD path`, service); the first that matches decides."""
    by_collection: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations(descriptions):
        by_collection[collection_of(operation.path)].append(operation)
    for collection, members in sorted(by_collection.items()):
        if collection == NAMED_AFTER_THEIR_SERVICE:
            for service in sorted({each.service for each in members}):
                yield rf"^[A-Z]+ {collection}/{service}\.", service
            continue
        if collection in ANSWERED_BY:
            yield rf"^[A-Z]+ {collection}$", ANSWERED_BY[collection]
            continue
        counts = Counter(each.service for each in members)
        owner = min(counts, key=lambda service: (-counts[service], service))
        owned = {each.path for each in members if each.service == owner}
        yield from _exceptions([each for each in members if each.service != owner], owned)
        yield rf"^[A-Z]+ {collection}(?=[/:]|$)", owner


def _exceptions(others: list[Operation], owned: set[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for each in others:
        method = each.method if each.path in owned else "[A-Z]+"
        rule = f"^{method} {_pattern(each.path)}$", each.service
        if rule not in seen:
            seen.add(rule)
            yield rule


def _pattern(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "[^/]+", path)


def services(descriptions: Path = DESCRIPTIONS) -> list[str]:
    """Return the names of all services that are described."""
    return sorted(file.stem for file in descriptions.glob("*.json"))


def written(template: str, descriptions: Path = DESCRIPTIONS) -> str:
    """Return the template with the routes of the descriptions.

    Raises:
        ValueError: its two marks are missing.
    """
    before, begin, rest = template.partition(_BEGIN + "\n")
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{TEMPLATE.name} has no part between {_BEGIN!r} and {_END!r}")
    lines = "".join(f'    "~{expression}" {service};\n' for expression, service in routes(descriptions))
    return before + begin + lines + end + after


def filled_template(template: str, values: Mapping[str, str]) -> str:
    """Return the configuration: `${NAME}` replaced by its value, nginx's own variables left alone.

    Raises:
        ValueError: a value is missing.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"the edge router's configuration needs {found[1]}")
        return values[found[1]]

    return re.sub(r"\$\{([A-Z_]+)\}", value, template)


def main() -> int:
    """Write the routes, or with `--check` compare them."""
    wanted = written(TEMPLATE.read_text("utf-8"))
    stale = [path for path in (TEMPLATE, COPY) if path.read_text("utf-8") != wanted]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(_ROOT)} does not have the current routes: run python -m scripts.edge")
        return int(bool(stale))
    for path in stale:
        path.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
