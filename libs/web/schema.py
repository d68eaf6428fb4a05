"""Documents (`apiVersion`, `kind`, `metadata`, `spec`) validated against a pydantic model of their `spec`.

An error is one `Invalid` with the JSON pointer of the first fault and, for an unknown field, the nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError, create_model
from pydantic_core import CoreSchema

from libs.contracts.inventory import Labels
from libs.contracts.names import API_VERSION, check_labels, check_name
from libs.contracts.refusals import Invalid
from libs.web.faults import ERRORS_MAX, check_bounds, listed_errors, pointer_to

_MAP_FAULTS = frozenset({"model_type", "model_attributes_type", "dict_type"})


def _end_lists_early(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("list", "set", "frozenset", "tuple"):
            schema["fail_fast"] = True
        for each in schema.values():
            _end_lists_early(each)
    elif isinstance(schema, list | tuple):
        for each in schema:
            _end_lists_early(each)


class Spec(BaseModel):
    """The base of every document's `spec`: unknown fields are errors, scalars keep JSON's types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Give a list up at its first item that does not fit: millions of them would be millions of errors."""
        schema = handler(source)
        _end_lists_early(schema)
        return schema


class Metadata(Spec):
    """Name and labels of most documents."""

    name: str | None = None
    labels: dict[str, Any] = Field(default_factory=dict)


class PathMetadata(Spec):
    """Path and labels of a group."""

    path: str | None = None
    labels: dict[str, Any] = Field(default_factory=dict)


S = TypeVar("S", bound=Spec)
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class _Document(Generic[S]):
    """A document that fits its schema; `name` is the path for groups."""

    kind: str
    name: str
    labels: Labels
    spec: S


@cache
def document_model(kind: str, spec: type[Spec], named_by: str) -> type[BaseModel]:
    """Return the pydantic model of a whole document."""
    optional_spec = not any(field.is_required() for field in spec.model_fields.values())
    metadata = PathMetadata if named_by == "path" else Metadata
    fields: dict[str, Any] = {
        "apiVersion": (str, API_VERSION),
        "kind": (str, kind),
        "metadata": (metadata, Field(default_factory=metadata)),
        "spec": (spec, Field(default_factory=spec)) if optional_spec else (spec, ...),
    }
    return create_model(f"{kind}Document", __base__=Spec, **fields)


def read_as(
    document: Any, *, kind: str, spec: type[S], name: str | None, named_by: str = "name", named: bool = True
) -> _Document[S]:
    """Return `document` as one of `kind`; `name` is the URL's, or `None` where the document alone names it.

    `named` says whether the name obeys the rule of names (a group's path has its own, checked by its domain).

    Raises:
        Invalid: it does not fit.
    """
    model = document_model(kind, spec, named_by)
    read: Any = validated(model, document)
    if read.apiVersion != API_VERSION:
        raise Invalid(f"apiVersion is {read.apiVersion[:80]!r}", pointer="/apiVersion", fix=f"write {API_VERSION}")
    if read.kind != kind:
        raise Invalid(f"kind is {read.kind[:80]!r}, where {kind} is expected", pointer="/kind")
    pointer = f"/metadata/{named_by}"
    written = getattr(read.metadata, named_by)
    if written is None and name is None:
        raise Invalid(f"the document has no {named_by}", pointer=pointer)
    if written is not None and name is not None and written != name:
        raise Invalid(f"the document is {written[:80]!r}, the URL says {name[:80]!r}", pointer=pointer)
    called = name if written is None else written
    assert called is not None  # noqa: S101 - one of the two is there, see above
    if named:
        check_name(called, pointer)
    return _Document(kind, called, check_labels(read.metadata.labels), read.spec)


def event_of(event: type[E], read: _Document[Any], named_by: str = "name", **computed: Any) -> E:
    """Return what a document declares: every field of its spec is the event's field of that name.

    Name (or path) and labels are the document's; `computed` are fields that the spec has in another form or by another
    name. A field of the spec that the event lacks is a `TypeError`, so that nothing that was read is dropped.
    """
    said = {name: getattr(read.spec, name) for name in type(read.spec).model_fields}
    return event(**said | {named_by: read.name, "labels": read.labels} | computed)


def document_of(kind: str, event: Any, spec: type[Spec], named_by: str = "name", **computed: Any) -> dict[str, Any]:
    """Return the document from which `event_of` reads `event`; optional fields that say nothing are left out."""
    metadata: dict[str, Any] = {named_by: getattr(event, named_by)}
    if event.labels:
        metadata["labels"] = event.labels
    said: dict[str, Any] = {}
    for name, field in spec.model_fields.items():
        value = computed[name] if name in computed else getattr(event, name)
        if value or field.is_required():
            said[field.alias or name] = value
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": said}


def validated(model: type[BaseModel], value: Any) -> Any:
    """Return `value` as the model reads it.

    Raises:
        Invalid: the first fault, with its pointer; where there are more, up to 100 of them, and how many.
    """
    check_bounds(model, value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _fault(value, error) from None


def _fault(value: Any, error: ValidationError) -> Invalid:
    # Lists end with their first fault and maps are bounded, so there are not many.
    faults = error.errors(include_url=False, include_input=False)
    told_of = []
    for fault in faults[:ERRORS_MAX]:
        path = _within(value, fault["loc"], missing=fault["type"] == "missing")
        told_of.append((tuple(path), _sentence(fault["type"], str(fault["msg"]), path)))
    place, detail = told_of[0]
    return Invalid(detail, pointer=pointer_to(place), **listed_errors(told_of, len(faults)))


def _sentence(fault: str, said: str, path: Sequence[str | int]) -> str:
    """Return a fault in the words of documents; pydantic's own name its models."""
    if fault == "missing":
        return f"the field {str(path[-1])[:80]!r} is missing" if path else "a field is missing"
    if fault in _MAP_FAULTS:
        return "a map is expected here"
    return said


def _within(value: Any, location: Sequence[str | int], *, missing: bool) -> list[str | int]:
    """Return the part of a pydantic location that is a place in the value (the rest names branches of unions)."""
    path: list[str | int] = []
    for index, part in enumerate(location):
        is_member = isinstance(value, Mapping) and part in value
        if is_member or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
        elif not (missing and index == len(location) - 1):
            continue
        path.append(part)
    return path
