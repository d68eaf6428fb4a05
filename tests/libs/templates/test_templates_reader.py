"""Bodies are read within limits, with the scalars that their readers know."""

from __future__ import annotations

import time
from typing import Any

import pytest

from libs.templates import Limits, YamlRejected, read_json, read_manifests, read_yaml

ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP_ALIASES = "a0: &a0 [" + "[" * 90 + "]" * 90 + "]\n" + "".join(f"a{n}: &a{n} [[*a{n - 1}]]\n" for n in range(1, 30))
LONG_ALIASES = "a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 900) + "]\n"

BOMBS = {
    "alias": (ALIAS_BOMB, "too-many-nodes"),
    "alias of long text": (LONG_ALIASES, "too-large"),
    "alias of depth": (DEEP_ALIASES, "too-deep"),
    "aliases": ("a: &a 1\nb: [" + "*a," * 2_000 + "]", "too-many-aliases"),
    "recursive alias": ("a: &a [*a]", "recursive-alias"),
    "flow depth": ("[" * 1_000_000, "too-deep"),
    "map depth": ("{a: " * 1_000_000, "too-deep"),
    "block depth": ("".join(f"{' ' * n}a:\n" for n in range(2_000)), "too-deep"),
    "dash depth": ("- " * 1_000_000, "too-deep"),
    "huge integer": ("a: " + "9" * 1_000_000, "integer-too-large"),
    "huge hexadecimal": ("a: 0x" + "f" * 1_000_000, "integer-too-large"),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", "duplicate-key"),
    "duplicate merge": ("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x\n", "duplicate-key"),
    "large body": ("a: x\n" * 21_000_000, "too-large"),
    "many documents": ("---\na\n" * 30_000, "too-many-documents"),
    "many nodes": ("- a\n" * 300_000, "too-many-nodes"),
    "python object": ("a: !!python/object/apply:os.system [id]", "tag-refused"),
    "custom tag": ("a: !Ref b", "tag-refused"),
    "binary": ("a: !!binary aGk=", "tag-refused"),
    "tag that lies": ("a: !!int no", "tag-refused"),
    "list as key": ("? [a]\n: b", "key-not-text"),
    "quoted merge key": ('"<<": b', "key-refused"),
    "merge of text": ("<<: b", "merge-refused"),
    "unknown alias": ("a: *b", "unknown-alias"),
    "unclosed": ("a: [1", "syntax"),
    "control character": ("a: \x01", "syntax"),
    "not finite": ("a: .inf", "not-finite"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_name(name: str) -> None:
    text, code = BOMBS[name]
    data = text.encode()

    before = time.perf_counter()
    with pytest.raises(YamlRejected) as refused:
        read_manifests(data)
    print(f"{name}: {(time.perf_counter() - before) * 1000:.1f} ms, {refused.value}")

    assert refused.value.code == code


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(YamlRejected) as refused:
        read_yaml(b"a: 1\nb: \xff\n")

    assert (refused.value.code, refused.value.line) == ("not-utf-8", 2)


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(YamlRejected, match="line 3: the key 'a' stands here twice"):
        read_yaml("a: 1\nb: 2\na: 3\n")


def test_the_limits_can_be_set() -> None:
    assert read_yaml("a: " + "x" * 5_000_000, Limits(bytes_max=6_000_000))
    with pytest.raises(YamlRejected):
        read_yaml("a: [[1]]", Limits(depth_max=2))
    assert read_yaml("a: [1]", Limits(depth_max=2)) == [{"a": [1]}]


def test_documents_know_only_the_scalars_of_json() -> None:
    text = """
    words: [no, on, y, ~, True, "1", 'true', =, 012, 0x1F, 0o7, 1_000, 1:30, 2026-12-24, +1]
    values: [null, true, false, 0, -1, 1.5, 1e3, -2.5E-3, 18446744073709551615]
    nothing:
    """

    assert read_yaml(text) == [
        {
            "words": [
                "no",
                "on",
                "y",
                "~",
                "True",
                "1",
                "true",
                "=",
                "012",
                "0x1F",
                "0o7",
                "1_000",
                "1:30",
                "2026-12-24",
                "+1",
            ],
            "values": [None, True, False, 0, -1, 1.5, 1000.0, -0.0025, 2**64 - 1],
            "nothing": None,
        }
    ]


KUBECTL_READS = {
    "yes": True,
    "no": False,
    "on": True,
    "off": False,
    "y": True,
    "N": False,
    "TRUE": True,
    "~": None,
    "Null": None,
    "0x1F": 31,
    "012": 10,
    "0o12": 10,
    "0b11": 3,
    "-012": -10,
    "08": 8.0,
    "1_000": 1000,
    "+1": 1,
    "1e3": 1000.0,
    ".5": 0.5,
    "5.": 5.0,
    "1E400": "1E400",
    "2026-01-01": "2026-01-01",
    "1:30": "1:30",
    "190:20:30": "190:20:30",
    "=": "=",
    "1e3.5": "1e3.5",
    "0o8": "0o8",
    "685.230_15e+03": 685230.15,
    '"yes"': "yes",
    "!!str 12": "12",
    '!!int "12"': 12,
}


@pytest.mark.parametrize("text", KUBECTL_READS)
def test_manifests_are_read_as_kubectl_reads_them(text: str) -> None:
    (document,) = read_manifests(f"a: {text}\n")

    assert document == {"a": KUBECTL_READS[text]}
    assert type(document["a"]) is type(KUBECTL_READS[text])


def test_keys_are_text_as_written() -> None:
    assert read_manifests("{on: 1, 012: 2, 1.5: 3, null: 4, y: 5}") == [
        {"on": 1, "012": 2, "1.5": 3, "null": 4, "y": 5}
    ]


def test_merge_keys_give_what_the_map_does_not_say_itself() -> None:
    text = "base: &b {a: 1, b: 2}\nmore: &m {b: 3, c: 4}\nout: {<<: [*b, *m], a: 9}\n"

    assert read_yaml(text)[0]["out"] == {"a": 9, "b": 2, "c": 4}


def test_empty_documents_are_left_out() -> None:
    assert read_yaml("---\n---\n# only this\n---\na: 1\n---\nnull\n...\n") == [{"a": 1}]


def test_an_unquoted_placeholder_in_braces_is_explained() -> None:
    with pytest.raises(YamlRejected, match="put quotes around the placeholder"):
        read_manifests("ports: {containerPort: ${edge.config.port}}\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": 1, "a": 2}', "duplicate-key"),
        ('{"a": ' + "9" * 100_000 + "}", "integer-too-large"),
        ("[" * 100_000, "too-deep"),
        ("[" * 150 + "]" * 150, "too-deep"),
        ("[NaN]", "not-finite"),
        ("[1e999]", "number-too-large"),
        ("[1", "syntax"),
        ('["\\ud800"]', "not-utf-8"),
        ("[" + "1," * 300_000 + "1]", "too-many-nodes"),
    ],
)
def test_json_is_refused_by_the_same_rules(text: str, code: str) -> None:
    with pytest.raises(YamlRejected) as refused:
        read_json(text)

    assert refused.value.code == code


def test_json_gives_its_values() -> None:
    value: Any = read_json(b'\xef\xbb\xbf{"a": [1, 1.5, null, true, "\\ud83d\\ude00"]}')

    assert value == {"a": [1, 1.5, None, True, "\U0001f600"]}
