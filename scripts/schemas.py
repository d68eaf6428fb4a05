"""Writes `schemas/`: JSON Schemas of published and of external event types, OpenAPI of each service, AsyncAPI.

`python -m scripts.schemas` writes them; `--check` says which are not current. An event's schema may only grow: a
change that takes something away, or asks for more, is refused here and needs a new type (`…V2`) with an upcaster; the
same holds for what systems outside send.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from cli.embedded import SERVICES
from libs.contracts import event_types
from libs.contracts.inbox import adapter_of, external_types
from libs.runtime.embedded import Embedded
from scripts.asyncapi import asyncapi_text

SCHEMAS_ROOT = Path(__file__).parents[1] / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _text_of(document: dict[str, Any]) -> str:
    """Return a document as it is committed."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def event_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each published event type, by type name; `cli.embedded` has imported all of them."""
    return {
        name: {"$schema": DIALECT, "$id": f"events/{name}.json", **TypeAdapter(cls).json_schema(mode="validation")}
        for name, cls in sorted(event_types().items())
    }


def inbox_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each external type's data, by type name."""
    return {
        name: {"$schema": DIALECT, "$id": f"inbox/{name}.json", **adapter_of(name).json_schema(mode="validation")}
        for name in sorted(external_types())
    }


SCHEMAS = {"events": event_schemas, "inbox": inbox_schemas}
"""Folder of `schemas/` → the schemas in it; each may only grow."""


def descriptions() -> dict[str, dict[str, Any]]:
    """Return the OpenAPI description of each service alone."""
    found = {}
    for build in SERVICES:
        name = build.__module__.split(".")[1]
        with tempfile.TemporaryDirectory() as directory:
            alone = Embedded(Path(directory), [build])
            found[name] = alone.app.openapi()
            alone.log.close()
    return found


def files() -> Iterator[tuple[Path, str]]:
    """Yield every file of `schemas/` and what is in it."""
    for folder, schemas in SCHEMAS.items():
        for name, schema in schemas().items():
            yield SCHEMAS_ROOT / folder / f"{name}.json", _text_of(schema)
    for name, description in descriptions().items():
        yield SCHEMAS_ROOT / "openapi" / f"{name}.json", _text_of(description)
    yield SCHEMAS_ROOT / "asyncapi.yaml", asyncapi_text()


def breaks(before: dict[str, Any], after: dict[str, Any], at: str = "") -> list[str]:
    """Return what a reader or a recorded event of `before` could not live with in `after`."""
    found = []
    known, now = before.get("properties", {}), after.get("properties", {})
    found += [f"{at}/{name} is gone" for name in known if name not in now]
    found += [
        f"{at}/{name} is required now" for name in after.get("required", []) if name not in before.get("required", [])
    ]
    for name in known.keys() & now.keys():
        if _meaning(known[name]) != _meaning(now[name]):
            found.append(f"{at}/{name} has another type")
        if "default" in known[name] and known[name]["default"] != now[name].get("default"):
            found.append(f"{at}/{name} has another default, which recorded events without it would get")
    if after.get("additionalProperties", True) is False and before.get("additionalProperties", True) is not False:
        found.append(f"{at} takes nothing else now")
    for name, definition in before.get("$defs", {}).items():
        if name in after.get("$defs", {}):
            found += breaks(definition, after["$defs"][name], f"{at}#{name}")
        else:
            found.append(f"{at}#{name} is gone")
    return found


def _meaning(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema asks of a value: all of it but what only tells of it."""
    return {key: asked for key, asked in schema.items() if key not in {"title", "description", "default", "examples"}}


def incompatible() -> list[str]:
    """Return how the code's event types break those that are committed."""
    found = []
    for folder, schemas in SCHEMAS.items():
        current = schemas()
        for path in sorted((SCHEMAS_ROOT / folder).glob("*.json")):
            if path.stem not in current:
                found.append(f"{path.stem} is gone; recorded logs hold it, or somebody sends it")
                continue
            before = json.loads(path.read_text("utf-8"))
            found += [f"{path.stem}: {what}" for what in breaks(before, current[path.stem])]
    return found


def stale() -> list[str]:
    """Return the files that are not what the code says now, and those that it does not say any more."""
    current = dict(files())
    differing = [path for path, text in current.items() if not path.exists() or path.read_text("utf-8") != text]
    left_over = [path for path in SCHEMAS_ROOT.rglob("*") if path.is_file() and path not in current]
    return [str(path.relative_to(SCHEMAS_ROOT.parent)) for path in sorted([*differing, *left_over])]


def main() -> int:
    """Write the files, or with `--check` compare them; refuse to write what breaks recorded events."""
    broken = incompatible()
    for each in broken:
        print(f"schemas: {each}: make a new type with an upcaster instead")
    if broken:
        return 1
    if "--check" in sys.argv[1:]:
        found = stale()
        for each in found:
            print(f"{each} is not current: run python -m scripts.schemas")
        return 1 if found else 0
    for path, text in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
