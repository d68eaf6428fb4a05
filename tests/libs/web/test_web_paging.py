import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.problems import Problem
from libs.web.paging import ListPage, cursor_after, page_of


def request(query: str) -> Request:
    return Request({"type": "http", "method": "GET", "headers": [], "query_string": query.encode()})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_for_every_key_a_cursor_leads_back_to_it(key: str) -> None:
    assert page_of(request(f"cursor={cursor_after(key)}")) == ListPage(100, key)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=1e2", "cursor=%21", "cursor=_w", "limit=%D9%A3"]
)
def test_what_is_no_page_is_refused(query: str) -> None:
    with pytest.raises(Problem) as problem:
        page_of(request(query))
    assert problem.value.status == 422
