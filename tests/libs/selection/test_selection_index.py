"""What the index knows of a fleet as it changes: one sentence a test."""

import numpy as np
import pytest

from libs.selection import ReferenceCycle, Selection, parse


def names(index: Selection, clusters: object) -> set[str]:
    return {index.name(ordinal) for ordinal in clusters}  # type: ignore[attr-defined]  # any index


@pytest.fixture
def index() -> Selection:
    index = Selection()
    for number in range(3):
        index.put_cluster(f"tx-{number}", f"store-{number}", {"city": "austin", "lanes": str(number)})
    index.put_cluster("ny-0", "store-9", {"city": "albany", "grill": ["a", "b"]})
    return index


def test_a_name_keeps_its_ordinal_and_an_ordinal_its_name(index: Selection) -> None:
    index.drop_cluster("tx-1")
    index.put_cluster("new", "store-1", {})

    assert index.ordinal("tx-1") is None
    assert index.ordinal_ever("tx-1") == 1
    assert index.ordinal("new") == 4
    assert index.put_cluster("tx-1", "store-1", {}) == 1
    assert index.size == 5


def test_members_of_groups_below_are_members(index: Selection) -> None:
    index.put_group("/geo/us/tx/austin", [], [], parse("city = austin"))
    index.put_group("/geo/us/ny", ["ny-0"], [], None)

    assert index.group_exists("/geo/us")
    assert names(index, index.members("/geo")) == {"tx-0", "tx-1", "tx-2", "ny-0"}
    assert index.groups_of(0) == ["/geo", "/geo/us", "/geo/us/tx", "/geo/us/tx/austin"]


def test_an_implied_group_goes_with_the_last_group_below_it(index: Selection) -> None:
    index.put_group("/geo/us/tx", [], [], None)
    index.drop_group("/geo/us/tx")

    assert not index.group_exists("/geo")


def test_a_listed_cluster_or_store_counts_while_it_exists(index: Selection) -> None:
    index.put_group("/a", ["tx-0", "later"], ["store-9", "store-later"], None)
    assert names(index, index.members("/a")) == {"tx-0", "ny-0"}

    index.drop_cluster("tx-0")
    index.put_cluster("later", "elsewhere", {})
    index.put_cluster("moves", "store-later", {})
    assert names(index, index.members("/a")) == {"later", "moves", "ny-0"}

    index.put_cluster("moves", "elsewhere", {})
    index.put_cluster("tx-0", "store-0", {})
    assert names(index, index.members("/a")) == {"tx-0", "later", "ny-0"}


def test_a_cluster_that_moves_to_another_store_leaves_the_groups_of_the_old_one(index: Selection) -> None:
    index.put_group("/a", [], ["store-0"], None)
    assert names(index, index.members("/a")) == {"tx-0"}

    index.put_cluster("tx-0", "store-1", {"city": "austin", "lanes": "0"})
    assert names(index, index.members("/a")) == set()


def test_a_comparison_over_many_follows_the_change_of_one() -> None:
    index = Selection()
    for number in range(200):
        index.put_cluster(f"c-{number}", "store", {"lanes": str(number)})
    assert len(index.select(parse("lanes >= 100"))) == 100

    index.put_cluster("c-0", "store", {"lanes": "150"})
    assert len(index.select(parse("lanes >= 100"))) == 101


def test_a_snapshot_keeps_a_move_that_is_not_settled(index: Selection) -> None:
    index.settle()
    index.put_cluster("tx-0", "store-1", {"city": "austin", "lanes": "0"})

    assert names(index, Selection.load(index.dump()).settle().clusters) == {"tx-0"}


def test_a_saved_expression_survives_what_it_names(index: Selection) -> None:
    index.put_group("/geo/tx", [], [], parse("city = austin"))
    index.save("x", parse("/g/geo/tx"))
    index.settle()

    index.drop_group("/geo/tx")
    assert names(index, index.settle().saved["x"]) == {"tx-0", "tx-1", "tx-2"}

    index.put_group("/geo/tx", [], [], parse("lanes = 2"))
    assert names(index, index.settle().saved["x"]) == {"tx-2"}


