"""The check of names finds what is defined twice, lets pass what the layout gives, and wants no stale reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.names import ALLOWED, problems


def tree(root: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


@pytest.mark.parametrize(
    "text",
    [
        *(
            "X = 1",
            "X: int = 1",
            "X, Y = 1, 2",
            "def X(): ...",
            "async def X(): ...",
            "class X: ...",
            "if True:\n    X = 1",
        ),
        "try:\n    pass\nexcept OSError:\n    X = 1",
    ],
)
def test_a_name_that_two_modules_define_is_found(tmp_path: Path, text: str) -> None:
    root = tree(tmp_path, libs__a=text, services__s__b="X = 2")

    assert problems(root, {}) == [
        "X is defined in libs/a.py, services/s/b.py: join them, or give each a name of its own"
    ]
    assert problems(root, {"X": "a reason"}) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "_X = 1",
            "from libs.a import X",
            "import libs.a\nX = libs.a.X",
            "def f():\n    X = 1",
            "class C:\n    X = 1",
        ),
        *('X = TypeVar("X")', "@app.command()\ndef X(): ..."),
    ],
)
def test_what_is_private_passed_on_or_registered_needs_no_reason(tmp_path: Path, text: str) -> None:
    assert problems(tree(tmp_path, libs__a="X = 1", cli__b=text), {}) == []


def test_the_layout_gives_a_name_in_its_place_only(tmp_path: Path) -> None:
    aggregates = tree(tmp_path, services__a__domain="def decide(): ...", services__b__domain__c="def decide(): ...")
    assert problems(aggregates, {}) == []

    elsewhere = tree(tmp_path, libs__a="def decide(): ...", libs__b="def decide(): ...")
    assert len(problems(elsewhere, {})) == 1


def test_a_reason_that_excuses_nothing_fails(tmp_path: Path) -> None:
    assert problems(tree(tmp_path, libs__a="X = 1"), {"X": "gone"}) == ["X is defined once: take it out of ALLOWED"]


def test_every_name_of_the_tree_means_one_thing() -> None:
    assert problems() == []
    assert all(ALLOWED.values())
