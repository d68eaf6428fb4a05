"""A kind is registered once: everything that has to know it follows, and no other module lists kinds."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from libs.commands.ordering import ordered
from libs.contracts.documents import DECIDED_BY
from libs.contracts.rights import ROLE_KINDS
from libs.kinds import DECLARED, KINDS, Kind, texts_at, told, understood
from scripts.edge import routes as edge_routes
from services.audit.asking import subject_asked

ROOT = Path(__file__).parents[2]
SHIPPED = [path for top in ("cli", "libs", "services", "scripts") for path in sorted((ROOT / top).rglob("*.py"))]
LISTED_MAX = 2
"""So many kinds a module may name as values; more are a list of kinds."""
MAY_NAME: Mapping[str, str] = {
    "libs/kinds/declared.py": "the registry",
    "libs/kinds/read.py": "the registry",
    "cli/demo/catalog.py": "the demo's documents",
    "libs/templates/kinds.py": "kinds of Kubernetes",
    "services/catalog/api.py": "takes its own three kinds from the registry",
    "services/catalog/documents.py": "reads documents of its own three kinds",
    "services/policy/api.py": "takes its own six kinds from the registry",
}
"""Module → why more than two kinds stand in it."""


def documents_of(kind: Kind) -> dict[str, Any]:
    return {"apiVersion": "resedge.dev/v1", "kind": kind.document, **(kind.example or {})}


def described(service: str) -> Mapping[str, Any]:
    whole: Mapping[str, Any] = json.loads((ROOT / f"schemas/openapi/{service}.json").read_text("utf-8"))
    return whole


def operations(service: str) -> Mapping[str, Any]:
    paths: Mapping[str, Any] = described(service)["paths"]
    return paths


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.singular)
def test_a_registration_travels_as_json(kind: Kind) -> None:
    back = understood(json.loads(json.dumps(told(kind))))

    assert told(back) == told(kind)
    assert back.right in ROLE_KINDS


def test_no_two_kinds_share_a_word() -> None:
    words = [word for kind in KINDS for word in dict.fromkeys(kind.words)]

    assert len(words) == len(set(words))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.singular)
def test_every_kind_has_a_route_of_its_service_that_the_edge_knows(kind: Kind) -> None:
    below = "/v1/applications/{application}/" if kind.of_application else "/v1/"
    paths = operations(kind.service)
    collection = "applications" if kind.of_application else kind.plural

    assert "get" in paths[below + kind.plural]
    assert any(service == kind.service and f"/{collection}" in route for route, service in edge_routes())


@pytest.mark.parametrize("kind", DECLARED, ids=lambda kind: kind.document)
def test_every_declared_kind_is_served_ordered_judged_and_told_of(kind: Kind) -> None:
    paths = operations(kind.service)
    one = next(path for path in paths if path.startswith(f"/v1/{kind.plural}/{{name"))
    schema = paths[one]["put"]["requestBody"]["content"]["application/json"]["schema"]

    assert {"put", "get", "delete"} <= paths[one].keys()
    assert f"/v1/{kind.plural}:count" in paths
    assert schema["properties"]["kind"]["default"] == kind.document
    assert DECIDED_BY[kind.document] == kind.service
    assert kind.document in ROLE_KINDS
    assert subject_asked(f"{kind.plural}/x")[0] == (kind.singular,)


@pytest.mark.parametrize("kind", DECLARED, ids=lambda kind: kind.document)
def test_what_a_kind_refers_to_are_fields_of_its_documents(kind: Kind) -> None:
    whole = described(kind.service)
    one = next(path for path in whole["paths"] if path.startswith(f"/v1/{kind.plural}/{{name"))
    schema = whole["paths"][one]["put"]["requestBody"]["content"]["application/json"]["schema"]
    for path in (*kind.refers, *kind.expressions, *filter(None, [kind.clusters])):
        assert _has(whole["components"]["schemas"], schema, path.replace("[]", "").split(".")), path


def _has(named: Mapping[str, Any], schema: Mapping[str, Any], steps: list[str]) -> bool:
    """Tell whether a schema has a property under these names, through references, lists and alternatives."""
    if "$ref" in schema:
        definition = schema["$ref"].rpartition("/")[2]
        return _has(named, named[definition], steps)
    if any(_has(named, each, steps) for each in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")]))):
        return True
    if not steps:
        return True
    found = schema.get("properties", {}).get(steps[0])
    return found is not None and _has(named, found, steps[1:])


def test_what_an_example_refers_to_comes_before_it() -> None:
    """The order of the registrations is one in which their examples can be declared."""
    documents = [documents_of(kind) for kind in DECLARED]
    backwards = ordered(documents[::-1])
    place = {documents[::-1][index]["kind"]: at for at, index in enumerate(backwards.sequence)}
    for kind, document in zip(DECLARED, documents, strict=True):
        for path, referred in kind.refers.items():
            if referred in place and list(texts_at(document, path)):
                assert place[referred] < place[kind.document]


def literals(tree: ast.AST) -> Iterator[str]:
    """Yield the texts in a module that are values: not docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def named_in(text: str) -> set[str]:
    """Return the document kinds that a module's texts name."""
    return set(literals(ast.parse(text))) & {kind.document for kind in DECLARED}


def test_no_other_module_lists_kinds() -> None:
    assert named_in('KINDS = ("Store", "Group", "Role")') == {"Store", "Group", "Role"}
    found = {str(path.relative_to(ROOT)) for path in SHIPPED if len(named_in(path.read_text("utf-8"))) > LISTED_MAX}

    assert found <= MAY_NAME.keys(), "take the kinds from libs.kinds"