def test_settling_says_what_changed_and_nothing_else(index: Selection) -> None:
    index.save("x", parse("city = austin and lanes >= 1"))
    index.save("y", parse("city = albany"))
    first = index.settle()
    assert names(index, first.saved["x"]) == {"tx-1", "tx-2"}
    assert names(index, first.clusters) == {"tx-0", "tx-1", "tx-2", "ny-0"}

    index.put_cluster("tx-1", "store-1", {"city": "austin", "lanes": "0"})
    changes = index.settle()

    assert {key: names(index, clusters) for key, clusters in changes.saved.items()} == {"x": {"tx-1"}}
    assert {key: names(index, clusters) for key, clusters in changes.labels.items()} == {"lanes": {"tx-1"}}
    assert not changes.clusters
    assert index.settle().saved == {}


def test_a_forgotten_expression_is_reported_once(index: Selection) -> None:
    index.save(("a", 1), parse("city = albany"))
    index.settle()
    index.forget(("a", 1))

    assert names(index, index.settle().saved["a", 1]) == {"ny-0"}
    assert not index.saved(("a", 1))


def test_codes_stay_what_they_are(index: Selection) -> None:
    codes, values = index.column("grill")
    before = int(codes[3])
    assert values[before] == ("a", "b")

    index.put_cluster("ny-1", "store-9", {"grill": ["a", "b"]})
    index.put_cluster("ny-2", "store-9", {"grill": "a"})
    codes, values = index.column("grill")

    assert codes.dtype == np.int32
    assert [values[code] for code in codes] == [None, None, None, ("a", "b"), ("a", "b"), "a"]
    assert codes[4] == before
    assert index.column("unknown")[1] == [None]


def test_a_label_key_is_known_while_a_cluster_has_it(index: Selection) -> None:
    assert index.has_label_key("grill")
    index.drop_cluster("ny-0")

    assert not index.has_label_key("grill")
    assert index.label_keys() == ["city", "lanes"]


@pytest.mark.parametrize("text", ["/g/geo/us", "/g/geo", "/g/geo/us/tx", "not /n/pos", "/g/other"])
def test_a_group_that_would_reach_itself_is_refused(index: Selection, text: str) -> None:
    index.put_group("/other", [], [], parse("/n/pos"))
    index.put_namespace("pos", parse("/g/geo/us"))

    with pytest.raises(ReferenceCycle) as refused:
        index.check(parse(text), inside=("group", "/geo/us/tx"))

    assert refused.value.path[0] == refused.value.path[-1] == "/g/geo/us/tx"
    assert refused.value.position is not None
    with pytest.raises(ReferenceCycle):
        index.put_group("/geo/us/tx", [], [], parse(text))
    assert not index.group_exists("/geo/us/tx")


def test_a_namespace_that_would_reach_itself_is_refused(index: Selection) -> None:
    index.put_group("/geo", [], [], parse("/n/pos"))

    with pytest.raises(ReferenceCycle) as refused:
        index.check(parse("city = austin or /g/geo"), inside=("namespace", "pos"))

    assert refused.value.path == ("/n/pos", "/g/geo", "/n/pos")
    assert str(refused.value) == "this would be a cycle: /n/pos → /g/geo → /n/pos at position 17"


def test_siblings_may_name_each_other_one_way(index: Selection) -> None:
    index.put_group("/geo/a", [], [], parse("city = austin"))
    index.put_group("/geo/b", [], [], parse("/g/geo/a and lanes >= 1"))
    index.save("b", parse("/g/geo/b"))

    index.put_cluster("tx-0", "store-0", {"city": "austin", "lanes": "9"})
    assert names(index, index.saved("b")) == {"tx-0", "tx-1", "tx-2"}


