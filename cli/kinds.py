"""The kinds that the command knows: the cached ones of its server, otherwise those of its own version.

The one rule: no kind is listed here. An unknown word is looked up once in what the server publishes now; the result is
cached for the next run, for its help and for completion.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.config import write_private
from cli.errors import CliError, TimedOut, Unreachable, UsageProblem, nearest_words
from libs.kinds import KINDS, Kind, understood

if TYPE_CHECKING:
    from pathlib import Path

KINDS_ROUTE = "/v1/kinds"
_BYTES_MAX = 4 << 20
Published = tuple[Sequence[Kind], str]
"""The kinds that a server publishes, and their version."""


class Kinds:
    """Some kinds, by their words and by the `kind` of their documents; `ask` returns what the server publishes now."""

    def __init__(self, kinds: Sequence[Kind] = KINDS, ask: Callable[[], Sequence[Kind]] | None = None) -> None:
        self._ask = ask
        self._why = ""
        self._take(kinds)

    def _take(self, kinds: Sequence[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._by_word = {word: kind for kind in kinds for word in kind.words}
        self.by_document: Mapping[str, Kind] = {kind.document: kind for kind in kinds if kind.document}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def ask_again(self) -> None:
        """Load the kinds that the server publishes now; asks at most once."""
        if self._ask is None:
            return
        ask, self._ask = self._ask, None
        try:
            self._take(ask())
        except (TimedOut, Unreachable) as error:
            self._why = f"{error.what}, so it could not be asked which kinds it has"
        except CliError:
            return  # it publishes none, or we may not read them

    def of_document(self, name: object) -> Kind | None:
        """Return the kind whose documents have this `kind`."""
        if not isinstance(name, str):
            return None
        if name not in self.by_document:
            self.ask_again()
        return self.by_document.get(name)

    def of_word(self, word: str) -> Kind | None:
        """Return the kind that a word on the command line means."""
        if word.lower() not in self._by_word:
            self.ask_again()
        return self._by_word.get(word.lower())

    def told(self, *, deletable: bool = False) -> str:
        """Return the words for the kinds that a command takes, for its help and its errors."""
        return ", ".join(kind.plural for kind in self._kinds if not deletable or kind.deletable)

    def named(self, word: str, *, deletable: bool = False) -> Kind:
        """Return the kind that a word on the command line means; `deletable` allows only what can be deleted.

        Raises:
            UsageProblem: no kind has this name; it names the nearest.
        """
        kind = self.of_word(word)
        if kind is None:
            known = (each for each, kind in self._by_word.items() if kind.deletable or not deletable)
            fix = f"use one of {self.told(deletable=deletable)}"
            raise UsageProblem(f"no kind {word!r}", why=self._why, fix=fix, nearest=nearest_words(word, known))
        if deletable and not kind.deletable:
            raise UsageProblem(f"{kind.plural} cannot be deleted", fix=f"use one of {self.told(deletable=True)}")
        return kind

    def things(self, words: list[str], *, deletable: bool = False) -> tuple[Kind, list[str]]:
        """Read `KIND [NAME…]` or `KIND/NAME…`: the kind, and the names without a group's leading slash.

        Raises:
            UsageProblem: the kind is unknown, or names of several kinds are mixed.
        """
        first, *rest = words
        if "/" not in first:
            kind = self.named(first, deletable=deletable)
            names = [name.removeprefix(f"{kind.singular}/") for name in rest]
        else:
            kind = self.named(first.partition("/")[0], deletable=deletable)
            pairs = [word.partition("/") for word in words]
            if any(self.named(word, deletable=deletable) is not kind for word, _, _ in pairs):
                raise UsageProblem("names of several kinds in one command", fix="give one kind at a time")
            names = [name for _, _, name in pairs]
        return kind, [name.strip("/") if kind.is_path else name for name in names]

    def unknown_document(self, name: str) -> tuple[str, str, list[str]]:
        """Return why a document's kind may be unknown, the kinds that there are, and those with a similar name."""
        return self._why, f"kinds are {', '.join(self.by_document)}", nearest_words(name, self.by_document)


def cache_of(folder: Path, server: str) -> Path:
    """Return the file that keeps what a server publishes."""
    return folder / f"kinds-{hashlib.sha256(server.encode()).hexdigest()[:16]}.json"


def kept_kinds(cache: Path) -> Published | None:
    """Return what the server published last; None where that is not known."""
    try:
        with cache.open("rb") as file:
            return read_kinds(json.loads(file.read(_BYTES_MAX)))
    except (OSError, ValueError):
        return None


def read_kinds(body: Any) -> Published:
    """Return the kinds of an answer.

    Raises:
        ValueError: it is not an answer of this route.
    """
    try:
        return [understood(each) for each in body["items"]], str(body["version"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a list of kinds") from error


def keep(cache: Path, body: Any) -> None:
    """Keep what a server published."""
    try:
        write_private(cache, json.dumps(body).encode())
    except OSError:
        return  # a read-only home must not fail a command
