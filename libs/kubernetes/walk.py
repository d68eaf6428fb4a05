"""Checks one object against the schema of its kind: types, enums, required and unknown fields, list keys, rules.

The value of a slot (`Open`) is not known yet: its requirement is recorded, to be judged for each cluster. Server-side
apply itself refuses wrong types and list keys; a field that the API does not have is dropped silently, so it is only
doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from libs.contracts.names import nearest, pointer_of
from libs.kubernetes import relations
from libs.kubernetes.fields import FIELD_RULES, LABEL_KEYED, NEEDED, NEEDED_OF, NOT_CLOSED
from libs.kubernetes.findings import Demand, Finding, FindingsReport, OpenSlot, Path, Relation, has_slot, shown_value
from libs.kubernetes.scalars import annotation_key_problem, qualified_name_problem, value_problem
from libs.kubernetes.schemas import Kubernetes, TypeSchema

_NOT_FOR_TEXTS = ("integer", "number", "boolean", "object")
_NOT_FOR_TEXT = (*_NOT_FOR_TEXTS, "array")


@dataclass(slots=True)
class Walk:
    """The check of one object; `custom` if its schema is a CustomResourceDefinition's."""

    kubernetes: Kubernetes
    report: FindingsReport
    object: str
    custom: bool = False

    def resolved(self, schema: TypeSchema) -> tuple[str, TypeSchema]:
        """Return (short name, schema) after following references."""
        name = ""
        while "$ref" in schema:
            name = schema["$ref"]
            schema = self.kubernetes.types[name]
        return _short(name), schema

    def value(self, value: Any, schema: TypeSchema, path: Path, field: str = "") -> None:
        """Check a value; `field` is what `FIELD_RULES` calls the place."""
        if value is None or self.report.full:
            return
        named, schema = self.resolved(schema)
        if isinstance(value, OpenSlot):
            self._open(value, schema, path, field)
        elif isinstance(value, dict) and _is_map(schema):
            self.map(value, schema, path, named or field)
        elif isinstance(value, list) and schema.get("type") == "array":
            self._list(value, schema, path, field)
        elif any(key in schema for key in ("type", "format", "enum", "x-kubernetes-int-or-string")):
            self._scalar(value, schema, path, field)

    def map(self, value: Mapping[str, Any], schema: TypeSchema, path: Path, owner: str) -> None:
        """Check a map: one with fields, or one from text to values of one type."""
        properties = schema.get("properties")
        if properties is None:
            self._entries(value, schema, path, owner)
            return
        for key, each in value.items():
            known = properties.get(key)
            if known is None:
                self._beyond(key, each, schema, path)
            else:
                self.value(each, known, (*path, key), f"{owner}.{key}")
        self._needed(value, schema, path, owner)
        for rule in relations.OF_TYPES.get(owner, ()):
            self.relation(rule, relations.RELATION_RULES[rule].read(value), path)
        for check in _OF_TYPES.get(owner, ()):
            for where, detail in check({key: each for key, each in value.items() if key in properties}):
                self.never((*path, *where), detail)

    def never(self, path: Path, detail: str, fix: str = "") -> None:
        """Record what no API server accepts."""
        self.report.add(Finding(never=True, object=self.object, pointer=pointer_of(path), detail=detail, fix=fix))

    def doubtful(self, path: Path, detail: str, fix: str = "") -> None:
        """Record what is probably not intended."""
        self.report.doubt(self.object, pointer_of(path), detail, fix)

    def relation(self, rule: str, part: Any, path: Path) -> None:
        """Judge values that must fit together, or keep them until their slots have values.

        A StatefulSet may mount its own claim, and older API servers do not check that.
        """
        if part is None or (rule == "mounts" and self.object.startswith("StatefulSet/")):
            return
        if has_slot(part):
            if rule in relations.OF_EQUALS and next(relations.RELATION_RULES[rule].judge(part), None) is None:
                return  # the same slot on both sides has the same value
            self.report.relations.append(Relation(rule, self.object, pointer_of(path), part))
            return
        for where, detail in relations.RELATION_RULES[rule].judge(part):
            if self.report.full:
                return
            self.never((*path, *where), detail)

    def _open(self, slot: OpenSlot, schema: TypeSchema, path: Path, field: str) -> None:
        wanted = self.wanted(schema, field)
        asked = wanted.get("type")
        free = asked is None or wanted.get("format") in ("quantity", "int-or-string")
        never = (slot.text and asked in _NOT_FOR_TEXT) or (slot.listed and asked in _NOT_FOR_TEXTS)
        if never and not free:
            self.never(
                path,
                f"a placeholder that is always text stands where {_NAMES[str(asked)]} belongs",
                "let ${edge.config.…} alone stand there, without :text, and give it a value of that type",
            )
        elif wanted and not (slot.text and wanted == {"type": "string"}):
            self.report.demands.append(
                Demand(slot.number, self.object, pointer_of(path), tuple(sorted(wanted.items())))
            )

    def wanted(self, schema: TypeSchema, field: str) -> dict[str, Any]:
        """Return the requirement on a scalar at a place, as in `scalars`."""
        wanted = {key: schema[key] for key in ("type", "format") if key in schema}
        if schema.get("x-kubernetes-int-or-string"):
            wanted["format"] = "int-or-string"
        if self.custom and wanted.get("format") not in ("int-or-string", None):
            del wanted["format"]  # a custom kind's formats are not all enforced
        if schema.get("enum") and field not in NOT_CLOSED:
            wanted["enum"] = list(schema["enum"])
        rule = None if self.custom and not field.startswith("meta.") else FIELD_RULES.get(field)
        if rule:
            wanted["rule"] = rule
        if field in NEEDED:
            wanted["needed"] = True
        item = schema.get("items") if schema.get("type") == "array" else schema.get("additionalProperties")
        inner = self.resolved(item)[1] if isinstance(item, Mapping) else {"properties": {}}
        if "properties" not in inner and (each := self.wanted(inner, f"{field}.*")):
            wanted["each"] = each
        if field in LABEL_KEYED:
            wanted["keys"] = "label"
        return wanted

    def _scalar(self, value: Any, schema: TypeSchema, path: Path, field: str) -> None:
        if schema.get("nullable") and value is None:
            return
        if problem := value_problem(self.wanted(schema, field), value):
            self.never(path, problem)

    def _list(self, value: list[Any], schema: TypeSchema, path: Path, field: str) -> None:
        item = schema.get("items", {})
        for at, each in enumerate(value):
            self.value(each, item, (*path, at), f"{field}.*")
        kind = schema.get("x-kubernetes-list-type")
        if kind == "set":
            self.relation("set", [each for each in value if not isinstance(each, (dict, list))], path)
        elif kind == "map" and len(value) > 1:
            keys = list(schema["x-kubernetes-list-map-keys"])
            properties = self.resolved(item)[1].get("properties", {})
            defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
            self.relation("unique", relations.keyed(keys, defaults, value), path)

    def _entries(self, value: Mapping[str, Any], schema: TypeSchema, path: Path, owner: str) -> None:
        item = schema.get("additionalProperties")
        for key, each in value.items():
            if owner in LABEL_KEYED and (problem := qualified_name_problem(key)):
                self.never((*path, key), problem)
            if owner == "meta.ObjectMeta.annotations" and (problem := annotation_key_problem(key)):
                self.never((*path, key), problem)
            if isinstance(item, Mapping):
                self.value(each, item, (*path, key), f"{owner}.*")

    def _beyond(self, key: str, each: Any, schema: TypeSchema, path: Path) -> None:
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            self.value(each, more, (*path, key))
        elif not more and not schema.get("x-kubernetes-preserve-unknown-fields"):
            near = None if self.report.crowded else nearest(key, schema["properties"])
            self.doubtful(
                (*path, key),
                f"Kubernetes {self.kubernetes.minor} has no field {shown_value(key)} here, and drops it silently"
                if not self.custom
                else f"the CustomResourceDefinition has no field {shown_value(key)} here, and it is dropped silently",
                f"did you mean {near}?" if near else "",
            )

    def _needed(self, value: Mapping[str, Any], schema: TypeSchema, path: Path, owner: str) -> None:
        needed = NEEDED_OF.get(owner, ())
        for key in sorted({*schema.get("required", ()), *needed}):
            found = value.get(key)
            if found is None or (found == "" and key in needed) or (found == [] and key in needed):
                if key in needed or self.custom:
                    self.never((*path, key), "the field is required")
                elif found is None:
                    self.doubtful((*path, key), "the API describes this field as required")


