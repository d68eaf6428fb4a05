"""One bounded reader over libyaml's events: YAML text becomes nodes, or `YamlRejected` says where and why.

Nothing here is expanded before it was counted: bytes, depth, nodes (what an alias stands for counts every time it is
used), aliases and documents have limits, so that a bomb is refused as soon as it crosses one. Duplicate keys, tags
other than YAML's core ones and keys that are not scalars are refused. Merge keys (`<<`) are merged as Kubernetes'
readers do: what a mapping says itself wins, then the earlier of several sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

MERGE = "<<"
_CORE = "tag:yaml.org,2002:"
_TAGS: dict[str, str] = {
    f"{_CORE}{name}": name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")
}

_TYPE_TAGS = frozenset({"int", "float", "bool", "null", "merge"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one body may hold.

    `nodes_max` counts scalars, keys, lists and maps with every alias expanded; with every alias expanded the text is no
    longer than `bytes_max` either.
    """

    bytes_max: int = 4 * 1024 * 1024
    depth_max: int = 100
    nodes_max: int = 250_000
    aliases_max: int = 1_000
    documents_max: int = 20_000


class YamlRejected(ValueError):  # noqa: N818 - a refusal states the fact
    """The text cannot be read. `line` counts from 1, or is 0 where there is no place to point at."""

    def __init__(self, code: str, detail: str, line: int = 0) -> None:
        self.code = code
        self.detail = detail
        self.line = line
        super().__init__(f"line {line}: {detail}" if line else detail)


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text as it stands after quotes and escapes; `plain` if it had no quotes, so that it may read as another type."""

    text: str
    plain: bool
    tag: str
    line: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A YAML sequence."""

    items: list[YamlNode]
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """A YAML mapping in its source order; its keys are text as written and unique."""

    entries: dict[str, YamlNode]
    line: int


YamlNode = Scalar | Listing | Mapping


@dataclass(slots=True)
class _Anchor:
    """What `&name` stands for; `node` is None until it is complete, so that a cycle is seen."""

    node: YamlNode | None = None
    nodes: int = 0
    characters: int = 0
    height: int = 0


@dataclass(slots=True)
class _Frame:
    """A list or map that is still open."""

    node: Listing | Mapping
    anchor: _Anchor | None
    nodes_before: int
    characters_before: int
    height: int = 1
    key: str | None = None
    merges: list[YamlNode] = field(default_factory=list)


