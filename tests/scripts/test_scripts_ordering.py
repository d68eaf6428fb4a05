"""The order of a run: each file whole, drills spread over its beginning, what takes little last."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.ordering import LONG, ordered
from tests.support.times import recorded, seconds_of

TESTS = Path(__file__).resolve().parents[1]


def test_long_files_alternate_with_the_slowest_and_files_stay_whole() -> None:
    files = {"a/few": 1, "distributed/x": 2, "a/most": 9, "distributed/y": 1, "a/some": 4, "a/slow": 5}
    seconds = {Path("a/slow"): 60.0, Path("distributed/y"): 90.0}
    items = [(Path(name), number) for name, count in files.items() for number in range(count)]
    found = ordered(items, lambda item: item[0], lambda path: seconds.get(path, 0.0))

    assert sorted(found) == sorted(items)
    assert list(dict.fromkeys(str(path) for path, _ in found)) == [
        *("distributed/y", "a/slow", "distributed/x", "a/most", "a/some", "a/few")
    ]
    assert [number for path, number in found if path == Path("a/most")] == list(range(9))


def test_no_order_of_what_is_collected_changes_the_order_of_a_run() -> None:
    paths = [*(TESTS / name for name in recorded()), *sorted(TESTS.rglob("test_*.py"))]
    shuffled = random.Random(1).sample(paths, len(paths))

    def first_seen(items: list[Path]) -> list[Path]:
        return list(dict.fromkeys(ordered(items, lambda path: path, seconds_of)))

    assert first_seen(paths) == first_seen(shuffled)


def test_the_long_folders_exist() -> None:
    folders = {path.parent.name for path in TESTS.rglob("test_*.py")}
    assert set(LONG) <= folders
