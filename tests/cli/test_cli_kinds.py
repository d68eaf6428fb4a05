"""The help of `get` and `delete`, and what their options are for, follow from the one list of kinds."""

from __future__ import annotations

from cli.kinds import KINDS, deletable_kind
from tests.cli.conftest import Resedge


def words(text: str) -> set[str]:
    return {word.strip("`:,.()").lower() for word in text.split()}


def test_get_and_delete_name_every_kind_that_they_take(resedge: Resedge) -> None:
    get, delete = words(resedge("get", "--help").out), words(resedge("delete", "--help").out)

    for kind in KINDS:
        assert kind.plural in get
        assert (kind.plural in delete) == deletable_kind(kind)


def test_every_option_that_narrows_a_kind_names_it(resedge: Resedge) -> None:
    """`--where` is most kinds'; what the others are for is said where they are listed."""
    text = resedge("get", "--help").out
    options = {
        name: words(text.partition(f"  --{name}")[2].partition("  -")[0]) for kind in KINDS for name in kind.filters
    }

    for kind in KINDS:
        assert all(kind.plural in options[name] for name in kind.filters if name != "where")
