"""Plain English: turns that a reader with another first language has to read twice, and what to write instead.

The list is short on purpose: a turn stands here only if it is nearly always wrong, so that nobody has to argue with it.
Pages are checked, generated ones included, and every text in the shipped code that is not a docstring; for turns that
came up in docstrings again and again (`IN_CODE`), docstrings and comments are checked as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SHIPPED = [path for top in ("cli", "libs", "services") for path in sorted((ROOT / top).rglob("*.py"))]
COUNTED = "error|fault|cluster|store|event|commit|release|row|document|placement|vote|line|file"
TURNS = {
    r"hang(?:s|ing)? together": "say 'is consistent' or 'is intact': an idiom cannot be looked up word by word",
    r"away with it": "say 'remove it' or 'clean up': an idiom",
    r"(?:clusters|documents|files|stores) (?:are|is) others": "say 'is changed': no word tells what happened",
    r"others afterwards": "say 'is changed': no word tells what happened",
    r"by the way": "say 'as a side effect', or nothing: it sounds as if the sentence did not matter",
    r"for want of": "say 'because there is no': archaic",
    r"by whose leave": "say 'who approved it': archaic",
    r"is none of": "say 'is not one of': 'none' is read as a quantity",
    r"no such thing": "name the thing that was not found",
    r"(?:are|is|was|were) to be (?:\w+ed|found|had|kept|made|set|taken|told|written)": (
        "say 'must be' or 'will be': a reader cannot know which"
    ),
    r"for good(?=[.,;:)]| and )": "say 'permanently': an idiom",
    r"of before|from before(?! \w)": "say 'older' or 'earlier': a preposition without its noun",
    r"turns? it round": "say 'reverses the order': an idiom",
    r"(?:where|there)(?:of|upon|in|by)": "say 'of it', 'after that', 'in it', 'by it': archaic",
    r"hitherto|henceforth|whilst|lest|heretofore": "archaic: say 'until now', 'from now on', 'while', 'so that … not'",
    r"shall": "say 'must' or 'will': archaic outside of contracts",
    r"in mid-\w+": "say 'during': archaic",
    r"mend(?:s|ed|ing)?": "say 'fix' or 'repair': rare in this field",
    r"(?:tell|tells|told|speak|speaks|spoke) of": "say 'describe', 'mention' or 'name': archaic",
    r"it is (?:there|here) already": "say 'it already exists'",
    rf"1 (?:{COUNTED})s": "a count agrees with its noun: '1 error'",
}
"""What is not written, as a pattern → what to write, and why."""
IN_CODE = {
    r"(?:what|that) (?:comes|came) on top": (
        "say 'further ones' or 'what was appended since': on top of what?",
        "Return the snapshot and what comes on top.",
        "Return the snapshot and what was appended since.",
    ),
    r"so[- ]many[- ]th": ("say 'the n-th'", "Die at the so-many-th time.", "Die at the n-th time."),
    r"lets? nobody in": (
        "say 'is not accepted': an idiom",
        "An expired token lets nobody in.",
        "An expired token is not accepted.",
    ),
    r"(?:goes?|went|gone) well": (
        "say 'succeeds', 'succeeded': an idiom",
        "Return whether the push went well.",
        "Return whether the push succeeded.",
    ),
    r"(?:somebody|nobody) (?:else )?is at it": (
        "say what somebody else holds or runs: an idiom",
        "Refuse a rebuild while somebody else is at it.",
        "Refuse a rebuild while another process runs one.",
    ),
    r"put back": (
        "say 'restored from a backup' or 'returned': put where?",
        "The log was put back.",
        "The log was restored from a backup.",
    ),
    r"trying again": ("say 'retrying'", "Wait before trying again.", "Wait before retrying."),
    r"(?:went|goes?) through after all": (
        "say 'was applied in the end'",
        "The append went through after all.",
        "The append was applied in the end.",
    ),
    r"holds? (?:it |nothing )?no longer": (
        "say 'drop' or 'remove'",
        "The cache holds it no longer.",
        "The cache has dropped it.",
    ),
    r"sa(?:ys|id) of itself": (
        "name the thing: 'its status', 'its claims'",
        "Tell what a token says of itself.",
        "Return the claims of a token.",
    ),
    r"be had": (
        "say 'be fetched', 'be opened' or 'is not available'",
        "The keys could not be had.",
        "The keys could not be fetched.",
    ),
    r"let(?:s|ting)? go of": (
        "say 'release' or 'close': an idiom",
        "Let go of the connection.",
        "Close the connection.",
    ),
    r"the one rule to know": (
        "say 'The one rule', and only where a newcomer would break it",
        "The one rule to know: nothing here reads the clock.",
        "The one rule: nothing here reads the clock.",
    ),
    r"by why": ("say 'by reason'", "Count refusals by why.", "Count refusals by reason."),
    r"there twice": (
        "say 'listed twice' or 'given twice'",
        "A name is there twice.",
        "A name is listed twice.",
    ),
    r"last words": (
        "say 'the end of its log'",
        "Return the last words of the process.",
        "Return the end of the process's log.",
    ),
}
"""What is not written in texts, docstrings and comments of the code, as a pattern → what to write, before, after."""
QUOTED = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def compiled(turns: dict[str, str]) -> dict[re.Pattern[str], str]:
    return {
        re.compile(r"(?<![\w-])(?:" + turn.replace(" ", r"\s+") + r")(?![\w-])", re.IGNORECASE): instead
        for turn, instead in turns.items()
    }


PATTERNS = compiled(TURNS)
CODE_PATTERNS = compiled({turn: instead for turn, (instead, _, _) in IN_CODE.items()})


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def found(text: str, patterns: dict[re.Pattern[str], str] = PATTERNS) -> list[str]:
    """Return the turns in a text, each with its line, as in a compiler's messages; code is not looked at."""
    prose = QUOTED.sub(lambda match: re.sub(r"[^\n]", "`", match.group()), text)
    return [
        f"line {prose.count(chr(10), 0, match.start()) + 1}: '{match.group()}': {instead}"
        for pattern, instead in patterns.items()
        for match in pattern.finditer(prose)
    ]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_is_plain(page: Path) -> None:
    assert not found(page.read_text("utf-8"))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of several words in a module, with their lines; docstrings are for those who read the code."""
    tree = ast.parse(path.read_text("utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in alone
        ):
            yield node.lineno, node.value


def test_what_the_product_says_is_plain() -> None:
    said = [(path, line, text) for path in SHIPPED for line, text in texts(path)]
    assert len(said) > 1000
    assert [f"{named(path)}:{line}: {turn}" for path, line, text in said for turn in found(text)] == []


@pytest.mark.parametrize("path", [*SHIPPED, *sorted((ROOT / "scripts").rglob("*.py"))], ids=named)
def test_docstrings_and_comments_are_plain(path: Path) -> None:
    source = re.sub(r"\n\s*# ?", "\n", path.read_text("utf-8"))  # a turn may go on in a comment's next line
    assert not found(source, CODE_PATTERNS)


@pytest.mark.parametrize(("turn", "example"), IN_CODE.items(), ids=list(IN_CODE))
def test_a_turn_of_docstrings_is_found_before_and_not_after(turn: str, example: tuple[str, str, str]) -> None:
    instead, before, after = example

    (reported,) = found(before, CODE_PATTERNS)

    assert reported.endswith(instead)
    assert re.search(turn, before, re.IGNORECASE)
    assert not found(after, CODE_PATTERNS)
    assert not found(after)


def test_a_turn_of_docstrings_is_found_across_lines() -> None:
    assert found("Return what comes\n    on top of it.", CODE_PATTERNS)


@pytest.mark.parametrize(
    "turn",
    [
        "2,668 events hang together.",
        "What opens a gate by\nthe way is withheld.",
        "Nothing is to be rendered here.",
        "The volume is gone for good.",
        "Logs of before need no change.",
        "18 errors and 1 errors.",
        "A table that tells of\nfields.",
        "Mend the field.",
    ],
)
def test_a_turn_is_found_across_lines(turn: str) -> None:
    assert found(turn)


@pytest.mark.parametrize(
    "plain",
    [
        "Hash chain intact: 2,668 events.",
        "A change that opens a gate as a side effect is withheld.",
        "1 error, 11 errors and 21 stores.",
        "The token is good for an hour; the fleet must be ready before noon.",
        "Run `mend` in a console:\n\n```console\n$ mend --away with it\n```\n",
        "Recommended: amend the commit. Marshall it, and use the challenge.",
        "What it was from before the restore is in the log.",
    ],
)
def test_plain_text_passes(plain: str) -> None:
    assert not found(plain)
