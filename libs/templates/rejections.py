"""Why a release cannot be published, as a problem document shows it."""

from __future__ import annotations


class PublishRejected(ValueError):  # noqa: N818 - a refusal states the fact
    """The release is refused as a whole.

    `object` is `Kind/namespace/name` as far as they are known, `pointer` an RFC 6901 pointer into that object, `fix`
    what the publisher can do.
    """

    def __init__(self, code: str, title: str, detail: str, object_: str = "", pointer: str = "", fix: str = "") -> None:
        self.code = code
        self.title = title
        self.detail = detail
        self.object = object_
        self.pointer = pointer
        self.fix = fix
        place = " ".join(part for part in (object_, pointer) if part)
        super().__init__(f"{place + ': ' if place else ''}{title}: {detail}{' ' + fix if fix else ''}")
