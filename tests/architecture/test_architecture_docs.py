"""Docs name what exists: files, symbols in them, links, tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from libs.kinds import KINDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
SYMBOL = re.compile(r"`((?:cli|libs|services|scripts|tests)/[\w/.-]+\.py): (\w+)`")
FILE = re.compile(r"`((?:cli|libs|services|scripts|tests|docs|schemas|compose|k8s|\.devcontainer)/[\w/.-]*)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for file, symbol in SYMBOL.findall(text):
        code = (ROOT / file).read_text()
        assert re.search(rf"^\s*(?:async )?(?:def|class) {symbol}\b", code, re.MULTILINE), f"{file} has no {symbol}"
    for file in FILE.findall(text):
        assert (ROOT / file).exists(), f"{file} does not exist"
    for link in LINK.findall(text):
        if "://" not in link and not link.startswith("mailto:"):
            assert (page.parent / link).exists(), f"the link to {link} leads nowhere"


@pytest.mark.parametrize("page", DECISIONS, ids=named)
def test_a_decision_has_its_parts(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
    for test in re.findall(r"tests/[\w/]+(?:\.py)?", text):
        assert (ROOT / test).exists(), f"{test} does not exist"


def test_the_decisions_are_found_by_question() -> None:
    """Each row of the index is a question and the titles of what answers it; no decision is left out."""
    rows = re.findall(r"^\| (.+?) \| (\[.+) \|$", (ROOT / "docs/decisions/README.md").read_text(), re.MULTILINE)
    assert all(question.endswith("?") for question, _ in rows)
    listed = {link: title for _, answers in rows for title, link in re.findall(r"\[(.+?)\]\(([^)]+)\)", answers)}
    assert listed == {page.name: page.read_text().splitlines()[0].removeprefix("# ") for page in DECISIONS}


def test_no_two_decisions_have_one_number() -> None:
    numbers = [page.name[:4] for page in DECISIONS]
    assert sorted(set(numbers)) == numbers


def test_one_command_follows_symbols() -> None:
    text = (ROOT / "docs/explanation/one-command.md").read_text()
    assert len(SYMBOL.findall(text)) > 20


def test_the_readme_maps_every_service_and_library() -> None:
    """A row of its own each, in the order of no importance."""
    rows = set(re.findall(r"^\| `((?:services|libs)/\w+)` \| \S", (ROOT / "README.md").read_text(), re.MULTILINE))
    folders = {
        f"{top}/{each.parent.name}" for top in ("services", "libs") for each in (ROOT / top).glob("*/__init__.py")
    }
    assert rows == folders


def test_the_readme_leads_to_every_page() -> None:
    links = set(LINK.findall((ROOT / "README.md").read_text()))
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions"}
    assert pages <= links


def test_the_architecture_page_draws_every_service_and_library() -> None:
    made = (ROOT / "docs/explanation/architecture.md").read_text().partition("## The drawing")[2]
    for top in ("services", "libs"):
        for package in (ROOT / top).glob("*/__init__.py"):
            assert f"| `{package.parent.name}` |" in made, package.parent.name


def denied(text: str) -> set[str]:
    """Return the last words of what is said not to be there: `No windows, tamed freezes or roles yet: …`."""
    sentences = re.findall(r"\b[Nn]o ([^.:;]*)", " ".join(text.split()))
    things = [thing for sentence in sentences for thing in re.split(r",| or | and ", sentence)]
    return {thing.removesuffix(" yet").split()[-1].lower() for thing in things if thing.split()}


def test_the_readme_denies_no_kind_that_exists() -> None:
    assert denied("No rings, fine-grained roles or laws\nyet: a token.") == {"rings", "roles", "laws"}
    limitations = (ROOT / "README.md").read_text().partition("## Honest limitations")[2]
    assert limitations
    assert not denied(limitations) & {word for kind in KINDS for word in (kind.singular, kind.plural)}
