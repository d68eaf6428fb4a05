"""Whether a kustomization passes every placeholder of its sources on.

kustomize does not branch on values; but its transformers replace what stands in a field, with the placeholder in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from libs.templates.probing import PLACEHOLDER
from libs.templates.reader import read_manifests
from libs.templates.tools import HydrationFailed
from libs.templates.yaml_nodes import YamlRejected

KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_FILES = ("resources", "bases", "components", "crds", "generators", "transformers", "patchesStrategicMerge")
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_EATERS = ("images", "replicas", "patches", "patchesStrategicMerge", "patchesJson6902", "replacements", *_GENERATORS)
FILES_MAX = 2_000


def refuse_missing(folder: Path, manifests: str) -> None:
    """Raise `HydrationFailed` for a placeholder that stands in a source and not in what kustomize built."""
    known = set(PLACEHOLDER.findall(manifests))
    missing: list[str] = []
    sources = dict.fromkeys(_sources(folder, set()))
    for file in sources:
        text = file.read_text(encoding="utf-8", errors="replace")
        missing += [
            f"{found} ({file}, line {number})"
            for number, line in enumerate(text.splitlines(), 1)
            for found in PLACEHOLDER.findall(line)
            if found not in known and not _comment(line, found)
        ]
    if missing:
        eaters = sorted(
            {each for file in sources if file.name in KUSTOMIZATION_FILES for each in _EATERS if each in _mapping(file)}
        )
        fields = f" Look at {', '.join(f'{each}:' for each in eaters)} of the kustomization." if eaters else ""
        raise HydrationFailed(
            "A placeholder does not arrive in the manifests",
            f"kustomize replaced or dropped {'; '.join(missing[:5])}"
            + (f"; and {len(missing) - 5} more" if len(missing) > 5 else ""),
            f"Put the placeholder where the value ends up, or leave it out.{fields}",
        )


def _comment(line: str, found: str) -> bool:
    before = line[: line.index(found)]
    return before.lstrip().startswith("#") or " # " in before


def _sources(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the kustomization of a folder and every local file that it names, and those of the folders below it."""
    file = next((folder / name for name in KUSTOMIZATION_FILES if (folder / name).is_file()), None)
    if file is None or folder.resolve() in seen or len(seen) > FILES_MAX:
        return
    seen.add(folder.resolve())
    yield file
    for name in _named(_mapping(file)):
        if "\n" in name or "://" in name or len(name) > 500:
            continue
        path = folder / name
        if path.is_dir():
            yield from _sources(path, seen)
        elif path.is_file():
            yield path


def _mapping(file: Path) -> dict[str, Any]:
    try:
        documents = read_manifests(file.read_bytes())
    except YamlRejected:
        return {}
    return documents[0] if documents and isinstance(documents[0], dict) else {}


def _named(kustomization: dict[str, Any]) -> Iterator[str]:
    for key in _FILES:
        yield from (each for each in _list(kustomization.get(key)) if isinstance(each, str))
    for key in _WITH_PATH:
        yield from (
            str(each["path"]) for each in _list(kustomization.get(key)) if isinstance(each, dict) and "path" in each
        )
    for key in _GENERATORS:
        for each in _list(kustomization.get(key)):
            if isinstance(each, dict):
                named = [*_list(each.get("files")), *_list(each.get("envs")), each.get("env")]
                yield from (name.rpartition("=")[2] for name in named if isinstance(name, str))
    for each in _list(kustomization.get("helmCharts")):
        if isinstance(each, dict):
            named = [each.get("valuesFile"), *_list(each.get("additionalValuesFiles"))]
            yield from (name for name in named if isinstance(name, str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
