"""Who may import whom (DESIGN §5): lower layers never look up, services never look at each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    ("libs.contracts",),
    ("libs.eventlog", "libs.selection", "libs.templates", "libs.gittree"),
    ("libs.bus",),
    ("libs.fleet",),
    ("libs.web",),
    ("libs.runtime",),
    ("services",),
    ("cli",),
)
IMPURE = {
    *("sqlalchemy", "aiosqlite", "asyncpg", "pg8000", "pyodbc", "aiokafka", "faststream", "grpc", "cryptography"),
    *("fastapi", "starlette", "uvicorn", "httpx2", "subprocess", "socket", "secrets"),
}


def modules() -> list[Path]:
    return [path for top in ("libs", "services", "cli") for path in sorted((ROOT / top).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def package(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in {"libs", "services"} else parts[0]


def layer(name: str) -> int | None:
    for number, names in enumerate(LAYERS):
        if name in names or name.partition(".")[0] in names:
            return number
    return None


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_a_higher_layer_or_a_sibling(path: Path) -> None:
    here = package(".".join(path.relative_to(ROOT).with_suffix("").parts))
    mine = layer(here)
    for module in imported(path):
        there = package(module)
        other = layer(there)
        if mine is None or other is None or there == here:
            continue
        assert other < mine, f"{here} imports {there}"


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if path.parts[-2] == "domain" or path.name in {"domain.py", "events.py"}],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_domains_do_no_io(path: Path) -> None:
    assert not {module.partition(".")[0] for module in imported(path)} & IMPURE
    assert not [module for module in imported(path) if module.startswith(("libs.web", "libs.runtime", "libs.bus"))]
