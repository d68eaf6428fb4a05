"""`docs/reference/kinds.md`: what each kind is, its fields, references, routes and commands, and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from libs.kinds import DECLARED_KINDS, KINDS, Kind

KINDS_PAGE_ROOT = Path(__file__).parents[1]
KINDS_PAGE = "docs/reference/kinds.md"
NESTED_MAX = 3
"""So many levels of fields are listed; what lies deeper is in the OpenAPI description."""


def described_kind(service: str) -> Mapping[str, Any]:
    whole: Mapping[str, Any] = json.loads((KINDS_PAGE_ROOT / f"schemas/openapi/{service}.json").read_text("utf-8"))
    return whole


def example_of(kind: Kind) -> dict[str, Any]:
    """Return the example of a declared kind as a whole document."""
    return {"apiVersion": "resedge.dev/v1", "kind": kind.document, **(kind.example or {})}


def _resolved(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return _resolved(named[schema["$ref"].rpartition("/")[2]], named)
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return _resolved(options[0], named) if len(options) == 1 else schema


def _type(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    found = _resolved(schema, named)
    if "items" in found:
        return f"list of {_type(found['items'], named)}"
    if "enum" in found:
        return " or ".join(f"`{each}`" for each in found["enum"])
    if "anyOf" in found:
        return " or ".join(_type(each, named) for each in found["anyOf"] if each.get("type") != "null")
    return str(found.get("type", "any"))


def fields(schema: Mapping[str, Any], named: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, bool]]:
    """Yield the fields of a document below a path: path, type, and whether it must be given."""
    if path.count(".") >= NESTED_MAX:
        return
    found = _resolved(schema, named)
    while "items" in found:
        found, path = _resolved(found["items"], named), f"{path}[]"
    for name, each in found.get("properties", {}).items():
        below = f"{path}.{name}".removeprefix(".")
        yield below, _type(each, named), name in found.get("required", ())
        yield from fields(each, named, below)


def document_schema(kind: Kind) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the schema of a kind's documents, and the schemas that it refers to by name."""
    whole = described_kind(kind.service)
    one = next(path for path in whole["paths"] if path.startswith(f"/v1/{kind.plural}/{{name"))
    body = whole["paths"][one]["put"]["requestBody"]["content"]["application/json"]["schema"]
    return body, whole["components"]["schemas"]


def routes_of_kind(kind: Kind) -> Iterator[tuple[str, str, str]]:
    """Yield the routes of a kind: method, path, and what it does."""
    root = f"/v1/applications/{{application}}/{kind.plural}" if kind.of_application else f"/v1/{kind.plural}"
    for service in sorted({each.service for each in KINDS}):
        for path, operations in described_kind(service)["paths"].items():
            rest = path.removeprefix(root)
            if not path.startswith(root) or rest[:1] not in {"", "/", ":"}:
                continue
            for method, operation in operations.items():
                said = operation.get("description", operation.get("summary", ""))
                yield method.upper(), path, said.partition("\n")[0].strip()


def commands(kind: Kind) -> list[str]:
    """Return the commands that take a kind by its words or its documents."""
    found = [f"resedge get {kind.plural}"]
    if kind.deletable:
        found.append(f"resedge delete {kind.singular}")
    if kind.document:
        found += ["resedge apply", "resedge diff", "resedge export"]
    return found


def _section(kind: Kind) -> Iterator[str]:
    yield from (f"## {kind.right if kind.document else kind.singular}", "", kind.about, "")
    yield f"- service: {kind.service}; events in the category `{kind.streams}`; roles name it `{kind.right}`"
    yield "- words: " + ", ".join(f"`{word}`" for word in dict.fromkeys(kind.words))
    yield "- commands: " + ", ".join(f"`{each}`" for each in commands(kind))
    for path, referred in kind.refers.items():
        yield f"- `{path}` names a {referred}"
    for path in kind.expressions:
        yield f"- `{path}` is an expression over clusters"
    yield from ("", "| route | what it does |", "|---|---|")
    yield from (
        f"| `{method} {path}` | {said.replace('|', chr(92) + '|')} |" for method, path, said in routes_of_kind(kind)
    )
    yield ""
    if kind.document:
        yield from ("| field | type | required |", "|---|---|---|")
        for path, form, required in fields(*document_schema(kind)):
            yield f"| `{path}` | {form} | {'yes' if required else ''} |"
        yield from ("", "```yaml", yaml.safe_dump(example_of(kind), sort_keys=False).rstrip(), "```", "")


def kinds_page() -> str:
    """Return the page of all kinds."""
    lines = [
        "# Kinds",
        "",
        "<!-- Made by `python -m scripts.generate`; do not edit. -->",
        "",
        (
            f"{len(DECLARED_KINDS)} kinds are declared by documents. "
            "The others can only be read, or are changed by commands of"
        ),
        "their own. The examples can be applied as they are, in the order of this page.",
        "",
    ]
    for kind in KINDS:
        lines += _section(kind)
    return "\n".join(lines).rstrip() + "\n"
