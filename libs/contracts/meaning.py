"""The meaning of an event type, beside its definition: its sentence, what it mentions, and what it reaches.

A sentence is either a format over the event's own fields (`declared store {name}`) or a function of the event; it says
what the actor did, in the past tense. What an event reaches decides which rights it needs (`libs/access`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pyroaring import BitMap

Subject = tuple[str, str]
"""What an event is about: kind and name, such as ("store", "tx-austin-0042") or ("group", "/geo/us")."""

Sentence = str | Callable[[Any], str]
Mentions = Mapping[str, str] | Callable[[Any], Iterable[Subject]]
"""Kind → the field that holds one name or a list of names of that kind, or a function that returns the subjects."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The kind of thing that an event changes.

    `loosens`: such a change can open a gate. `unsigns`: it can remove a sign-off. `of_catalog`: the right that it needs
    depends on applications, configurations and release choices.
    """

    kind: str
    loosens: bool = False
    unsigns: bool = False
    of_catalog: bool = False


FLEET = Reach("fleet")
"""The clusters that the event affects are unknown, so it needs the right for the whole fleet."""
NOTHING = Reach("nothing")
"""It affects no cluster by itself, or its own decider checks on which clusters the author has the right."""
STORE = Reach("store", loosens=True)
"""The store `name`: its clusters."""
GROUP = Reach("group", loosens=True)
"""The group `path`: the clusters that become members, or stop being members."""
NAMESPACE = Reach("namespace", loosens=True, unsigns=True)
"""The namespace `name`: the clusters that it selects before and after."""
APPLICATION = Reach("application", unsigns=True, of_catalog=True)
"""The application `name`: the clusters on which it is placed before and after."""
CONFIGURATION = Reach("configuration", of_catalog=True)
"""The configuration `name`: the clusters that it selects before and after."""
CHOICES = Reach("choices", of_catalog=True)
"""The release choices of `application`: the clusters that get another release."""
RELEASE = Reach("release", of_catalog=True)
"""The release `version` of `application`, which is on no cluster until it is chosen."""
CALENDAR = Reach("calendar", loosens=True)
"""The calendar `name`: the clusters that it applies to before and after."""
FREEZE = Reach("freeze", loosens=True)
"""The freeze `name`: the clusters that it applies to before and after."""
LAW = Reach("law", loosens=True)
"""The placement policy `name`: the clusters that it applies to before and after."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of an event type; one that is not `folded` changes nothing in the fleet (`libs/fleet`)."""

    sentence: Sentence
    reaches: Reach
    mentions: Mentions
    folded: bool = True

    def said(self, event: Any) -> str:
        """Return an event as a sentence without its actor."""
        if callable(self.sentence):
            return self.sentence(event)
        return self.sentence.format_map({each.name: getattr(event, each.name) for each in fields(event)})

    def mentioned(self, event: Any) -> list[Subject]:
        """Return the things that an event mentions besides its subject, in order."""
        if callable(self.mentions):
            return list(self.mentions(event))
        found: list[Subject] = []
        for kind, name in self.mentions.items():
            named = getattr(event, name) or ()
            found += [(kind, each) for each in ([named] if isinstance(named, str) else named)]
        return found


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 cluster`, `60,000 clusters`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def members(*bitmaps: bytes) -> int:
    """Return how many ordinals serialized bitmaps hold together; no bytes hold none."""
    return len(BitMap.union(BitMap(), *(BitMap.deserialize(each) for each in bitmaps if each)))


def applications_of(placements: Iterable[str]) -> list[Subject]:
    """Return the applications of placements (`<namespace>/<application>`), in the order of the placements."""
    return [("application", each.rpartition("/")[2]) for each in sorted(placements)]
