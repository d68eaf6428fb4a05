import json
from pathlib import Path

import pytest

from libs.contracts.problems import Problem
from libs.web.auth import Principal, TokenStore, authorize


def test_a_token_is_never_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = TokenStore(path).issue("admin", frozenset({"admin"}))
    assert token not in path.read_text()
    assert len(token) >= 43
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_store_that_is_opened_again_knows_its_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = TokenStore(path).issue("ada", frozenset({"viewer"}))
    assert TokenStore(path).principal(token) == Principal("ada", frozenset({"viewer"}))
    assert TokenStore(path).principal(token + "x") is None


def test_a_new_token_ends_the_older_one_of_the_name(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.json")
    first = store.issue("ada", frozenset({"viewer"}))
    second = store.issue("ada", frozenset({"viewer"}))
    assert store.principal(first) is None
    assert store.principal(second) is not None
    assert len(json.loads((tmp_path / "tokens.json").read_text())["tokens"]) == 1


def test_a_viewer_may_read_and_nothing_else() -> None:
    viewer = Principal("ada", frozenset({"viewer"}))
    authorize(viewer, "read", "Store")
    with pytest.raises(Problem) as problem:
        authorize(viewer, "declare", "Store")
    assert problem.value.status == 403


def test_an_unknown_role_allows_nothing() -> None:
    with pytest.raises(Problem):
        authorize(Principal("ada", frozenset({"emperor"})), "read", "Store")


def test_a_token_that_another_process_issues_counts_at_once_and_so_does_its_end(tmp_path: Path) -> None:
    serving, beside = TokenStore(tmp_path / "tokens.json"), TokenStore(tmp_path / "tokens.json")

    first = beside.issue("registry", frozenset({"source"}))
    assert serving.principal(first) == Principal("registry", frozenset({"source"}))
    mine = serving.issue("ada", frozenset({"viewer"}))
    second = beside.issue("registry", frozenset({"source"}))

    assert serving.principal(first) is None
    assert serving.principal(second) is not None
    assert beside.principal(mine) is not None


def test_an_internal_token_is_never_written_down(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.json")
    token = store.internal("relay", frozenset({"relay"}))
    store.issue("ada", frozenset({"viewer"}))

    assert store.principal(token) == Principal("relay", frozenset({"relay"}))
    assert TokenStore(tmp_path / "tokens.json").principal(token) is None
