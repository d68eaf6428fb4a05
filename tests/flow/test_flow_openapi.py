"""What is described of every route: who may, what it answers, and that errors are problems (see tests/described)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.embedded import SERVICES
from libs.runtime.embedded import Embedded
from libs.web.auth import RouteRule
from libs.web.openapi import NOT_COMMANDS, rules_of
from libs.web.problems import MEDIA_TYPE
from libs.web.routes import all_routes


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> tuple[Embedded, dict[str, Any]]:
    embedded = Embedded(tmp_path_factory.mktemp("openapi") / "data", SERVICES)
    described = embedded.app.openapi()
    embedded.log.close()
    return embedded, described


def test_every_route_says_who_may_what_it_answers_and_that_errors_are_problems(
    document: tuple[Embedded, dict[str, Any]],
) -> None:
    embedded, described = document
    scheme = described["components"]["securitySchemes"]["token"]
    assert scheme == {"type": "http", "scheme": "bearer"}
    routes = [route for route in all_routes(embedded.app.routes) if route.include_in_schema]
    assert len(routes) > 80
    for route in routes:
        for method in route.methods or ():
            operation = described["paths"][route.path_format][method.lower()]
            place = f"{method} {route.path}"
            statuses = set(operation["responses"])
            assert any(status.startswith("2") for status in statuses), place
            if route.path in {"/livez", "/readyz"}:
                continue
            assert operation["security"] == [{"token": []}], place
            assert statuses >= {"401", "403", "415", "422", "503"}, place
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == [MEDIA_TYPE], place
            rule = next(rules_of(route.dependant))
            assert isinstance(rule, RouteRule)
            if method in {"PUT", "POST", "DELETE"} and rule.verb not in NOT_COMMANDS:
                assert statuses >= {"404", "408", "409", "412", "413"}, place
                names = {each["name"] for each in operation["parameters"]}
                assert names >= {"Idempotency-Key", "dry_run", "If-Match"}, place
            if method == "PUT":
                assert operation["requestBody"]["content"], place


def test_every_reference_of_the_description_leads_somewhere(document: tuple[Embedded, dict[str, Any]]) -> None:
    _, described = document
    text = json.dumps(described)
    names = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert names
    for name in names:
        assert name.startswith("#/components/schemas/"), name
        assert name.rpartition("/")[2] in described["components"]["schemas"], name
