"""The placeholder language, and how values are written into slots."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.templates import MISSING, Input, Reference, Unresolved, read_manifests, read_yaml
from libs.templates.placeholders import PlaceholderRejected, split_text
from libs.templates.template import make_slot

PORT = Input("config", "port")
TRAPS = ["no", "on", "off", "yes", "y", "N", "0x1F", "012", "0o12", "0b1", "1e3", "1_000", "1:30", "2026-01-01"]
MORE_TRAPS = [
    "2026-01-01T00:00:00Z",
    "~",
    "null",
    "=",
    "<<",
    ".inf",
    "+",
    "-",
    "\u2028",
    "\ufeff",
    "\0",
    "",
    " ",
    "!x",
    "&a",
    "*a",
    "- a",
    "a: b",
    "a #b",
    "#",
    "%",
    "@",
    "`",
    "{}",
    "[]",
    "|",
    ">",
    "?",
    "---",
    "...",
]


def test_text_is_split_at_its_references() -> None:
    assert split_text("http://${edge.store.name}:${edge.config.port:-8080}/") == (
        "http://",
        Reference(Input("store.name")),
        ":",
        Reference(PORT, 8080, "8080"),
        "/",
    )


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${edge.cluster.name}", Reference(Input("cluster.name"))),
        ("${edge.store.timezone}", Reference(Input("store.timezone"))),
        ("${edge.labels.example.com/grill}", Reference(Input("labels", "example.com/grill"))),
        ("${edge.config.tax.rate}", Reference(Input("config", "tax.rate"))),
        ("${edge.config.port:text}", Reference(PORT, text=True)),
        ("${edge.config.port:text:-80}", Reference(PORT, 80, "80", text=True)),
        ("${edge.config.port:-}", Reference(PORT, "", "")),
        ("${edge.config.port:-a:-b c}", Reference(PORT, "a:-b c", "a:-b c")),
        ("${edge.config.port:-1.10}", Reference(PORT, 1.1, "1.10")),
        ('${edge.config.port:-"1.10"}', Reference(PORT, "1.10", "1.10")),
        ("${edge.config.port:-null}", Reference(PORT, None, "null")),
        ("${edge.config.port:-no}", Reference(PORT, "no", "no")),
        ("${edge.config.port:-NaN}", Reference(PORT, "NaN", "NaN")),
        ("${edge.config.port:-[1]}", Reference(PORT, "[1]", "[1]")),
        ("${edge.config.port:-" + "9" * 30 + "}", Reference(PORT, "9" * 30, "9" * 30)),
    ],
)
def test_a_reference_reads_as_written_and_is_shown_so(text: str, reference: Reference) -> None:
    assert split_text(text) == (reference,)
    assert str(reference) == text


def test_everything_else_with_a_dollar_is_left_alone() -> None:
    for text in ("$(POD_IP) ${HOME} $${HOME} ${edge} ${edge:x} $ {{ .Values.x }} ${Edge.config.x}", "$", ""):
        assert split_text(text) == (text,)


def test_two_dollars_escape_a_placeholder() -> None:
    assert split_text("a $${edge.config.x} $$${edge.y") == ("a ${edge.config.x} $${edge.y",)


@pytest.mark.parametrize(
    ("text", "code", "position", "fix"),
    [
        ("ab ${edge.config.x", "placeholder-malformed", 3, "}"),
        ("${edge.config.x:upper}", "placeholder-malformed", 0, "Write"),
        ("${edge.config.x:-80:text}", "placeholder-malformed", 0, "${edge.config.x:text:-80}"),
        ("${edge.config.x:-${edge.config.y}}", "placeholder-malformed", 0, "Write"),
        ("${edge.}", "placeholder-unknown", 0, "Known"),
        ("${edge.config}", "placeholder-unknown", 0, "${edge.config.<key>}"),
        ("${edge.config.a..b}", "placeholder-unknown", 0, "Known"),
        ("${edge.cluster.nam}", "placeholder-unknown", 0, "${edge.cluster.name}"),
        ("${edge.store.zone}", "placeholder-unknown", 0, "${edge.store.timezone}"),
        ("x${edge.label.size}", "placeholder-unknown", 1, "${edge.labels.size}"),
        ("${edge.conf.a.b}", "placeholder-unknown", 0, "${edge.config.a.b}"),
        ("${edge.release.name}", "placeholder-unknown", 0, "${edge."),
    ],
)
def test_what_means_nothing_is_refused_with_its_position(text: str, code: str, position: int, fix: str) -> None:
    with pytest.raises(PlaceholderRejected) as refused:
        split_text(text)

    assert (refused.value.code, refused.value.position) == (code, position)
    assert fix in refused.value.fix


@pytest.mark.parametrize("text", [*TRAPS, *MORE_TRAPS])
def test_text_stays_text_for_every_reader(text: str) -> None:
    written = make_slot([Reference(PORT)], "typed").encode([text]).decode()

    assert yaml.load(f"a: {written}\n", yaml.CSafeLoader) == {"a": text}
    assert read_manifests(f"a: {written}\n") == [{"a": text}]
    assert read_yaml(f"a: {written}\n") == [{"a": text}]


CHARACTERS = st.characters(exclude_categories=["Cs"]).filter(
    lambda character: not ("\x7f" <= character <= "\x9f" or character in "\ufffe\uffff")
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(CHARACTERS).filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_every_value_reads_back_with_its_type(value: Any) -> None:
    written = make_slot([Reference(PORT)], "typed").encode([value]).decode()

    assert "\n" not in written
    assert repr(read_manifests(f"- {written}\n")) == repr([[_sorted(value)]])
    assert repr(read_yaml(f"- {written}\n")) == repr([[_sorted(value)]])
    assert yaml.load(f"- {written}\n", yaml.CSafeLoader) == [value]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (True, "true"),
        (None, "null"),
        (80, "80"),
        (0.5, "0.5"),
        (("Acme3000", "Acme3001"), "Acme3000,Acme3001"),
        ([1, True], "1,true"),
        ({"b": 1, "a": ["x"]}, '{"a":["x"],"b":1}'),
        ([{"a": 1}], '[{"a":1}]'),
    ],
)
def test_inside_text_every_value_is_text(value: Any, text: str) -> None:
    slot = make_slot(["<", Reference(PORT), ">"], "text")

    assert slot.encode([value]) == f"{yaml.safe_dump(f'<{text}>', default_style=chr(34), width=999).strip()}".encode()


def test_a_multi_valued_label_is_a_list() -> None:
    assert make_slot([Reference(Input("labels", "grill"))], "typed").encode([("a", "no")]) == b'["a", "no"]'


def test_a_default_is_typed_alone_and_as_written_in_text() -> None:
    reference = Reference(PORT, 1.1, "1.10")

    assert make_slot([reference], "typed").encode([MISSING]) == b"1.1"
    assert make_slot(["v", reference], "text").encode([MISSING]) == b'"v1.10"'


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**64,
        -(2**63) - 1,
        "\ud800",
        "\x7f",
        "\x85",
        "\ufffe",
        {"<<": 1},
        {"a" * 2000: 1},
        b"x",
    ],
)
@pytest.mark.parametrize("mode", ["typed", "text"])
def test_what_no_manifest_can_carry_is_unresolved(value: Any, mode: Any) -> None:
    if mode == "text" and isinstance(value, dict):
        return  # inside text a map is JSON, where any key stands
    with pytest.raises(Unresolved, match=r"config\.port cannot be written"):
        make_slot([Reference(PORT)], mode).encode([value])


def test_a_missing_value_without_a_default_is_unresolved() -> None:
    with pytest.raises(Unresolved, match=r"config\.port has no value") as unresolved:
        make_slot(["a", Reference(PORT)], "text").encode([MISSING])

    assert unresolved.value.input == PORT


@pytest.mark.parametrize(
    "parts", [(Reference(PORT),), ["a'", Reference(PORT), '"b'], [Reference(PORT), Reference(PORT)]]
)
@pytest.mark.parametrize("mode", ["typed", "text"])
def test_many_rows_are_written_as_each_alone(parts: Any, mode: Any) -> None:
    if mode == "typed" and len(parts) > 1:
        return
    slot = make_slot(parts, mode)
    columns: list[list[Any]] = [
        [*TRAPS, *MORE_TRAPS, '"', "\\", "\n\t"],
        ["é", "\x7f", "b"],
        ["a", "\x7f"],
        ["a", 1, None, MISSING],
    ]

    for column in columns:
        rows = [(value,) for value in column]
        for (value,), written in zip(rows, slot.encode_many(rows), strict=True):
            if value in (MISSING, "\x7f"):
                assert isinstance(written, Unresolved)
            else:
                assert written == slot.encode([value])