class _Composer:
    """Turns the events of one body into nodes, without recursion."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchor] = {}
        self._nodes = 0
        self._characters = 0
        self._aliases = 0
        self._root: YamlNode | None = None

    def document(self, events: Iterator[yaml.Event]) -> YamlNode | None:
        """Return the next document's root (None if it is empty), reading up to its end."""
        self._anchors, self._root = {}, None
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._close()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return self._root

    def _count(self, nodes: int, characters: int, line: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._characters > self._limits.bytes_max:
            raise YamlRejected("too-large", f"more than {self._limits.bytes_max:,} characters, aliases expanded", line)
        if self._nodes > self._limits.nodes_max:
            raise YamlRejected("too-many-nodes", f"more than {self._limits.nodes_max:,} values, aliases expanded", line)

    def _deepen(self, height: int, line: int) -> None:
        if len(self._stack) + height > self._limits.depth_max:
            raise YamlRejected("too-deep", f"nested more than {self._limits.depth_max} levels deep", line)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = _line(event)
        self._count(1, len(event.value), line)
        tag = _tag_of(event.tag, line)
        if tag == "merge" and not self._merges(event.value):
            raise YamlRejected("tag-refused", f"the tag !!merge belongs to the key {MERGE} alone", line)
        plain = tag in _TYPE_TAGS or (event.style in (None, "") and tag != "str" and event.tag != "!")
        node = Scalar(event.value, plain, "" if tag == "merge" else tag, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(node, 1, len(event.value), 0)
        self._add(node, 0, line)

    def _merges(self, text: str) -> bool:
        """Whether a scalar that is read now is the key that merges."""
        frame = self._stack[-1] if self._stack else None
        return text == MERGE and frame is not None and isinstance(frame.node, Mapping) and frame.key is None

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        line = _line(event)
        self._deepen(1, line)
        is_map = isinstance(event, yaml.MappingStartEvent)
        if _tag_of(event.tag, line) not in ("", "map" if is_map else "seq"):
            raise YamlRejected("tag-refused", f"the tag {event.tag} does not fit here", line)
        anchor = None
        if event.anchor is not None:
            anchor = self._anchors[event.anchor] = _Anchor()
        node: Listing | Mapping = Mapping({}, line) if is_map else Listing([], line)
        self._stack.append(_Frame(node, anchor, self._nodes, self._characters))
        self._count(1, 0, line)

    def _close(self) -> None:
        frame = self._stack.pop()
        for source in frame.merges:
            _merge(frame.node, source)
        if frame.anchor is not None:
            frame.anchor.node = frame.node
            frame.anchor.nodes = self._nodes - frame.nodes_before
            frame.anchor.characters = self._characters - frame.characters_before
            frame.anchor.height = frame.height
        self._add(frame.node, frame.height, frame.node.line)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line = _line(event)
        self._aliases += 1
        if self._aliases > self._limits.aliases_max:
            raise YamlRejected("too-many-aliases", f"more than {self._limits.aliases_max:,} aliases", line)
        anchor = self._anchors.get(event.anchor or "")
        if anchor is None:
            raise YamlRejected("unknown-alias", f"*{event.anchor} names no anchor of this document", line)
        if anchor.node is None:
            raise YamlRejected("recursive-alias", f"*{event.anchor} contains itself", line)
        self._count(anchor.nodes, anchor.characters, line)
        self._deepen(anchor.height, line)
        self._add(anchor.node, anchor.height, line)

    def _add(self, node: YamlNode, height: int, line: int) -> None:
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if isinstance(frame.node, Listing):
            frame.node.items.append(node)
        elif frame.key is None:
            self._key(frame, frame.node, node, line)
            return
        else:
            if frame.key == MERGE:
                frame.merges.extend(_merge_sources(node, line))
            else:
                frame.node.entries[frame.key] = node
            frame.key = None
        frame.height = max(frame.height, height + 1)

    def _key(self, frame: _Frame, mapping: Mapping, node: YamlNode, line: int) -> None:
        if not isinstance(node, Scalar):
            raise YamlRejected("key-not-text", "a key is text, not a list or a map", line)
        if node.text == MERGE and not node.plain:
            raise YamlRejected("key-refused", "the key << reads as a merge to some tools, even in quotes", line)
        if node.plain and not node.text:
            raise YamlRejected("key-not-text", "a key is empty", line)
        if node.text in mapping.entries or (node.text == MERGE and frame.merges):
            raise YamlRejected("duplicate-key", f"the key {_shown(node.text)} stands here twice", line)
        frame.key = node.text


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def _merge_sources(node: YamlNode, line: int) -> list[YamlNode]:
    sources: list[YamlNode] = node.items if isinstance(node, Listing) else [node]
    if not sources or not all(isinstance(source, Mapping) for source in sources):
        raise YamlRejected("merge-refused", "<< merges a map or a list of maps", line)
    return sources


def _merge(target: Listing | Mapping, source: YamlNode) -> None:
    if isinstance(target, Mapping) and isinstance(source, Mapping):
        for key, value in source.entries.items():
            target.entries.setdefault(key, value)


def _tag_of(tag: str | None, line: int) -> Literal["", "str", "int", "float", "bool", "null", "map", "seq", "merge"]:
    if tag is None or tag == "!":
        return ""
    known = _TAGS.get(tag)
    if known is None:
        raise YamlRejected("tag-refused", f"the tag {_shown(tag)} is refused", line)
    return known  # type: ignore[return-value]  # the values of _TAGS are tags


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def decode_text(data: bytes | str, limits: Limits) -> str:
    """Return `data` as text without a byte order mark; its size is checked before anything else is done."""
    if len(data) > limits.bytes_max:
        raise YamlRejected("too-large", f"{len(data):,} bytes; at most {limits.bytes_max:,} are accepted")
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlRejected("not-utf-8", "the text is not UTF-8", line) from None


def parse_nodes(data: bytes | str, limits: Limits) -> list[YamlNode]:
    """Return the documents in `data` as nodes, empty ones left out. Raises `YamlRejected`."""
    text = decode_text(data, limits)
    composer = _Composer(limits)
    roots: list[YamlNode] = []
    documents = 0
    try:
        events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > limits.documents_max:
                    line = _line(event)
                    raise YamlRejected("too-many-documents", f"more than {limits.documents_max:,} documents", line)
                root = composer.document(events)
                if root is not None and not (isinstance(root, Scalar) and root.plain and root.text in ("", "null")):
                    roots.append(root)
    except yaml.YAMLError as error:
        raise _syntax(error, text) from None
    except UnicodeEncodeError:
        raise YamlRejected("not-utf-8", "the text holds half of a surrogate pair") from None
    return roots


def _syntax(error: yaml.YAMLError, text: str) -> YamlRejected:
    """Return libyaml's complaint; braces of an unquoted placeholder in `{…}` or `[…]` are its usual cause here."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        detail = ", ".join(part for part in (error.context, error.problem) if part)
        lines = text.splitlines()[max(0, line - 2) : line]
        if any("${edge." in source for source in lines):
            detail += "; put quotes around the placeholder"
        too_deep = "maximum nesting depth" in detail  # libyaml counts open brackets before it reports any of them
        return YamlRejected("too-deep" if too_deep else "syntax", detail, line)
    if isinstance(error, yaml.reader.ReaderError):
        return YamlRejected("syntax", f"{error.reason} (at character {error.position})")
    return YamlRejected("syntax", str(error))