def test_referrers_are_all_whose_expressions_name_it(index: Selection) -> None:
    index.put_group("/geo/a", ["tx-0"], [], parse("/g/mkt and /c/tx-1"))
    index.put_namespace("pos", parse("/g/mkt"))
    index.save(("choice", "pos-api", 0), parse("/n/pos and /g/mkt"))

    assert index.referrers("group", "/mkt") == [("group", "/geo/a"), ("namespace", "pos"), ("choice", "pos-api", 0)]
    assert index.referrers("namespace", "pos") == [("choice", "pos-api", 0)]
    assert index.referrers("cluster", "tx-1") == [("group", "/geo/a")]
    assert index.referrers("cluster", "tx-0") == []


def test_an_explanation_names_every_term_and_what_the_cluster_has(index: Selection) -> None:
    index.put_group("/geo", [], [], parse("city = austin"))
    expression = parse('(city = albany or lanes >= 1) and not /g/geo and has(grill) and name like "x*"')

    told = index.explain(expression, 1)

    assert not told.holds
    assert told.terms == (
        ("city = albany", False, "city is austin"),
        ("lanes >= 1", True, "lanes is 1"),
        ("/g/geo", True, "tx-1 is a member of the group /geo"),
        ("has(grill)", False, "tx-1 has no label grill"),
        ('name like "x*"', False, "the name is tx-1"),
    )
    index.drop_cluster("tx-1")
    assert index.explain(parse("/c/*"), 1).terms == (("/c/*", False, "tx-1 no longer exists"),)


def test_a_fork_and_its_origin_never_show_each_other_their_changes(index: Selection) -> None:
    index.put_group("/geo", [], [], parse("city = austin"))
    index.save("x", parse("/g/geo and not lanes = 0"))
    index.settle()
    fork = index.fork()

    fork.put_cluster("tx-9", "store-9", {"city": "austin", "new": "key"})
    fork.put_group("/geo", [], [], parse("city = albany"))
    index.put_cluster("other", "store-0", {"city": "austin"})

    assert names(fork, fork.saved("x")) == {"ny-0"}
    assert names(index, index.saved("x")) == {"tx-1", "tx-2", "other"}
    assert fork.ordinal("other") is None
    assert index.ordinal("tx-9") is None
    assert index.label_keys() == ["city", "grill", "lanes"]


def test_a_bitmap_that_was_returned_does_not_change(index: Selection) -> None:
    index.save("x", parse("/c/*"))
    before, everything = index.saved("x"), index.everything
    index.put_cluster("new", "store-0", {})
    index.drop_cluster("tx-0")

    assert set(before) == set(everything) == {0, 1, 2, 3}
    assert set(index.saved("x")) == {1, 2, 3, 4}


def test_a_snapshot_keeps_what_is_not_settled(index: Selection) -> None:
    index.save(("x", 1), parse("city = austin and not (lanes = 0 or name in (tx-2, a))"))
    index.settle()
    index.put_cluster("tx-0", "store-0", {"city": "austin", "lanes": "7"})
    again = Selection.load(index.dump())

    changes = again.settle()

    assert names(again, changes.saved["x", 1]) == {"tx-0"}
    assert set(changes.labels) == {"lanes"}
    assert again.column("grill")[1] == index.column("grill")[1]
    with pytest.raises(ValueError, match="not a snapshot"):
        Selection.load(b"\x80")


@pytest.mark.parametrize("many", [100, 3_000, 9_000])
def test_many_changes_at_once_answer_like_few(many: int) -> None:
    index = Selection()
    index.put_group("/odd", [], [], parse("parity = odd"))
    index.save("big odd", parse(f"/g/odd and number >= {many - 10}"))
    for number in range(many):
        labels = {"number": str(number), "parity": "odd" if number % 2 else "even"}
        index.put_cluster(f"c-{number}", f"s-{number}", labels)
    assert len(index.settle().saved["big odd"]) == 5

    for number in range(many):
        index.put_cluster(f"c-{number}", f"s-{number}", {"number": str(number)})

    changes = index.settle()
    assert len(changes.saved["big odd"]) == 5
    assert len(changes.labels["parity"]) == many
    assert set(changes.labels) == {"parity"}
    assert not index.has_label_key("parity")
