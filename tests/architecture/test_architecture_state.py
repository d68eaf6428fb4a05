"""What an object consists of, and what an event says, is seen where it is made: nothing first appears elsewhere."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from libs.contracts import event_types
from services.rendering.model import Model
from services.rendering.model.model import PARTS

ROOT = Path(__file__).parents[2]
SHIPPED = [path for top in ("services", "libs") for path in sorted((ROOT / top).rglob("*.py"))]
FIELDS_MAX = 3
"""An event with more fields is built by keyword: an additive change must not shift what a place means."""
MAKERS = ("__new__", "__init__", "__post_init__")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- events ----------------------------------------------------------------------------------------------------------

SIZES = {each.__name__: len(fields(each)) for each in event_types().values()}


def by_place(text: str) -> list[str]:
    """Return the large events that a module builds by place, each with its line."""
    found, tree = [], ast.parse(text)
    other_names = {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = other_names.get(called, called)
            if SIZES.get(name, 0) > FIELDS_MAX:
                found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_an_event_with_many_fields_is_built_by_keyword(path: Path) -> None:
    assert by_place(path.read_text("utf-8")) == []


def test_an_event_that_is_built_by_place_is_seen() -> None:
    assert by_place("x = AdmissionWritten('main', 'd', commit='c')") == ["line 1: AdmissionWritten"]
    assert by_place("x = events.AdmissionWritten('main')") == ["line 1: AdmissionWritten"]
    assert by_place("from x import AdmissionWritten as W\nx = W('main')") == ["line 2: AdmissionWritten"]
    assert by_place("x = AdmissionWritten(*said)") == ["line 1: AdmissionWritten"]
    assert by_place("x = AdmissionWritten(branch='main')") == []
    assert by_place("x = ConfirmationAccepted('main', 'plan')") == []


# --- attributes ------------------------------------------------------------------------------------------------------


def assigned(function: Function) -> set[str]:
    """Return the attributes of its first argument that a method assigns."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    if not arguments:
        return set()
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == arguments[0].arg
    }


def methods(tree: ast.ClassDef) -> Iterator[Function]:
    return (each for each in tree.body if isinstance(each, Function))


def begun(kind: type) -> set[str]:
    """Return the attributes that a class, or one that it extends, gives a new object."""
    found: set[str] = set()
    for base in kind.__mro__:
        found |= {each.name for each in fields(base)} if is_dataclass(base) else set()
        found |= {name for name, each in vars(base).items() if isinstance(each, property) and each.fset}
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError, IndentationError):
            continue  # it is written in C
        if not isinstance(tree, ast.ClassDef):
            continue
        for method in methods(tree):
            if method.name in MAKERS:
                found |= assigned(method)
                if any(isinstance(node, ast.Name) and node.id == "begin_parts" for node in ast.walk(method)):
                    found |= set(vars(importlib.import_module(base.__module__))["PARTS"])
        if vars(base).get("__slots__") == tuple(vars(importlib.import_module(base.__module__)).get("_PARTS", ())):
            found |= set(vars(base)["__slots__"])  # a table says how each begins
    return found


def late(kind: type, tree: ast.ClassDef) -> list[str]:
    """Return the attributes of a class that first appear outside of its beginning."""
    known = begun(kind)
    elsewhere = {
        (method.name, name)
        for method in methods(tree)
        if method.name not in MAKERS
        and not any(isinstance(each, ast.Name) and each.id == "classmethod" for each in method.decorator_list)
        for name in assigned(method)
    }
    return sorted(f"{tree.name}.{method}: {name}" for method, name in elsewhere if name not in known)


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_every_attribute_is_set_where_an_object_begins(path: Path) -> None:
    trees = [each for each in ast.parse(path.read_text("utf-8")).body if isinstance(each, ast.ClassDef)]
    if not trees or path.name == "__main__.py":
        return
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    assert [each for tree in trees for each in late(vars(module)[tree.name], tree)] == []


class Late:
    """Its second attribute has a default of its class, its third comes from nowhere."""

    second = 0

    def __init__(self) -> None:
        self.first = 0

    def later(self) -> None:
        self.first, self.second = 1, 1
        self.third = 1


class Extended(Late):
    def more(self) -> None:
        self.first = 2


def test_an_attribute_that_comes_later_is_seen() -> None:
    trees = {
        each.name: each for each in ast.parse(Path(__file__).read_text("utf-8")).body if isinstance(each, ast.ClassDef)
    }
    assert late(Late, trees["Late"]) == ["Late.later: second", "Late.later: third"]
    assert late(Extended, trees["Extended"]) == []


def test_the_declared_parts_of_a_model_count_as_set() -> None:
    assert set(PARTS) < begun(Model)
    assert "undeclared" not in begun(Model)
