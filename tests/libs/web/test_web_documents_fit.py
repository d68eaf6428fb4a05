"""A document that does not fit is told so in the words of documents, at the place of the fault."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from libs.contracts.refusals import Invalid
from libs.web.schema import Spec, read_as


class _ColourSpec(Spec):
    shade: str
    tags: dict[str, str] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("document", "pointer", "detail"),
    [
        ({"metadata": {"name": "a"}}, "/spec", "the field 'spec' is missing"),
        ({"metadata": {"name": "a"}, "spec": {}}, "/spec/shade", "the field 'shade' is missing"),
        ([], "", "a map is expected here"),
        ({"metadata": "a", "spec": {"shade": "x"}}, "/metadata", "a map is expected here"),
        ({"metadata": {"name": "a"}, "spec": {"shade": "x", "tags": []}}, "/spec/tags", "a map is expected here"),
        ({"metadata": {"name": "a"}, "spec": {"shad": "x"}}, "/spec/shad", "there is no field 'shad'"),
    ],
)
def test_a_fault_has_its_place_and_a_sentence(document: Any, pointer: str, detail: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_as(document, kind="Colour", spec=_ColourSpec, name=None)

    assert (refused.value.pointer, refused.value.detail) == (pointer, detail)
