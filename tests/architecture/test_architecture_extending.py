"""What the page on extending says stays true: each of its changes is applied to a copy of the tree, and works there.

A patch in `tests/data/extending` is a whole change with its tests; generated pages are not part of it. If a patch no
longer applies, make the change by hand and replace the patch with `git diff`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = ROOT / "tests" / "data" / "extending"
COPIED = ("cli", "docs", "libs", "scripts", "services", "tests", "pyproject.toml")
FILES_MAX = {"a-new-gate": 3, "a-new-kind": 6}
"""How many files each change may edit by hand, its tests among them."""


def files_of(patch: Path) -> list[str]:
    return re.findall(r"^\+\+\+ b/(.+)$", patch.read_text("utf-8"), re.MULTILINE)


def test_every_patch_has_a_limit() -> None:
    assert sorted(FILES_MAX) == sorted(patch.stem for patch in PATCHES.iterdir())


def copy_of_the_tree(place: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", "recorded-*", "*.xz")
    for each in COPIED:
        source = ROOT / each
        if source.is_dir():
            shutil.copytree(source, place / each, ignore=unwanted)
        else:
            shutil.copy(source, place / each)


def run(place: Path, *arguments: str) -> str:
    """Run a command in the copy, with its code and not with ours; return what it says if it fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(place),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CEILING_DIRECTORIES": str(place.parent),
    }
    found = subprocess.run(arguments, check=False, cwd=place, env=environment, capture_output=True, text=True)
    return "" if found.returncode == 0 else found.stdout[-5_000:] + found.stderr[-2_000:]


@pytest.mark.parametrize("name", sorted(FILES_MAX))
def test_a_change_is_in_few_files_and_all_that_follows_from_it_works(name: str, tmp_path: Path) -> None:
    patch = PATCHES / f"{name}.patch"
    files = files_of(patch)
    assert len(files) <= FILES_MAX[name], f"{name} takes {len(files)} files: {files}"
    tests = [each for each in files if Path(each).name.startswith("test_")]
    assert tests, "a change comes with its tests"

    copy_of_the_tree(tmp_path)
    assert not run(tmp_path, "git", "apply", str(patch))
    pytest_here = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    assert not run(tmp_path, *pytest_here, *tests)
