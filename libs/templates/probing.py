"""Whether a chart passes every placeholder on to its manifests, whatever the placeholder's value will be.

To a template a placeholder is a text that is never empty. So the chart is rendered several times with stand-ins in its
place: what changes anywhere but at the place of the placeholder depends on a value that no template will ever see.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.contracts.names import pointer_of
from libs.templates.placeholders import MISSING, PlaceholderRejected, Reference, split_text
from libs.templates.reader import MANIFEST_LIMITS, read_manifests
from libs.templates.scalars import Unwritable, as_text
from libs.templates.yaml_nodes import YamlRejected

LITERALS_MAX = 24
PROBLEMS_MAX = 5
PLACEHOLDER = re.compile(r"(?<!\$)\$\{edge\.[^}]*\}")
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_COMPARES = re.compile(r"\b(?:eq|ne|lt|le|gt|ge|has|contains|hasPrefix|hasSuffix|regexMatch|ternary|index|get|dict)\b")
_LITERAL = re.compile(r'"([^"\\]{1,60})"|(?<![\w.$])(\d{1,6})(?![\w.])')
_DIGEST = re.compile(r"[0-9a-f]{8,128}")
_FALSY = ("", None, False, 0, "false", "0")

Path_ = tuple[str | int, ...]
Render = Callable[[Any], str | None]
"""Renders the chart with the given values; None where it refuses them."""


@dataclass(frozen=True, slots=True)
class PlaceholderUse:
    """One placeholder in the values: the path of its text, and the mark that stands for it while it is looked for."""

    path: Path_
    text: str
    mark: str

    @property
    def key(self) -> str:
        """The key as people write it: `image.tag`."""
        return ".".join(map(str, self.path))

    @property
    def default(self) -> Any:
        """What the placeholder has as its default, `MISSING` without one."""
        try:
            (only,) = split_text(self.text)
        except (PlaceholderRejected, ValueError):
            return MISSING
        return only.default if isinstance(only, Reference) else MISSING


@dataclass(slots=True)
class Findings:
    """What is refused, and what is only told."""

    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    blamed: set[PlaceholderUse] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two renderings differ; `at_place` if a placeholder stood there."""

    where: str
    at_place: bool


def places_of(values: Any) -> list[PlaceholderUse]:
    """Return the placeholders in the texts of a chart's values."""
    return [
        PlaceholderUse(path, text, f"${{edge.config.edgeprobe-{number}-end}}")
        for number, (path, text) in enumerate(_texts(values, ()))
    ]


