"""Finds public names that two modules define: `python -m scripts.names --check`.

A public name is a function, a class or a constant at the top of a module of `libs`, `services`, `cli` or `scripts`
that does not begin with an underscore. A reader who meets it in an import or in a search must know which one it is:
one thing stands once and is imported, two things have two names, and what only its own module uses begins with an
underscore.

Some names need no reason, because of what they are:

- what the layout gives each module of a kind (`LAYOUT`): `decide` of an aggregate, `main`, the Typer `app` of a verb;
- a function under a decorator that registers it (`@app.command()`), which nobody calls: its name is the command's;
- a type variable, whose name says nothing;
- a name that a module only passes on: an import, `__all__`, or `name = other.name`.

`ALLOWED` gives the others that stand twice, with the reason. A reason that excuses nothing any more fails too.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

_ROOT = Path(__file__).parents[1]
TREES = ("libs", "services", "cli", "scripts")
AGGREGATE = ("services/*/domain.py", "services/*/domain/*.py")
LAYOUT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("Command", "Event", "State", "decide", "evolve", "warnings"), AGGREGATE),
    "PARTS": ("libs/fleet/parts.py", "services/rendering/*/*.py"),
    "READ": ("services/*.py",),
    "app": ("cli/verbs/*.py",),
    "build": ("services/*/app.py",),
    "log": ("*.py",),
    "main": ("*.py",),
    "metadata": ("*.py",),
    "router": ("*.py",),
}
"""Names that a module of some place has by its place: what guards an append, the tables of a database, a logger."""
ALLOWED: Mapping[str, str] = {
    **dict.fromkeys(
        ("STORE", "GROUP", "NAMESPACE", "APPLICATION", "CONFIGURATION", "CHOICES", "CALENDAR", "FREEZE"),
        "libs.contracts.meaning has what an event of the kind reaches, the kind's service has how it is declared",
    ),
    "ReleasePublished": "the event of our log, and what a build outside sends to the inbox: both names are published",
}
"""Names that more than one module defines, each with the reason; joining or renaming comes first."""


def is_passed_on(name: str, value: ast.expr | None) -> bool:
    """Tell whether a value is the same name of another module, or a type variable."""
    match value:
        case ast.Attribute(attr=attr):
            return attr == name
        case ast.Call(func=ast.Name(id=maker)):
            return maker in {"TypeVar", "ParamSpec", "TypeVarTuple"}
        case _:
            return False


def is_registered(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a decorator such as `@app.command()` hands the function to a framework."""
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in {"command", "callback"}
        for each in function.decorator_list
    )


def _names_of(body: list[ast.stmt]) -> Iterator[str]:  # noqa: C901 - one case for each statement that defines a name
    """Yield the names that statements at the top of a module define, those within `if` and `try` among them."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not is_registered(node):
                    yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets, value=value):
                for each in (part for target in targets for part in ast.walk(target)):
                    if isinstance(each, ast.Name) and not is_passed_on(each.id, value):
                        yield each.id
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                if not is_passed_on(name, value):
                    yield name
            case ast.If() | ast.Try() | ast.With():
                parts = (node, *getattr(node, "handlers", ()))
                yield from _names_of([each for part in parts for each in part.body + getattr(part, "orelse", [])])
            case _:
                pass


def given_by_layout(name: str, module: str) -> bool:
    """Tell whether the module has the name by its place."""
    return any(fnmatchcase(module, pattern) for pattern in LAYOUT.get(name, ()))


def defined_twice(root: Path = _ROOT) -> dict[str, list[str]]:
    """Return the public names that more than one module defines, each with the modules."""
    modules: defaultdict[str, list[str]] = defaultdict(list)
    for tree in TREES:
        for path in sorted((root / tree).rglob("*.py")):
            module = path.relative_to(root).as_posix()
            for name in dict.fromkeys(_names_of(ast.parse(path.read_text("utf-8")).body)):
                if not name.startswith("_") and not given_by_layout(name, module):
                    modules[name].append(module)
    return {name: found for name, found in sorted(modules.items()) if len(found) > 1}


def problems(root: Path = _ROOT, allowed: Mapping[str, str] = ALLOWED) -> list[str]:
    """Return what is wrong, one line each."""
    twice = defined_twice(root)
    without = [name for name in twice if name not in allowed]
    return [
        *(
            f"{name} is defined in {', '.join(twice[name])}: join them, or give each a name of its own"
            for name in without
        ),
        *(f"{name} is defined once: take it out of ALLOWED" for name in sorted(set(allowed) - set(twice))),
    ]


def main() -> int:
    """Print what is wrong; return 1 with `--check` if anything is."""
    found = problems()
    for line in found:
        print(line)
    return 1 if found and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
