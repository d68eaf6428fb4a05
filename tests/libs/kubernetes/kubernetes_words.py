"""The vocabulary of these tests: objects that an API server takes, and what the check says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libs.kubernetes import Finding, FindingsReport, Manifest, check_objects, newest
from libs.templates import read_manifests

CORPUS = (Path(__file__).parent / "corpus.yaml").read_bytes()


def manifest(value: dict[str, Any]) -> Manifest:
    metadata = value["metadata"]
    return Manifest(value["apiVersion"], value["kind"], metadata.get("namespace", "pos"), metadata["name"], value)


def corpus() -> list[dict[str, Any]]:
    return read_manifests(CORPUS)


def one(kind: str) -> dict[str, Any]:
    """Return the object of the corpus that has this kind."""
    return next(each for each in corpus() if each["kind"] == kind)


def checked(*values: dict[str, Any], versions: tuple[str, ...] = (), named: bool = True, **more: Any) -> FindingsReport:
    return check_objects([manifest(each) for each in values], versions or (newest(),), named=named, **more)


def found(report: FindingsReport) -> list[tuple[bool, str, str]]:
    """Return (never, object, pointer) of each finding."""
    return [(each.never, each.object, each.pointer) for each in report.findings]


def only(report: FindingsReport) -> Finding:
    """Return the one finding."""
    assert len(report.findings) == 1, [str(each) for each in report.findings]
    return report.findings[0]


def put(value: Any, pointer: str, new: Any) -> None:
    """Write a value at a pointer of an object; a key that is not there is added."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in way:
        value = value[int(part)] if isinstance(value, list) else value.setdefault(part, {})
    if isinstance(value, list):
        value[int(last) : int(last) + 1] = [new]
    else:
        value[last] = new
