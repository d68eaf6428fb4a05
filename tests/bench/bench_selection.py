"""How fast expressions are evaluated over 60,000 clusters, and what a change of one label costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from libs.selection import Selection, parse

CLUSTERS = 60_000
SIZES, STATES = ("small", "medium", "large", "xl"), tuple(f"s{number}" for number in range(50))
EXPRESSION = (
    "ownership = corporate and size in (large, xl) and lanes >= 2 and grill in (Acme3000, Acme3001) "
    'and /g/geo/us and not has(camera) and city like "c-1*" and state != s7'
)


def _labels(number: int) -> dict[str, str | list[str]]:
    return {
        "ownership": "corporate" if number % 7 else "franchise",
        "size": SIZES[number % 4],
        "state": STATES[number % 50],
        "city": f"c-{number % 20_000}",
        "lanes": str(number % 4),
        "grill": ["Acme3000", "Acme3001"] if number % 5 else "Acme2000",
        **({"camera": "yes"} if number % 3 == 0 else {}),
        **{f"key{index}": f"value{number % (index + 2)}" for index in range(9)},
    }


def _fleet() -> tuple[Selection, float]:
    selection = Selection()
    labels = [_labels(number) for number in range(CLUSTERS)]
    started = time.perf_counter()
    for number, each in enumerate(labels):
        selection.put_cluster(f"store-{number:05d}", f"store-{number:05d}", each)
    selection.settle()
    seconds = time.perf_counter() - started
    for number in range(3_000):
        selection.put_group(f"/geo/us/{number}", [], [], parse(f"city = c-{number}"))
    for number in range(100):
        selection.save(("saved", number), parse(f"state = s{number % 50} and size = xl"))
    selection.settle()
    return selection, seconds


def _median(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _scan(labels: list[dict[str, str | list[str]]], inside: set[int]) -> int:
    """The baseline: the same condition, cluster by cluster."""
    found = 0
    for number, each in enumerate(labels):
        grill = each["grill"]
        grills = grill if isinstance(grill, list) else [grill]
        found += (
            each["ownership"] == "corporate"
            and each["size"] in {"large", "xl"}
            and float(str(each["lanes"])) >= 2
            and ("Acme3000" in grills or "Acme3001" in grills)
            and number in inside
            and "camera" not in each
            and str(each["city"]).startswith("c-1")
            and each["state"] != "s7"
        )
    return found


def _relabel(selection: Selection) -> float:
    count = iter(range(10_000))

    def change() -> None:
        selection.put_cluster("store-00005", "store-00005", {**_labels(5), "city": f"c-{next(count)}"})
        selection.settle()

    return _median(change, 200)


def run() -> list[dict[str, Any]]:
    selection, put_seconds = _fleet()
    expression = parse(EXPRESSION)
    indexed = _median(lambda: selection.select(expression), 200)
    with_parsing = _median(lambda: selection.select(parse(EXPRESSION)), 50)
    labels = [_labels(number) for number in range(CLUSTERS)]
    inside = set(selection.members("/geo/us"))
    assert _scan(labels, inside) == len(selection.select(expression)) > 0
    naive = _median(lambda: _scan(labels, inside), 3)
    relabel = _relabel(selection)

    def figure(
        name: str, value: float, unit: str, target: float | None, baseline: float | None = None
    ) -> dict[str, Any]:
        ratio = None if baseline is None else round(baseline / value, 1)
        return {
            "name": name,
            "value": round(value, 4),
            "unit": unit,
            "target": target,
            "baseline": baseline,
            "ratio": ratio,
        }

    return [
        figure("select-8-terms-60000", indexed * 1e3, "ms", 1.0, round(naive * 1e3, 2)),
        figure("select-8-terms-60000-with-parsing", with_parsing * 1e3, "ms", None),
        figure("put-60000-clusters", put_seconds, "s", 1.0),
        figure("settle-one-label", relabel * 1e3, "ms", 0.2),
    ]


if __name__ == "__main__":
    for each in run():
        print(each)
