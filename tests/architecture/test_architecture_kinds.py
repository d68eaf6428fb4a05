"""A kind is registered once: everything that has to know it follows, and no other module lists kinds."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from libs.commands.kinds import DeclaredKind
from libs.commands.ordering import ordered
from libs.contracts.documents import DECIDED_BY
from libs.contracts.rights import ROLE_KINDS
from libs.kinds import DECLARED_KINDS, KINDS, Kind, kind_as_json, texts_at, understood
from libs.kinds.categories import categories_read
from scripts.edge import routes as edge_routes
from scripts.kinds_page import example_of
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
    return example_of(kind)


def described(service: str) -> Mapping[str, Any]:
    whole: Mapping[str, Any] = json.loads((ROOT / f"schemas/openapi/{service}.json").read_text("utf-8"))
    return whole


def operations(service: str) -> Mapping[str, Any]:
    paths: Mapping[str, Any] = described(service)["paths"]
    return paths


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.singular)
def test_a_registration_travels_as_json(kind: Kind) -> None:
    back = understood(json.loads(json.dumps(kind_as_json(kind))))

    assert kind_as_json(back) == kind_as_json(kind)
    assert re.fullmatch(r"[A-Z][^.]+\.", kind.about), "one sentence"
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


@pytest.mark.parametrize("kind", DECLARED_KINDS, ids=lambda kind: kind.document)
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


@pytest.mark.parametrize("kind", DECLARED_KINDS, ids=lambda kind: kind.document)
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
    documents = [documents_of(kind) for kind in DECLARED_KINDS]
    backwards = ordered(documents[::-1])
    place = {documents[::-1][index]["kind"]: at for at, index in enumerate(backwards.sequence)}
    for kind, document in zip(DECLARED_KINDS, documents, strict=True):
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
    return set(literals(ast.parse(text))) & {kind.document for kind in DECLARED_KINDS}


def test_no_other_module_lists_kinds() -> None:
    assert named_in('KINDS = ("Store", "Group", "Role")') == {"Store", "Group", "Role"}
    found = {str(path.relative_to(ROOT)) for path in SHIPPED if len(named_in(path.read_text("utf-8"))) > LISTED_MAX}

    assert found <= MAY_NAME.keys(), "take the kinds from libs.kinds"


CATEGORIES = {kind.streams for kind in KINDS}
CATEGORY_WORDS = CATEGORIES | {kind.singular for kind in KINDS} | {kind.plural for kind in KINDS} | {"law"}
MAY_LIST_CATEGORIES: Mapping[str, str] = {
    "cli/verbs/confirm.py": "what can be confirmed, by its words",
    "cli/verbs/delete.py": "what can be deleted at once",
    "cli/verbs/label.py": "the words of the one kind that has labels to put",
    "libs/access/effects.py": "what applies to clusters, and where the fleet keeps it",
    "libs/contracts/approvals.py": "what an event mentions, beside its definition",
    "libs/contracts/catalog.py": "what an event mentions, beside its definition",
    "libs/contracts/grouping.py": "what an event mentions, beside its definition",
    "libs/access/judging.py": "what a loosening is withheld by, besides what gates read",
    "libs/access/relaxing.py": "the two kinds of which a document guards, and their words",
    "libs/fleet/policy_folding.py": "the two kinds of which a withheld change keeps the document",
    "libs/fleet/checks.py": "what an expression can reach itself by",
    "libs/fleet/fleet.py": "what an expression names, by the index",
    "libs/gates/of_change.py": "a gate says which facts it reads",
    "libs/gates/of_target.py": "a gate says which facts it reads",
    "libs/kinds/read.py": "the registry",
    "libs/selection/index.py": "what the index looks up by name, below all kinds",
    "services/catalog/api.py": "what three deciders read besides their references",
    "services/catalog/choosing.py": "what one decider reads besides its references",
    "services/catalog/releasing.py": "what publishing reads",
    "services/policy/api.py": "what the decider of law reads besides its references",
    "services/policy/approvals_api.py": "what an approval rests on",
    "services/policy/overrides_api.py": "what an override rests on",
    "services/policy/tokens_api.py": "what issuing a token rests on",
    "services/policy/withheld_api.py": "what confirming rests on",
    "services/rendering/deciding/requesting.py": "what a content consists of, and the facts that tell who said it",
    "services/rendering/model/reasons.py": "gates that somebody's answer opens, by their names",
}
"""Module → why several categories stand together in it."""
OTHER_WORDS: Mapping[str, str] = {
    "cli/app.py": "verbs of the command",
    "cli/verbs/get.py": "names of query parameters",
    "libs/kinds/declared.py": "fields of an example",
}
"""Module → what its words are, if they are no categories although they are spelled alike."""


def lists_of_categories(text: str) -> list[str]:
    """Return the collections in a module that hold categories, two or more, and besides them only other collections."""
    found = []
    for node in ast.walk(ast.parse(text)):
        words: list[ast.expr | None] = []
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            words = [each for each in node.elts if not isinstance(each, ast.Starred)]
        elif isinstance(node, ast.Dict):
            words = list(node.keys)
        said = [each.value if isinstance(each, ast.Constant) else None for each in words]
        if len(said) >= LISTED_MAX and CATEGORY_WORDS.issuperset(said):
            found.append(ast.unparse(node))
    return found


def test_a_list_of_categories_is_seen() -> None:
    assert lists_of_categories('A = ("store", "group")\nB = {"role": 1, "token": 2}\nC = {"hold", *A, "freeze"}')
    assert not lists_of_categories('A = ("store", name)\nB = ("a", "b")\nC = ("store",)')


def test_every_list_of_categories_has_a_reason() -> None:
    """Take them from `libs.kinds.categories`; what a decider really reads besides stands beside it, and here why."""
    found = {
        str(path.relative_to(ROOT)): lists
        for path in SHIPPED
        if (lists := lists_of_categories(path.read_text("utf-8")))
    }
    known = {*MAY_LIST_CATEGORIES, *OTHER_WORDS}

    assert {path: lists for path, lists in found.items() if path not in known} == {}
    assert known - found.keys() == set(), "there is no list any more"


def declared_kinds() -> Iterator[DeclaredKind[Any, Any]]:
    """Yield what each service makes of the registrations."""
    for service in dict.fromkeys(kind.service for kind in DECLARED_KINDS):
        for module in (f"services.{service}.api", f"services.{service}.choosing"):
            if importlib.util.find_spec(module) is not None:
                for each in vars(importlib.import_module(module)).values():
                    if isinstance(each, DeclaredKind):
                        yield each


def test_every_registration_is_made_a_declared_kind_by_its_service() -> None:
    made = [each.kind for each in declared_kinds()]

    assert {kind.document for kind in DECLARED_KINDS} <= set(made)
    assert len(made) == len(set(made))


@pytest.mark.parametrize("kind", [each for each in declared_kinds() if each.guards is None], ids=lambda kind: kind.kind)
def test_a_decision_is_guarded_by_what_documents_refer_to_and_by_what_refers_to_them(
    kind: DeclaredKind[Any, Any],
) -> None:
    """The other half of a race (a reference is made while what it names is removed) is the other kind's guard."""
    others = {each.registered.document: each for each in declared_kinds() if each.guards is None}
    read = set(kind.guarded_by(None, None))
    for referred in kind.registered.refers.values():
        if referred in others:
            assert others[referred].category in read
            assert kind.category in others[referred].guarded_by(None, None)
    assert read <= CATEGORIES


@pytest.mark.parametrize("kind", list(declared_kinds()), ids=lambda kind: kind.kind)
def test_what_follows_from_the_registration_is_not_said_again(kind: DeclaredKind[Any, Any]) -> None:
    assert not set(kind.besides) & set(categories_read(kind.registered))
    assert set(kind.besides) <= CATEGORIES
