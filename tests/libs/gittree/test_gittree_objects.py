"""Families and packs: git and dulwich agree with every byte."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dulwich.objects import Blob, ObjectID, Tree
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.gittree import (
    Family,
    IdColumn,
    IdSink,
    Mode,
    Repository,
    SlotColumn,
    plain_family,
    tree_body,
    tree_family,
    tree_parts,
)
from libs.gittree.entries import encode_deltas, encode_full, entry_head, inserted, object_bodies, varint
from libs.gittree.index import has_repetition, sorted_order, write_index
from tests.libs.gittree.gittree_words import git, left_over, manifests, packs, stores

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

literals = st.one_of(st.binary(max_size=20), st.sampled_from([b"%", b"%%b%s", b"x" * 60, b"y" * 70_000, b"\n"]))
values = st.one_of(st.binary(max_size=12), st.integers(120, 300).map(lambda n: b"v" * n), st.just(b"w" * 66_000))


@st.composite
def families(draw: st.DrawFn) -> Family:
    count = draw(st.integers(1, 6))
    width = draw(st.integers(0, 3))
    columns = []
    for _ in range(width):
        if draw(st.booleans()):
            columns.append(SlotColumn(draw(st.lists(values, min_size=count, max_size=count))))
        else:
            known = draw(st.lists(values, min_size=1, max_size=3))
            codes = draw(st.lists(st.integers(0, len(known) - 1), min_size=count, max_size=count))
            columns.append(SlotColumn(known, np.array(codes, dtype=np.int32)))
    parts = tuple(draw(literals) for _ in range(width + 1))
    return Family("blob", parts, tuple(columns), count)


def by_hand(family: Family) -> list[bytes]:
    rows = []
    for number in range(family.count):
        row = family.parts[0]
        for column, part in zip(family.columns, family.parts[1:], strict=True):
            assert isinstance(column, SlotColumn)
            row += column.values[number if column.codes is None else column.codes[number]] + part
        rows.append(row)
    return rows


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "fleet.git")


@given(family=families())
@settings(max_examples=80, deadline=None)
def test_every_family_has_the_ids_that_dulwich_gives(family: Family) -> None:
    expected = [Blob.from_string(body).id.decode() for body in by_hand(family)]

    assert list(object_bodies(family)) == by_hand(family)
    for encoded in (IdSink().write(family), encode_full(family).ids, encode_deltas(family).ids):
        assert [row.tobytes().hex() for row in encoded] == expected


@given(many=st.lists(families(), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_git_reads_back_every_object_of_every_pack(
    many: list[Family], tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository = Repository.create(tmp_path_factory.mktemp("r") / "fleet.git")
    with repository.pack() as sink:
        written = [(sink.write(family), family) for family in many]
        sink.finish()

    for ids, family in written:
        for identity, body in zip(ids, by_hand(family), strict=True):
            assert repository.read_blob(identity.tobytes().hex()) == body
    (pack,) = packs(repository)
    git(repository.path, "verify-pack", str(pack))
    git(repository.path, "index-pack", "--strict", "--verify", str(pack))
    ours = pack.with_suffix(".idx").read_bytes()
    copy = repository.path / "copy.pack"
    copy.write_bytes(pack.read_bytes())
    git(repository.path, "index-pack", "--strict", "-o", str(copy.with_suffix(".idx")), str(copy))
    assert copy.with_suffix(".idx").read_bytes() == ours
    repository.close()


def test_hash_object_agrees(repository: Repository) -> None:
    family = manifests(stores(3))
    ids = IdSink().write(family)
    for identity, body in zip(ids, object_bodies(family), strict=True):
        assert git(repository.path, "hash-object", "--stdin", data=body).decode().strip() == identity.tobytes().hex()


def test_a_tree_family_is_in_git_order_whatever_order_it_is_given_in() -> None:
    blob = bytes.fromhex("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    many = np.frombuffer(blob * 2, dtype=np.uint8).reshape(2, 20)
    entries: dict[str, tuple[Mode, NDArray[np.uint8] | bytes]] = {
        "pos-a": (Mode.FILE, many),
        "pos": (Mode.DIRECTORY, many),
        "pos.yaml": (Mode.FILE, blob),
    }
    tree = Tree()
    tree.add(b"pos-a", 0o100644, ObjectID(blob.hex().encode()))
    tree.add(b"pos", 0o040000, ObjectID(blob.hex().encode()))
    tree.add(b"pos.yaml", 0o100644, ObjectID(blob.hex().encode()))

    ids = IdSink().write(tree_family(entries, 2))

    assert [row.tobytes().hex() for row in ids] == [tree.id.decode()] * 2
    parts, order = tree_parts([("pos-a", Mode.FILE), ("pos", Mode.DIRECTORY)])
    assert (parts, order) == ((b"100644 pos-a\0", b"40000 pos\0", b""), (0, 1))
    assert tree_body({"a": (Mode.FILE, blob)}) == b"100644 a\0" + blob


def test_repeated_objects_stand_in_a_pack_once(repository: Repository) -> None:
    family = manifests(stores(40) + stores(40))
    with repository.pack() as sink:
        sink.write(family)
        sink.write(manifests(stores(40, first=20)))
        sink.write(manifests(stores(3, first=1)))
        sink.add("blob", next(object_bodies(family)))
        sink.finish()

    (pack,) = packs(repository)
    git(repository.path, "index-pack", "--strict", "--verify", str(pack))
    assert len(git(repository.path, "show-index", data=pack.with_suffix(".idx").read_bytes()).splitlines()) == 60
    assert repository.fsck().ok
    assert left_over(repository) == []


def test_large_literals_and_values_survive_their_deltas(repository: Repository) -> None:
    long = b"".join(b"line %d\n" % number for number in range(30_000))
    family = Family(
        "blob", (long, long[:9], long), (SlotColumn(stores(20)), SlotColumn([b"\xff" * 70_000] * 19 + [b""])), 20
    )
    with repository.pack() as sink:
        ids = sink.write(family)
        sink.finish()

    assert [repository.read_blob(identity.tobytes().hex()) for identity in ids] == list(object_bodies(family))


def test_an_empty_sink_and_an_empty_family_write_nothing(repository: Repository) -> None:
    with repository.pack() as sink:
        assert sink.write(plain_family("blob", [])).shape == (0, 20)
        assert sink.finish() == ()
    given_up = repository.pack()
    given_up.add("blob", b"lost")
    given_up.abort()

    assert packs(repository) == []
    assert left_over(repository) == []


def test_a_pack_that_could_not_be_written_in_full_is_never_shown(repository: Repository) -> None:
    with repository.pack() as sink:
        sink.write(manifests(stores(3000)))
        (growing,) = (repository.path / "objects" / "pack").glob("tmp_pack_*")
        with growing.open("ab") as intruder:
            intruder.write(b"half an entry")
        with pytest.raises(OSError, match="is incomplete"):
            sink.finish()

    assert packs(repository) == []
    assert left_over(repository) == []


def test_families_and_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="between"):
        Family("blob", (b"",), (SlotColumn([b"a"]),), 1)
    with pytest.raises(ValueError, match="rows"):
        Family("blob", (b"", b""), (SlotColumn([b"a"]),), 2)
    with pytest.raises(ValueError, match="uint8"):
        IdColumn(np.zeros((2, 19), dtype=np.uint8))
    with pytest.raises(ValueError, match="20 bytes"):
        tree_body({"a": (Mode.FILE, b"short")})


def test_sizes_are_encoded_as_git_does() -> None:
    assert varint(0) == b"\0"
    assert varint(300) == b"\xac\x02"
    assert entry_head(3, 15) == b"\x3f"
    assert entry_head(3, 16) == b"\xb0\x01"
    assert inserted(b"") == b""
    assert inserted(b"a" * 128) == b"\x7f" + b"a" * 127 + b"\x01a"


def test_offsets_beyond_two_gibibytes_get_eight_bytes(tmp_path: Path) -> None:
    ids = np.frombuffer(b"".join(bytes([9 - number]) * 20 for number in range(3)), dtype=np.uint8).reshape(3, 20)
    starts = np.array([12, 0x8000_0000, 0x2_0000_0000], dtype=np.int64)
    write_index(tmp_path / "big.idx", ids, np.arange(3, dtype=np.uint32), starts, b"t" * 20)

    shown = subprocess.run(
        ["git", "show-index"], input=(tmp_path / "big.idx").read_bytes(), capture_output=True, check=True
    ).stdout.decode()

    assert [line.split()[0] for line in shown.splitlines()] == ["8589934592", "2147483648", "12"]


def test_ids_that_share_their_first_bytes_are_sorted_and_told_apart() -> None:
    ids = np.zeros((3, 20), dtype=np.uint8)
    ids[:, 19] = [2, 1, 3]

    assert sorted_order(ids).tolist() == [1, 0, 2]
    assert not has_repetition(ids)
    assert has_repetition(ids[[0, 1, 0]])
