"""The OpenAPI description of the real answers: statuses, content types, parameters, bodies, rights.

The common part of all routes is described here once, from their rule and method; a route describes only its own part
(`body_of`, `answers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from libs.web.auth import OpenRule, RouteRule
from libs.web.faults import Schema
from libs.web.intents import IDEMPOTENCY_KEY_CHARACTERS_MAX
from libs.web.paging import LIMIT_MAX
from libs.web.positions import POSITION_DIGITS_MAX, POSITION_HEADER
from libs.web.problems import MEDIA_TYPE
from libs.web.routes import all_routes

JSON, YAML = "application/json", "application/yaml"
OBJECT: Schema = {"type": "object"}
FLAG: Schema = {"type": "boolean", "default": False}
POSITION: Schema = {"type": "integer", "minimum": 0, "maximum": 10**POSITION_DIGITS_MAX - 1}
PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457; the code is stable, docs/reference/problems.md lists all of them.",
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "pointer": {"type": "string"},
        "fix": {"type": "string"},
        "request_id": {"type": "string"},
    },
    "required": ["type", "code", "title", "status", "detail"],
}
PARAMETERS: Mapping[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 100},
    "follow": FLAG,
    "mine": FLAG,
    "timeout_seconds": {"type": "number", "minimum": 0, "default": 60},
}
"""Query parameters that handlers read themselves, as what they take."""
WAITED_FOR = (401, 403, 415, 422, 500, 503, 504)
"""What every guarded route may answer: who asks, how it asks, and whether what it needs is there in time."""
OF_A_THING = (404,)
OF_A_BODY = (400, 408, 413)
OF_A_CHANGE = (404, 409, 412)
TITLES = {
    400: "The body ended early.",
    401: "A valid token is required.",
    403: "The token does not allow this.",
    404: "Not found.",
    408: "The request did not come in time.",
    409: "It is refused.",
    412: "If-Match or If-None-Match does not hold.",
    413: "The body is too large.",
    415: "The media type or the content encoding of the body is not supported.",
    422: "The request cannot be read.",
    500: "The server failed.",
    503: "The service cannot answer now.",
    504: "It was not ready in time.",
}
NOT_COMMANDS = frozenset({"verify", "rebuild", "send"})
"""Verbs that decide nothing on the fleet: they take no dry run, key or entity tag."""


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return what a route adds to its description, for a body that is JSON or YAML of a model."""
    return taking({media: model.model_json_schema() for media in (JSON, YAML)}, required=required)


def taking(schemas: Mapping[str, Schema], *, required: bool = True) -> dict[str, Any]:
    """Return what a route adds to its description, for bodies by media type."""
    return {
        "requestBody": {"required": required, "content": {kind: {"schema": each} for kind, each in schemas.items()}}
    }


def answers(*statuses: int, media: Sequence[str] = (JSON,)) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route whose successes are not the usual ones of its method."""
    return {
        status: {"description": _success(status), "content": {} if status == 204 else {each: {} for each in media}}
        for status in statuses
    }


def described(app: FastAPI) -> dict[str, Any]:
    """Return the description of a composed application."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = document.setdefault("components", {})
    unused = {"HTTPValidationError", "ValidationError"}
    schemas = {name: each for name, each in components.get("schemas", {}).items() if name not in unused}
    schemas["Problem"] = PROBLEM
    for route in all_routes(app.routes):
        path = document["paths"].get(route.path_format)
        for method in route.methods or ():
            if path is not None and (operation := path.get(method.lower())) is not None:
                _describe(operation, method, route)
                _hoist(operation, schemas)
    components["schemas"] = dict(sorted(schemas.items()))
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    app.openapi_schema = document
    return document


