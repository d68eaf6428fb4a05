"""The order of a run: each file whole, drills spread over its beginning, the small files last."""

from __future__ import annotations

from pathlib import Path

from tests.support.ordering import LONG, ordered

TESTS = Path(__file__).resolve().parents[1]


def test_long_files_alternate_with_the_largest_and_files_stay_whole() -> None:
    files = {"a/few": 1, "distributed/x": 2, "a/most": 9, "distributed/y": 1, "a/some": 4, "a/more": 5}
    items = [(Path(name), number) for name, count in files.items() for number in range(count)]
    found = ordered(items, lambda item: item[0])

    assert sorted(found) == sorted(items)
    assert list(dict.fromkeys(str(path) for path, _ in found)) == [
        *("distributed/x", "a/most", "distributed/y", "a/more", "a/some", "a/few")
    ]
    assert [number for path, number in found if path == Path("a/most")] == list(range(9))


def test_the_long_folders_exist() -> None:
    folders = {path.parent.name for path in TESTS.rglob("test_*.py")}
    assert set(LONG) <= folders