_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
}


def _short(name: str) -> str:
    """Return `core.Container` for io.k8s.api.core.v1.Container."""
    parts = name.split(".")
    return f"{parts[-3]}.{parts[-1]}" if len(parts) > 3 else name


def _is_map(schema: TypeSchema) -> bool:
    return schema.get("type") == "object" or "properties" in schema or "additionalProperties" in schema


# --- what holds no slot: which fields stand together ------------------------------------------------------------------


_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket", "sleep")
Problems = Iterator[tuple[Path, str]]


def _probe(value: Mapping[str, Any]) -> Problems:
    found = [each for each in _HANDLERS if value.get(each) is not None]
    if len(found) != 1:
        yield (
            (),
            f"a probe must have exactly one of {', '.join(_HANDLERS[:4])}"
            + (f"; here {' and '.join(found)}" if found else ""),
        )


def _volume(value: Mapping[str, Any]) -> Problems:
    found = [key for key, each in value.items() if key != "name" and isinstance(each, Mapping)]
    if len(found) > 1:
        yield (), f"a volume can have one source; here {' and '.join(found)}"


def _source(value: Mapping[str, Any]) -> Problems:
    if len([each for each in value.values() if each is not None]) > 1:
        yield (), f"valueFrom can have one source; here {' and '.join(value)}"


def _budget(value: Mapping[str, Any]) -> Problems:
    if value.get("minAvailable") is not None and value.get("maxUnavailable") is not None:
        yield (), "minAvailable and maxUnavailable exclude each other"


def _strategy(value: Mapping[str, Any]) -> Problems:
    if value.get("type") == "Recreate" and value.get("rollingUpdate") is not None:
        yield ("rollingUpdate",), "the strategy Recreate does not allow rollingUpdate"


def _backend(value: Mapping[str, Any]) -> Problems:
    if value.get("service") is not None and value.get("resource") is not None:
        yield (), "a backend can be a service or a resource, not both"


def _metadata(value: Mapping[str, Any]) -> Problems:
    if value.get("managedFields"):
        yield ("managedFields",), "server-side apply does not allow managedFields"


def _resources(value: Mapping[str, Any]) -> Problems:
    for part in ("limits", "requests"):
        named = value.get(part)
        for name in named if isinstance(named, Mapping) else ():
            if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
                yield (
                    (part, name),
                    f"{shown_value(name)} is not a resource of a container: cpu, memory, … or domain/name",
                )


_STANDARD = ("cpu", "memory", "ephemeral-storage")

_OF_TYPES = {
    "core.Probe": (_probe,),
    "core.Volume": (_volume,),
    "core.EnvVarSource": (_source,),
    "core.ResourceRequirements": (_resources,),
    "policy.PodDisruptionBudgetSpec": (_budget,),
    "apps.DeploymentStrategy": (_strategy,),
    "networking.IngressBackend": (_backend,),
    "meta.ObjectMeta": (_metadata,),
}