def _describe(operation: dict[str, Any], method: str, route: APIRoute) -> None:
    rule = next(each for each in rules_of(route.dependant))
    given: dict[Any, Any] = {
        int(status): answer for status, answer in operation["responses"].items() if status.startswith("2")
    }
    operation["responses"] = {}
    parameters = operation.setdefault("parameters", [])
    if isinstance(rule, RouteRule):
        operation["security"] = [{"token": []}]
        changes = method != "GET"
        statuses = [*WAITED_FOR, *(OF_A_THING if "{" in route.path or method == "GET" else ())]
        if changes:
            statuses += [*OF_A_BODY, *OF_A_CHANGE]
            given = given if route.responses or list(given) != [200] else answers(*_usual(method))
            parameters += [] if rule.verb in NOT_COMMANDS else _of_a_change()
        parameters += _of_a_read()
        for status in sorted(set(statuses)):
            operation["responses"][str(status)] = _problem(status)
    elif route.path == "/readyz":
        told = "List the version and the checks; with a token, their details too."
        parameters.append(_parameter("verbose", "query", {"type": "string"}, told))
        operation["responses"]["503"] = {"description": "It is not ready.", "content": _health()}
        given = {200: {"description": "It is ready.", "content": _health()}}
    operation["responses"] |= {str(status): answer for status, answer in given.items()}
    operation["responses"] = dict(sorted(operation["responses"].items()))
    for each in parameters:
        if each["in"] == "query" and each["name"] in PARAMETERS:
            each["schema"] = PARAMETERS[each["name"]]
    if not parameters:
        del operation["parameters"]


def _health() -> dict[str, Any]:
    return {"text/plain": {"schema": {"type": "string"}}, JSON: {"schema": OBJECT}}


def _usual(method: str) -> tuple[int, ...]:
    return (200,) if method == "DELETE" else (200, 201, 204)


def _success(status: int) -> str:
    return {200: "Done.", 201: "Created.", 202: "Accepted.", 204: "Unchanged."}[status]


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": TITLES[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _parameter(name: str, place: str, schema: Schema, description: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": description}


def _of_a_read() -> list[dict[str, Any]]:
    return [
        _parameter("position", "query", POSITION, "Wait, for a few seconds, until the service has seen this position."),
        _parameter(POSITION_HEADER, "header", POSITION, "The same, as answers give it."),
    ]


def _of_a_change() -> list[dict[str, Any]]:
    key = {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARACTERS_MAX, "pattern": "^[!-~]+$"}
    return [
        _parameter("dry_run", "query", FLAG, "Answer the events that would be appended, and append none."),
        _parameter("reach", "query", FLAG, "Answer as `reach` which clusters it reaches, and what was there before."),
        _parameter("Idempotency-Key", "header", key, "The same request again has the first answer."),
        _parameter("If-Match", "header", {"type": "string"}, "Only if the current ETag is one of these."),
        _parameter("If-None-Match", "header", {"type": "string"}, "Only if the current ETag is not one of these."),
    ]


def rules_of(dependant: Any) -> Iterator[RouteRule | OpenRule]:
    """Yield the rules of a route; each has one."""
    for each in dependant.dependencies:
        if isinstance(each.call, RouteRule | OpenRule):
            yield each.call
        yield from rules_of(each)


def _hoist(operation: dict[str, Any], schemas: dict[str, Schema]) -> None:
    """Move the definitions inside a body's schema to where the document's references look for them."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" not in schema and "$defs" in schema:
            title = schema.get("title", operation["operationId"])
            for name, definition in schema["$defs"].items():
                schemas[f"{title}.{name}"] = _renamed(definition, title)
            content["schema"] = _renamed({key: each for key, each in schema.items() if key != "$defs"}, title)


def _renamed(schema: Any, title: str) -> Any:
    if isinstance(schema, dict):
        return {
            key: each.replace("#/$defs/", f"#/components/schemas/{title}.")
            if key == "$ref" and isinstance(each, str)
            else _renamed(each, title)
            for key, each in schema.items()
        }
    return [_renamed(each, title) for each in schema] if isinstance(schema, list) else schema
