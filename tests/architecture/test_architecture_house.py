"""House rules as small checks: sizes, words, generated pages, the commands that pages tell people to type."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.app import root
from scripts.generate import MEANINGS, PAGES

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 400
SUITE_LINES_MAX = 500  # a suite is a list of sentences; it may be longer than what it tests
FUNCTION_LINES_MAX = 60
MODULES = [
    path for top in ("cli", "libs", "services", "scripts", "tests") for path in sorted((ROOT / top).rglob("*.py"))
]
SHIPPED = [path for path in MODULES if path.relative_to(ROOT).parts[0] in {"cli", "libs", "services"}]
DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
VAGUE = re.compile(r"(Manager|Helper|Util|Utils|Processor|Data|Info)$")
OPEN_END = re.compile(r"#\s*(TODO|FIXME|XXX|HACK)\b")
ONE_WORD = {
    "blackout": "freeze",
    "cohort": "ring",
}
"""Words that the glossary gives another word for; nothing public says them."""

WRITTEN = [
    path
    for top in (".ci", "cli", "compose", "k8s", "libs", "scripts", "services", "tests")
    for path in sorted((ROOT / top).rglob("*"))
    if path.suffix in {"", ".py", ".sh", ".template", ".yaml", ".yml"} and path.is_file()
]
MARK = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type:\s*ignore\b(?:\[[^]]*\])?"
    r"|pragma\b(?::\s*no (?:cover|branch))?|shellcheck disable=[\w,]+)(?P<reason>.*)"
)
"""What tells a tool to look away, and what stands after it."""
REASON = re.compile(r"\w{2,}")
CLOCK = re.compile(r"\b(process_time|perf_counter|monotonic)(_ns)?\(\)")
DEADLINE = re.compile(r"\bdeadline\b")
SLEEP_REASON = re.compile(r"# (?!noqa|type:).*\w{2,}")
TESTS = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "tests" or "drills" in path.name]


def unexplained(text: str) -> list[str]:
    """Return the lines that tell a tool to look away and do not say why, on the same line."""
    found = ((line, MARK.search(line)) for line in text.splitlines())
    return [line.strip() for line, mark in found if mark is not None and not REASON.search(mark["reason"])]


def sleeping(text: str) -> list[str]:
    """Return the lines that sleep and do not say why, behind it or in the line above."""
    lines = ["", *text.splitlines()]
    calls = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)]
    asleep = [each for each in calls if ast.unparse(each.func).rpartition(".")[2] == "sleep"]
    return [
        lines[each.lineno].strip()
        for each in asleep
        if not SLEEP_REASON.search(lines[each.end_lineno or each.lineno])
        and not SLEEP_REASON.match(lines[each.lineno - 1].strip())
    ]


def timed(text: str) -> list[str]:
    """Return the assertions that compare how long something took, waits with a deadline excepted."""
    asserted = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Assert)]
    read = [each for each in asserted if CLOCK.search(ast.unparse(each.test))]
    return [ast.unparse(each) for each in read if not DEADLINE.search(ast.unparse(each.test))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_modules_and_functions_hold_one_idea(path: Path) -> None:
    text = path.read_text("utf-8")

    assert text.count("\n") <= (SUITE_LINES_MAX if path.name.startswith("test_") else MODULE_LINES_MAX)
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"
    assert not OPEN_END.search(text), "open ends belong into issues"


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_names_say_what_a_thing_is(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            assert not VAGUE.search(node.name), node.name


@pytest.mark.parametrize("path", [*SHIPPED, *DOCS], ids=named)
def test_one_concept_has_one_word(path: Path) -> None:
    if path.name == "glossary.md":
        return
    for word, ours in ONE_WORD.items():
        assert not re.search(rf"\b{word}s?\b", path.read_text("utf-8"), re.IGNORECASE), f"say {ours}, not {word}"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_generated_page_is_current(page: str) -> None:
    assert (ROOT / page).read_text("utf-8") == PAGES[page](), "run python -m scripts.generate"


def test_no_setting_is_told_of_that_is_gone() -> None:
    told = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    for name in MEANINGS:
        assert f"_{name.upper()}`" in told


def test_every_reference_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        if page.parent.name != "decisions":
            assert f"({page.relative_to(ROOT)})" in readme, page.name


@pytest.mark.parametrize("page", DOCS, ids=named)
def test_the_commands_on_a_page_exist(page: Path) -> None:
    for words in re.findall(
        r"(?:`|^ *\$? *)(?:\.venv/bin/)?resedge ([a-z][^`\n]*)", page.read_text("utf-8"), re.MULTILINE
    ):
        known: Any = get_command(root)
        for word in words.split():
            if not isinstance(known, TyperGroup) or not word[0].isalpha():
                break
            found = known.get_command(None, word)  # type: ignore[arg-type]  # no context is needed
            assert found is not None, f"resedge {words}: there is no {word}"
            known = found


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_children_are_started_off_the_working_directory(path: Path) -> None:
    """`python -m cli` and `python -c "from libs…"` would take the module of that name that lies there."""
    command = re.search(r"sys\.executable\s*,|\{sys\.executable\}", path.read_text("utf-8"))

    assert command is None or named(path) == "libs/children.py", "use libs.children.python"


SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_readable_and_says_how_it_is_used(script: str) -> None:
    path = ROOT / "scripts" / script

    assert f"# Usage: scripts/{script}" in path.read_text("utf-8")
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "scripts/test" in (ROOT / "README.md").read_text("utf-8")


def test_importing_the_pages_writes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("path", [*WRITTEN, ROOT / "Dockerfile", ROOT / "pyproject.toml"], ids=named)
def test_what_a_tool_is_told_to_overlook_has_a_reason(path: Path) -> None:
    assert unexplained(path.read_text("utf-8")) == []


def test_a_rule_that_is_off_has_a_reason() -> None:
    rules = re.compile(r'^(?:\s+|"[^"]+" = \[ *)(?:"[A-Z]+\d*",? ?)+(?!\s*#)', re.MULTILINE)
    ignoring = (ROOT / "pyproject.toml").read_text("utf-8").partition("\nignore = [")[2].partition(".pylint]")[0]
    without = [line for line in ignoring.splitlines() if rules.match(line) and "#" not in line]

    assert without == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x = 1  # noqa", False),
        ("x = 1  # noqa: S608", False),
        ("x = 1  # noqa: S608, E501", False),
        ("x = 1  # noqa: S608 -", False),
        ("x = 1  # type: ignore[misc]", False),
        ("x = 1  # pragma: no cover", False),
        ("# shellcheck disable=SC2086", False),
        ("x = 1  # noqa: S608 - our names", True),
        ("x = 1  # type: ignore[misc]  # a stand-in", True),
        ("# shellcheck disable=SC2086  # words are wanted", True),
        ("x = 1  # nothing to overlook", True),
    ],
)
def test_a_mark_without_a_reason_is_seen(line: str, said: bool) -> None:
    assert unexplained(line) == ([] if said else [line])


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_a_test_that_sleeps_says_why_it_cannot_wait_for_a_condition(path: Path) -> None:
    """What is waited for has a condition: `tests/support/waiting.py`."""
    assert sleeping(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_counts_agree_with_their_noun_in_one_place(path: Path) -> None:
    """`libs.contracts.meaning.counted` does it; written anew, one branch of a sentence has been forgotten before."""
    if named(path) != "libs/contracts/meaning.py":
        assert re.findall(r"\{'' if .{1,40} == 1 else 's'\}", path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_no_test_asserts_how_long_something_took(path: Path) -> None:
    """A busy machine is not a defect; what may never end is ended by the time that a test has."""
    assert timed(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("assert time.monotonic() - started < 5", True),
        ("assert clock.process_time() < began + 1, 'slow'", True),
        ("assert time.monotonic() < deadline, 'not settled'", False),
        ("assert started == 3", False),
    ],
)
def test_an_assertion_about_time_is_seen(line: str, seen: bool) -> None:
    assert bool(timed(line)) is seen


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("time.sleep(1)", False),
        ("await asyncio.sleep(0.1)", False),
        ("sleep(SECONDS)  # noqa: ASYNC251", False),
        ("x = 1  # one\ntime.sleep(1)", False),
        ("time.sleep(1)  # nothing happens meanwhile", True),
        ("# nothing happens meanwhile\nawait asyncio.sleep(random())", True),
        ("program = 'time.sleep(600)'", True),
    ],
)
def test_a_sleep_without_a_reason_is_seen(line: str, said: bool) -> None:
    assert bool(sleeping(line)) is not said
