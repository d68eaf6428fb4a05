"""Commits: equal input, equal bytes; and a message never passes for a trailer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.gittree import Author, Repository, Trailer
from libs.gittree.commits import CommitUnreadable, decode_commit, encode_commit, normalise_message
from tests.libs.gittree.gittree_words import WHEN, git

if TYPE_CHECKING:
    from pathlib import Path

TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
EPOCH = Trailer("Epoch", "7")


def test_a_commit_is_what_git_itself_would_write(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "fleet.git")
    eastern = WHEN.astimezone(timezone(timedelta(hours=-5)))
    body = encode_commit(
        TREE, [], "Admit pos 1.4\n\nOn 600 clusters.", eastern, trailers=[EPOCH, Trailer("Approved-by", "mia")]
    )
    text = (
        f"tree {TREE}\nauthor Resilient Edge <resedge@localhost> 1772339400 +0000\n"
        "committer Resilient Edge <resedge@localhost> 1772339400 +0000\n\n"
        "Admit pos 1.4\n\nOn 600 clusters.\n\nEpoch: 7\nApproved-by: mia\n"
    )

    assert body.decode() == text
    identity = git(repository.path, "hash-object", "-t", "commit", "--stdin", data=body).decode().strip()
    commit = decode_commit(identity, body)
    assert (commit.tree, commit.parents, commit.when) == (TREE, (), WHEN)
    assert commit.trailers == (EPOCH, Trailer("Approved-by", "mia"))
    assert commit.message == "Admit pos 1.4\n\nOn 600 clusters.\n"
    assert commit.values("Epoch") == ["7"]


hostile = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["Epoch: 9", "x\n\nEpoch: 9\nHead: 0", "a\r\n\r\nEpoch: 9", "a\u2028Epoch: 9", "\0", "tree 0\n\nx", "a\n\nb:c"]
    ),
)


@given(message=hostile, value=hostile, name=hostile)
@settings(max_examples=80, deadline=None)
def test_no_text_can_add_or_change_a_trailer(message: str, value: str, name: str) -> None:
    given_trailers = [EPOCH, Trailer("Actor", value)]

    body = encode_commit(TREE, [TREE], f"Subject {message}", WHEN, author=Author(name, name), trailers=given_trailers)

    read = decode_commit("0" * 40, body)
    assert read.trailers == tuple(given_trailers)
    assert body.count(b"\ntree ") == 0
    assert (read.tree, read.parents, read.when) == (TREE, (TREE,), WHEN)
    alone = decode_commit("0" * 40, encode_commit(TREE, [], f"Subject {message}", WHEN))
    assert alone.trailers == ()
    assert b"\0" not in body


def test_git_reads_the_same_trailers(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "fleet.git")
    message = "Subject\n\nEpoch: 9\n(cherry picked from commit 0)\nSigned-off-by: x"
    body = encode_commit(TREE, [], message, WHEN, trailers=[EPOCH, Trailer("Actor", "mia\nEpoch: 10")])

    said = git(repository.path, "interpret-trailers", "--parse", data=body.partition(b"\n\n")[2])

    assert said.decode() == "Epoch: 7\nActor: mia Epoch: 10\n"


def test_what_cannot_be_a_commit_is_refused() -> None:
    with pytest.raises(ValueError, match="trailer key"):
        Trailer("epoch\nX", "1")
    with pytest.raises(ValueError, match="must not be empty"):
        normalise_message(" \n\t\n")
    with pytest.raises(ValueError, match="zone"):
        encode_commit(TREE, [], "x", datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="object id"):
        encode_commit("HEAD", [], "x", datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(CommitUnreadable):
        decode_commit("0" * 40, b"nothing\n\nof the kind")