def _texts(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, (*path, key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _texts(each, (*path, at))
    elif isinstance(value, str):
        for found in PLACEHOLDER.findall(value):
            yield path, found


def with_stand_ins(values: Any, of: Mapping[str, list[Any]], path: Path_ = ()) -> Any:
    """Return values with what stands at each text's path, in order, in place of its placeholders."""
    if isinstance(values, dict):
        return {key: with_stand_ins(each, of, (*path, key)) for key, each in values.items()}
    if isinstance(values, list):
        return [with_stand_ins(each, of, (*path, at)) for at, each in enumerate(values)]
    if not isinstance(values, str) or (stands := of.get(pointer_of(path))) is None:
        return values
    if PLACEHOLDER.fullmatch(values):
        return stands[0]
    rest = iter(stands)
    return PLACEHOLDER.sub(lambda _match: as_text(next(rest)), values)


def stand_ins(places: Sequence[PlaceholderUse], value: Callable[[PlaceholderUse], Any]) -> dict[str, list[Any]]:
    """Return what `with_stand_ins` takes: a value for each place."""
    found: dict[str, list[Any]] = {}
    for place in places:
        found.setdefault(pointer_of(place.path), []).append(value(place))
    return found


class Probe:
    """The search of one chart; `render` renders it with values in which something stands for each placeholder."""

    def __init__(self, chart: Path, values: Any, given: str, render: Render) -> None:
        """`given` is what the publisher gave as values: all of it must arrive; a default of the chart may be unused."""
        self._chart, self._values, self._given, self._render = chart, values, given, render
        self._places = places_of(values)
        self._marked = ""
        self._unsteady: set[str] | None = None

    def findings(self) -> Findings:
        """Return what is wrong with how the chart takes its placeholders."""
        found = Findings()
        marked = self._rendered(self._places, None)
        if marked is None or not self._places:
            return found
        self._marked = marked
        for place in self._places:
            if place.mark not in marked and place.text in self._given:
                found.blamed.add(place)
                found.problems.append(
                    f"{place.text} (values key {place.key}) does not arrive in the manifests{self._readers(place)}"
                )
        for stand_in in ("edgeprobe", "EdgeProbe", False, True, 0, 10, "", *self._literals()):
            among = [place for place in self._places if place not in found.blamed]
            if among and len(found.problems) < PROBLEMS_MAX:
                self._tried(among, stand_in, found)
        for place in self._places:
            if place.mark not in marked and place not in found.blamed:
                found.notices.append(
                    f"{place.text} (values key {place.key}) is in the chart's values and not in the manifests"
                )
        return found

    def _rendered(self, among: Sequence[PlaceholderUse], stand_in: Any) -> str | None:
        """Return the manifests with `stand_in` in place of `among`, and marks in place of the others."""
        some = set(among) if stand_in is not None else set()
        of = stand_ins(self._places, lambda place: stand_in if place in some else place.mark)
        return self._render(with_stand_ins(self._values, of))

    def _tried(self, among: Sequence[PlaceholderUse], stand_in: Any, found: Findings) -> None:
        """Note which of `among` the output depends on; halves them until it is one."""
        text = self._rendered(among, stand_in)
        differences = [] if text is None else self._differences(among, stand_in, text)
        if text is not None and not differences:
            return
        if len(among) > 1:
            middle, before = len(among) // 2, len(found.problems) + len(found.notices)
            self._tried(among[:middle], stand_in, found)
            self._tried(among[middle:], stand_in, found)
            if not differences or len(found.problems) + len(found.notices) > before:
                return
        self._told(among, stand_in, differences, found)

    def _told(
        self, among: Sequence[PlaceholderUse], stand_in: Any, differences: Sequence[Difference], found: Findings
    ) -> None:
        elsewhere = next((each for each in differences if not each.at_place), None)
        at_place = next((each for each in differences if each.at_place), None)
        named = ", ".join(f"{place.text} (values key {place.key})" for place in among)
        exact = isinstance(stand_in, str) and stand_in not in ("", "EdgeProbe")
        empty_default = any(place.default in _FALSY for place in among if place.default is not MISSING)
        readers = self._readers(among[0])
        if elsewhere or (at_place and (exact or (not stand_in and empty_default))):
            found.blamed.update(among)
            where = (elsewhere or at_place or differences[0]).where
            found.problems.append(
                f"{where} depends on the value of {named}, which is not known yet: to Helm a placeholder is a text "
                f"that is never empty{readers}"
            )
        elif at_place and (not stand_in or stand_in == "EdgeProbe"):
            why = (
                "the chart has something else for an empty value, and never sees one"
                if not stand_in
                else "the chart changes the letters of the value, and cannot do so for a placeholder"
            )
            notice = f"{named} at {at_place.where}: {why}{readers}"
            if notice not in found.notices:
                found.notices.append(notice)

    def _differences(self, among: Sequence[PlaceholderUse], stand_in: Any, text: str) -> list[Difference]:
        pattern = re.compile("|".join(re.escape(place.mark) for place in among))
        found = list(compared(self._marked, text, pattern, as_text(stand_in)))
        if found and self._unsteady is None:  # what a chart makes up anew each time says nothing
            again = self._rendered((), None) or self._marked
            self._unsteady = {each.where for each in compared(self._marked, again, re.compile(r"(?!)"), "")}
        return [each for each in found if each.where not in (self._unsteady or ())]

    def _literals(self) -> list[Any]:
        """Return the constants that templates may compare the placeholders' values with."""
        names = {str(place.path[-1]) for place in self._places} | {
            str(key) for place in self._places for key in place.path if isinstance(key, str)
        }
        found: dict[Any, None] = {}
        for _, text in self._templates():
            for action in _ACTION.findall(text):
                if not _COMPARES.search(action) or not any(name in action for name in names):
                    continue
                for word, number in _LITERAL.findall(action):
                    found[word or int(number)] = None
        known = ("", 0, 10, "edgeprobe")
        return [each for each in found if each not in known and "%" not in str(each)][:LITERALS_MAX]

    def _templates(self) -> Iterator[tuple[str, str]]:
        for file in sorted(self._chart.rglob("templates/**/*")):
            if file.is_file() and file.suffix in (".yaml", ".yml", ".tpl", ".txt", ".json"):
                yield str(file.relative_to(self._chart)), file.read_text(encoding="utf-8", errors="replace")

    def _readers(self, place: PlaceholderUse) -> str:
        """Return the template that reads a values key, with its line and what stands there."""
        keys = [str(key) for key in place.path if not isinstance(key, int)]
        for length in range(len(keys)):
            wanted = re.compile(rf"\.{re.escape('.'.join(keys[length:]))}\b")
            for name, text in self._templates():
                if found := next((each for each in _ACTION.finditer(text) if wanted.search(each[1])), None):
                    line = text.count("\n", 0, found.start()) + 1
                    return f": {name}, line {line}, reads it in {' '.join(found[0].split())[:160]}"
        return ": no template reads that key"


def compared(marked: str, text: str, marks: re.Pattern[str], stands: str) -> Iterator[Difference]:
    """Yield where `text` is not `marked` with `stands` in place of `marks`."""
    before, after = _documents(marked), _documents(text)
    expected = [marks.sub(lambda _match: stands, each) for each in before]
    same = Counter(expected) & Counter(after)
    left = _objects(_rest(before, expected, same))
    right = _objects(_rest(after, after, same))
    if left is None or right is None:
        return
    for name in dict.fromkeys((*left, *right)):
        if name not in right:
            yield Difference(name, at_place=_holds(left[name], marks))
        elif name not in left:
            yield Difference(name, at_place=False)
        else:
            for path, at_place in _differing(left[name], right[name], (), marks, stands):
                yield Difference(f"{name} {pointer_of(path)}", at_place)


def _documents(text: str) -> list[str]:
    return re.split(r"^---[ \t]*$", text, flags=re.MULTILINE)


def _rest(documents: Sequence[str], keys: Sequence[str], same: Mapping[str, int]) -> list[str]:
    left = Counter(same)
    rest = []
    for document, key in zip(documents, keys, strict=True):
        if left[key] > 0:
            left[key] -= 1
        else:
            rest.append(document)
    return rest


def _objects(documents: Sequence[str]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    try:
        for document in documents:
            for each in read_manifests(document, MANIFEST_LIMITS):
                metadata = each.get("metadata") if isinstance(each, dict) else None
                name = metadata.get("name") if isinstance(metadata, dict) else None
                kind = each.get("kind") if isinstance(each, dict) else "a document"
                found[f"{kind}/{name}"] = each
    except YamlRejected:
        return None
    return found


def _holds(value: Any, marks: re.Pattern[str]) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, marks) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_holds(each, marks) for each in value)
    return isinstance(value, str) and marks.search(value) is not None


def _differing(
    before: Any, after: Any, path: Path_, marks: re.Pattern[str], stands: str
) -> Iterator[tuple[Path_, bool]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            if key in after and key in before:
                yield from _differing(before[key], after[key], (*path, key), marks, stands)
            else:
                yield (*path, key), key in before and _holds(before[key], marks)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) == len(after):
            for at, (one, other) in enumerate(zip(before, after, strict=True)):
                yield from _differing(one, other, (*path, at), marks, stands)
        else:
            yield path, [each for each in before if not _holds(each, marks)] == after
    elif isinstance(before, str) and marks.search(before):
        if _text(after) != marks.sub(lambda _match: stands, before):
            yield path, _lines_stay(before, _text(after), marks)
    elif before != after and not _digests(before, after, path):
        yield path, False


def _text(value: Any) -> str:
    try:
        return "" if value is None else as_text(value)
    except Unwritable:
        return str(value)


def _lines_stay(before: str, after: str, marks: re.Pattern[str]) -> bool:
    """Tell whether all lines without a mark are still there, in order, and nothing new stands beside them."""
    kept = [line for line in before.splitlines() if not marks.search(line)]
    lines = after.splitlines()
    rest = iter(lines)
    new = len(lines) - len(kept)
    return all(line in rest for line in kept) and new <= len(before.splitlines()) - len(kept)


def _digests(before: Any, after: Any, path: Path_) -> bool:
    """Tell whether two texts are digests of something, such as `checksum/config`."""
    if path and isinstance(path[-1], str) and path[-1].startswith("checksum/"):
        return True
    return all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in (before, after))
