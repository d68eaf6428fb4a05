"""Documents are read within bounds; each knows its file, its number and its line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.documents import Document, read_documents
from cli.errors import UsageProblem

if TYPE_CHECKING:
    from pathlib import Path


def names(documents: list[Document]) -> list[str]:
    return [d.kind.name(d.body) for d in documents]


STORE = "kind: Store\nmetadata: {name: tx-1}\nspec: {timezone: America/Chicago}\n"


def test_a_directory_is_read_whole_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(
        f"# first a comment\n---\n{STORE}---\n# nothing\n---\n{STORE.replace('tx-1', 'tx-2')}"
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.json").write_text(
        json.dumps({"items": [{"kind": "Group", "metadata": {"path": "/geo"}}]}, indent="\t")
    )
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.yaml").write_text("not: a document")
    (tmp_path / "README.md").write_text("text")
    found = read_documents([str(tmp_path)])

    assert names(found) == ["group/geo", "store/tx-1", "store/tx-2"]
    assert found[2].where == f"{tmp_path / 'b.yml'}, document 2 (Store tx-2)"


def test_scalars_are_jsons_only(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("kind: Store\nmetadata: {name: 'on', labels: {a: no, b: 2026-12-24, c: 1:30}}\n")

    assert read_documents([str(tmp_path / "s.yaml")])[0].body["metadata"]["labels"] == {
        "a": "no",
        "b": "2026-12-24",
        "c": "1:30",
    }


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{STORE}---\nkind: Stor\nmetadata: {{name: x}}\n", "document 2: unknown kind 'Stor'"),
        (f"{STORE}---\n- a\n", "document 2: not a mapping"),
        ("metadata: {name: x}\n", "document 1: no kind"),
        ("kind: Store\nmetadata: {nmae: x}\n", "document 1 (Store): metadata.name"),
        ("kind: Group\nmetadata: {name: x}\n", "document 1 (Group): metadata.path"),
        (f"{STORE}---\nkind: Store\nkind: Store\n", "document 2, line 6"),
        (f"{STORE}---\n{BOMB}", "document 2"),
        ("a: " + "[" * 5_000, "document 1"),
        ("a: " + "9" * 100_000, "document 1"),
        ("a: [\n", "document 1"),
    ],
)
def test_what_is_no_document_is_told_with_file_and_number(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)

    with pytest.raises(UsageProblem) as refused:
        read_documents([str(path)])
    assert f"{path}, {says}" in str(refused.value)


def test_json_has_the_bounds_of_yaml(tmp_path: Path) -> None:
    for text in ('{"kind": 1, "kind": 2}', "[" * 100_000, '{"a": ' + "9" * 100_000 + "}", '{"a": NaN}', "{"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(UsageProblem):
            read_documents([str(tmp_path / "x.json")])


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "stores.yaml").write_text(STORE)

    with pytest.raises(UsageProblem) as refused:
        read_documents([str(tmp_path / "store.yaml")])
    assert refused.value.nearest == ("stores.yaml",)
