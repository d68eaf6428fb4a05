"""A release is one immutable version of an application: manifests, the schema of its values, their defaults.

The one rule: the meaning of a version never changes. Publishing the same content again adds nothing; other content
needs another version, also after the application was removed and declared again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.contracts import ReleasePublished
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid, Rejected
from libs.fleet.checks import unknown
from libs.fleet.law import check_law, law_warnings
from services.catalog.domain.lawful import NARROW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

VERSION_CHARACTERS_MAX = 63
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

State = Absent | ReleasePublished
Event = ReleasePublished


class ReleaseDiffers(Rejected):
    """This version was published before, with other content."""

    code = "release-differs"


class NamespaceChanged(Rejected):
    """The application's namespace was changed while its release was compiled."""

    code = "namespace-changed"


@dataclass(frozen=True, slots=True)
class PublishRelease:
    """Publish a version that was compiled for its namespace with its `allow`; digests are hex SHA-256 of the bodies."""

    release: ReleasePublished
    allow: tuple[str, ...]
    actor: str
    at: datetime


Command = PublishRelease


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the release is published already.

    Raises:
        Invalid, UnknownReference, NamespaceChanged, ReleaseDiffers, LawLeavesNothing, LawForbids: why not.
    """
    asked = command.release
    check_release_version(asked.version)
    application = facts.applications.get(asked.application)
    if application is None:
        raise unknown("application", asked.application, None, facts.applications)
    if isinstance(state, ReleasePublished):
        if state.digest == asked.digest and state.namespace == asked.namespace == application.namespace:
            return []
        raise ReleaseDiffers(
            f"{asked.application} {asked.version} is {state.digest[:12]}, this upload is {asked.digest[:12]}"
            + ("" if state.namespace == asked.namespace else f"; it was compiled for the namespace {state.namespace}"),
            fix="publish it under another version: a release never changes",
            published=state.digest,
            uploaded=asked.digest,
        )
    if asked.namespace != application.namespace or command.allow != tuple(
        facts.namespaces[application.namespace].allow
    ):
        raise NamespaceChanged(
            f"{asked.application} was compiled for the namespace {asked.namespace} as it was before",
            fix="publish it again",
        )
    placed = facts.placed(asked.application)
    check_law(facts, asked.application, placed, placed, command.at, pointer=None, fix=NARROW)
    return [asked]


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return how many placements of the application law removes."""
    application = command.release.application
    return law_warnings(facts, [(application, facts.placed(application))], command.at)


def _version_fix(version: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", version).strip("._-")
    why = "a version is part of paths and labels, so it must not contain a slash; " if "/" in version else ""
    return f"{why}use a version such as {plain if _VERSION.fullmatch(plain) else '1.4.0 or 2026-11-24.3'}"


def check_release_version(version: str) -> None:
    """Refuse text that is not a version: a version is a Kubernetes label value, an OCI tag and a file name.

    Raises:
        Invalid: with what a version looks like.
    """
    if not _VERSION.fullmatch(version):
        raise Invalid(
            f"{version[:80]!r} is not a version: letters, digits and inner '.', '_' and '-', at most "
            f"{VERSION_CHARACTERS_MAX}",
            fix=_version_fix(version),
        )
