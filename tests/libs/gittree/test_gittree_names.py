"""Names: nothing that Git, Flux or a file system reads in its own way gets into a tree."""

from __future__ import annotations

import pytest

from libs.gittree import Mode, NameRefused, tree_parts, validate_name

LOOK_ALIKES = [
    "",
    ".",
    "..",
    "...",
    ".git",
    ".GIT",
    ".gIt",
    "git~1",
    "GIT~1",
    ".git ",
    ".git.",
    ".git...",
    ".git::$INDEX_ALLOCATION",
    ".g\u200cit",
    ".\u200dgit",
    ".git\ufeff",
    ".gitmodules",
    ".GitModules",
    "gitmod~1",
    "gi7eba~1",
    ".gitattributes",
    "gitatt~1",
    ".gitignore",
    ".gitkeep",
    ".sourceignore",
    ".SourceIgnore",
    "a/b",
    "a\\b",
    "/etc",
    "../../x",
    "C:",
    "a:b",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\x1b[31m",
    " a",
    "a ",
    "a.",
    "-rf",
    "--upload-pack",
    "caf\u00e9",
    "\uff0egit",
    "a\u2028b",
    "x" * 256,
    "*",
    "a?",
    "$(id)",
    "'",
    '"',
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_name_that_means_something_is_refused(name: str) -> None:
    with pytest.raises(NameRefused):
        validate_name(name)


@pytest.mark.parametrize(
    "name", ["a", "pos.yaml", ".resedge", "manifest.json", "0", "a-b_c.d", "git", "gitops", "x" * 255]
)
def test_a_plain_name_is_allowed(name: str) -> None:
    assert validate_name(name) == name.encode()


def test_a_name_stands_in_a_tree_once() -> None:
    with pytest.raises(NameRefused, match="twice"):
        tree_parts([("a", Mode.FILE), ("a", Mode.DIRECTORY)])
