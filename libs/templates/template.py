"""A template: the bytes of a release's manifests with slots between them, and how a slot's value is written.

`segments` has one more element than `slots`; rendering is joining them in turn. The stored form holds the final text
of the segments, so that later code renders the same bytes; what `Slot.encode` writes is therefore frozen with
`_FORMAT`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Literal, cast

from libs.templates.placeholders import MISSING, Input, Reference
from libs.templates.scalars import Unwritable, as_text, quoted, typed_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMAT = 1


class Unresolved(Exception):  # noqa: N818 - a fact about one cluster's values, not a fault of the program
    """A slot has no value: its input is missing and has no default, or cannot be written (`reason` says why)."""

    def __init__(self, input_: Input, reason: str = "") -> None:
        self.input = input_
        self.reason = reason or f"{input_.reference} has no value and the placeholder no default"
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class ObjectIdentity:
    """The identity of one object of a release; `namespace` is empty for a cluster-scoped kind."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as people say it: `Deployment/pos/pos-api`."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True, slots=True)
class Slot:
    """One scalar with placeholders. Hashable: slots that are equal write equal bytes from equal values.

    `typed` takes the value's own type and has exactly one part; `text` is always a string. `inputs` are distinct, in
    order of first use; values are given in their order.
    """

    parts: tuple[str | Reference, ...]
    mode: Literal["typed", "text"]
    inputs: tuple[Input, ...]

    def encode(self, values: Sequence[Any]) -> bytes:
        """Return the YAML of this scalar for `values` (`MISSING` where there is none). Raises `Unresolved`."""
        written: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                written.append(part)
                continue
            value = values[self.inputs.index(part.input)]
            if value is MISSING:
                if part.default is MISSING:
                    raise Unresolved(part.input)
                value = part.default if self.mode == "typed" else part.default_text
            try:
                if self.mode == "typed":
                    return typed_line(value).encode()
                written.append(as_text(value))
            except Unwritable as error:
                raise Unresolved(part.input, f"{part.input.reference} cannot be written: {error}") from None
        try:
            return quoted("".join(written)).encode()
        except Unwritable as error:
            first = self.inputs[0]
            raise Unresolved(first, f"{first.reference} cannot be written: {error}") from None

    def value(self, values: Sequence[Any]) -> Any:
        """Return what the scalar reads as for `values`: the same that `encode` writes. Raises `Unresolved`."""
        told: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                told.append(part)
                continue
            value = values[self.inputs.index(part.input)]
            if value is MISSING and part.default is MISSING:
                raise Unresolved(part.input)
            if self.mode == "typed":
                return part.default if value is MISSING else value
            try:
                told.append(part.default_text if value is MISSING else as_text(value))
            except Unwritable as error:
                raise Unresolved(part.input, f"{part.input.reference} cannot be written: {error}") from None
        return "".join(told)

    def encode_many(self, rows: Sequence[Sequence[Any]]) -> list[bytes | Unresolved]:
        """Return what `encode` gives for each row; one row without a value does not fail its neighbours."""
        fast = self._encode_texts(rows) if len(self.inputs) == 1 and len(rows) > 1 else None
        if fast is not None:
            return cast("list[bytes | Unresolved]", fast)
        written: list[bytes | Unresolved] = []
        for row in rows:
            try:
                written.append(self.encode(row))
            except Unresolved as unresolved:
                written.append(unresolved)
        return written

    def _encode_texts(self, rows: Sequence[Sequence[Any]]) -> list[bytes] | None:
        """Return all rows at once if every value is ASCII text (the usual column of names), else None."""
        references = [at for at, part in enumerate(self.parts) if isinstance(part, Reference)]
        values = [row[0] for row in rows]
        if len(references) != 1 or not all(type(value) is str for value in values):
            return None
        before = "".join(cast("tuple[str, ...]", self.parts[: references[0]]))
        after = "".join(cast("tuple[str, ...]", self.parts[references[0] + 1 :]))
        together = "".join(values)
        if not (together.isascii() and before.isascii() and after.isascii()) or "\x7f" in before + together + after:
            return None
        if not before and not after:
            return [written.encode() for written in map(encode_basestring, values)]
        head, tail = encode_basestring(before)[:-1], encode_basestring(after)[1:]
        return [f"{head}{written[1:-1]}{tail}".encode() for written in map(encode_basestring, values)]


@dataclass(frozen=True, slots=True)
class Template:
    """The compiled manifests of one release of one application."""

    segments: tuple[bytes, ...]
    slots: tuple[Slot, ...]
    objects: tuple[ObjectIdentity, ...]
    images: tuple[str, ...]
    inputs: tuple[Input, ...]

    def render(self, values: Mapping[Input, Any]) -> bytes:
        """Return the manifests for one cluster; what `values` does not hold is missing. Raises `Unresolved`."""
        written = [self.segments[0]]
        for slot, segment in zip(self.slots, self.segments[1:], strict=True):
            written.append(slot.encode([values.get(input_, MISSING) for input_ in slot.inputs]))
            written.append(segment)
        return b"".join(written)

    def to_bytes(self) -> bytes:
        """Return the stored form: JSON, equal bytes for equal templates."""
        stored = {
            "format": _FORMAT,
            "segments": [segment.decode() for segment in self.segments],
            "slots": [{"mode": slot.mode, "parts": [_stored_part(part) for part in slot.parts]} for slot in self.slots],
            "objects": [[ref.api_version, ref.kind, ref.namespace, ref.name] for ref in self.objects],
            "images": list(self.images),
        }
        return json.dumps(stored, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Template:
        """Return the template that `to_bytes` stored. Raises ValueError on a format that this code does not know."""
        stored = json.loads(data)
        if stored["format"] != _FORMAT:
            raise ValueError(f"template format {stored['format']} is not known; this code reads {_FORMAT}")
        slots = tuple(
            make_slot([_loaded_part(part) for part in slot["parts"]], slot["mode"]) for slot in stored["slots"]
        )
        return cls(
            segments=tuple(segment.encode() for segment in stored["segments"]),
            slots=slots,
            objects=tuple(ObjectIdentity(*ref) for ref in stored["objects"]),
            images=tuple(stored["images"]),
            inputs=inputs_of(slots),
        )


def make_slot(parts: Sequence[str | Reference], mode: Literal["typed", "text"]) -> Slot:
    """Return a slot with its distinct inputs in order of first use."""
    inputs = dict.fromkeys(part.input for part in parts if isinstance(part, Reference))
    return Slot(tuple(parts), mode, tuple(inputs))


def inputs_of(slots: Sequence[Slot]) -> tuple[Input, ...]:
    """Return the distinct inputs of `slots`, sorted."""
    return tuple(sorted({input_ for slot in slots for input_ in slot.inputs}))


def _stored_part(part: str | Reference) -> Any:
    if isinstance(part, str):
        return part
    stored: dict[str, Any] = {"source": part.input.source, "key": part.input.key}
    if part.default is not MISSING:
        stored["default"] = part.default
        stored["default_text"] = part.default_text
    if part.text:
        stored["text"] = True
    return stored


def _loaded_part(stored: Any) -> str | Reference:
    if isinstance(stored, str):
        return stored
    return Reference(
        Input(stored["source"], stored["key"]),
        stored.get("default", MISSING),
        stored.get("default_text", ""),
        text=stored.get("text", False),
    )
