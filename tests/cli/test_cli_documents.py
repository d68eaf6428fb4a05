"""Documents are read within bounds and ordered by what they refer to."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from cli.documents import Document, read_documents
from cli.errors import UsageProblem
from cli.ordering import in_order

if TYPE_CHECKING:
    from pathlib import Path


def document(kind: str, name: str, **spec: Any) -> Document:
    metadata = {"path": name} if kind == "Group" else {"name": name}
    return Document({"apiVersion": "resedge.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}, "fleet.yaml", 1)


def names(documents: list[Document]) -> list[str]:
    return [d.kind.name(d.body) for d in documents]


FLEET = [
    document("Store", "tx-1", clusters=[{"name": "tx-1-a"}]),
    document("Group", "/devices/grills", expression='has(grill) and not name like "/g/geo/*"'),
    document("Group", "/geo/us", expression="size = large"),
    document("Group", "/geo/us/tx", clusters=["tx-1-a"]),
    document("Group", "/marketing/pilot", expression="/g/geo/us and /n/pos"),
    document("Namespace", "menu", expression="(/g/marketing) and /c/tx-1-a"),
    document("Namespace", "pos", expression="/g/geo"),
    document("Application", "pos-api", namespace="pos"),
    document("Configuration", "pos-tx", applications=["pos-api"], expression="/g/geo/us/tx", values={}),
    document("Role", "operations", rules=[{"verbs": ["get"], "kinds": ["*"]}]),
    document("SignOff", "two-people", stages=[{"roles": ["admin", "operations"], "quorum": 2}]),
    document("Namespace", "till", expression="/c/*", signoff="two-people"),
    document("Calendar", "a-night", applications=["pos-api"], signoff="two-people", windows=[{"closed": {}}]),
    document("Freeze", "a-freeze", clusters="/g/geo/us/tx", reason="r", owner="o"),
    document("PlacementPolicy", "a-law", forbid={"applications": ["pos-api"]}, clusters="/n/menu", basis="b"),
    document("RoleBinding", "a-binding", role="operations", subjects=[], clusters="/c/tx-1-a", namespaces=["pos"]),
]
EDGES = [
    ("store/tx-1", "group/geo/us/tx"),
    ("group/geo/us", "group/geo/us/tx"),
    ("group/geo/us/tx", "group/marketing/pilot"),
    ("group/geo/us/tx", "namespace/pos"),
    ("namespace/pos", "group/marketing/pilot"),
    ("group/marketing/pilot", "namespace/menu"),
    ("namespace/pos", "application/pos-api"),
    ("application/pos-api", "configuration/pos-tx"),
    ("role/operations", "signoff/two-people"),
    ("signoff/two-people", "namespace/till"),
    ("signoff/two-people", "calendar/a-night"),
    ("application/pos-api", "calendar/a-night"),
    ("group/geo/us/tx", "freeze/a-freeze"),
    ("application/pos-api", "placementpolicy/a-law"),
    ("namespace/menu", "placementpolicy/a-law"),
    ("role/operations", "rolebinding/a-binding"),
    ("namespace/pos", "rolebinding/a-binding"),
    ("store/tx-1", "rolebinding/a-binding"),
]


@pytest.mark.parametrize("seed", range(20))
def test_in_whatever_order_they_come_what_is_referred_to_is_declared_first(seed: int) -> None:
    shuffled = list(FLEET)
    random.Random(seed).shuffle(shuffled)
    ordered = names(in_order(shuffled))

    assert sorted(ordered) == sorted(names(FLEET))
    assert ordered == names(in_order(FLEET))
    for before, after in EDGES:
        assert ordered.index(before) < ordered.index(after), (before, after)


def test_a_parent_that_refers_to_its_child_comes_after_it() -> None:
    parent = document("Group", "/delivery/all", expression="/g/delivery/all/fast")
    child = document("Group", "/delivery/all/fast", expression="lanes >= 2")

    assert names(in_order([parent, child])) == ["group/delivery/all/fast", "group/delivery/all"]


def test_a_circle_is_left_to_the_server_which_names_it() -> None:
    circle = [document("Namespace", "a", expression="/n/b"), document("Namespace", "b", expression="/n/a")]

    assert names(in_order([*circle, document("Store", "s")])) == ["store/s", "namespace/a", "namespace/b"]


def test_ten_thousand_documents_are_ordered_in_a_second() -> None:
    fleet = [document("Store", f"s-{i}") for i in range(5_000)]
    fleet += [document("Group", f"/geo/us/r{i % 50}/s{i}", clusters=[f"s-{i}"]) for i in range(5_000)]
    started = time.monotonic()

    assert len(in_order(fleet[::-1])) == 10_000
    assert time.monotonic() - started < 2


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
def test_what_is_no_document_is_told_with_file_and_number_at_once(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    started = time.monotonic()

    with pytest.raises(UsageProblem) as refused:
        read_documents([str(path)])
    assert f"{path}, {says}" in str(refused.value)
    assert time.monotonic() - started < 0.5


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
