"""What `.importlinter` cannot say of imports: no file, through whichever others, imports itself."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import grimp


def _circle(imports: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _imports() -> Iterator[tuple[str, set[str]]]:
    graph = grimp.build_graph("cli", "services", "libs")
    for module in graph.modules:
        yield module, set(graph.find_modules_directly_imported_by(module))


def test_a_circle_is_seen() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_no_file_imports_itself_through_others() -> None:
    imports = dict(_imports())
    assert len(imports) > 400
    assert _circle(imports) == []
