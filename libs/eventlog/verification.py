"""Verifies the log: chain, index columns, blobs, heads.

Everything is recomputed from the stored bytes, a page at a time, in constant memory; the first problem ends the check,
since everything after it depends on it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import exc

from libs.contracts import category_of
from libs.eventlog.envelope import chain, decode_envelope, to_microseconds
from libs.eventlog.model import GENESIS, ChainProblem, Head, Verification
from libs.eventlog.reader import LogReader


def verify_chain(reader: LogReader, after: int, until: int | None) -> Verification:
    """Check the events in (after, until]; without `until`, to the head and the head itself.

    Positions past the head, gaps in streams and category heads are checked when the whole log is.
    """
    end = reader.query("SELECT MAX(position) FROM events")[0][0] or 0
    head = reader.head()
    last = head.position if until is None else min(until, head.position)
    run = _Run(reader, after)
    try:
        problem = run.check(last)
        if problem is None and until is None:
            problem = _head_problem(run, head, end) or (_whole_problem(reader, run) if after == 0 else None)
    except exc.DatabaseError as error:
        problem = ChainProblem(run.position + 1, f"the database cannot read it: {error.orig}")
    return Verification(problem is None, run.position - after, run.position, problem)


class _Run:
    """A walk along the chain; its state does not grow with the log."""

    def __init__(self, reader: LogReader, after: int) -> None:
        self._reader = reader
        self.position = after
        self.epoch = ""
        self.hash = GENESIS
        self.recorded_at = 0
        self.categories: dict[str, int] = {}

    def check(self, last: int) -> ChainProblem | None:
        """Walk to `last`, and return the first problem."""
        try:
            self.hash = self._reader.hash_at(self.position)
        except LookupError:
            return ChainProblem(self.position, "the event to start from is missing")
        for row in self._reader.rows(self.position, last):
            what = self._row_problem(row)
            if what is not None:
                return ChainProblem(self.position + 1, what)
            self.position += 1
        if self.position < last:
            return ChainProblem(self.position + 1, "the event is missing")
        return None

    def _row_problem(self, row: Any) -> str | None:
        position, stream, version, type_, category, recorded_at, envelope, data, hash_ = row
        if position != self.position + 1:
            return "the event is missing"
        if chain(self.hash, envelope, data) != hash_:
            return "the chain hash does not follow from the previous hash, the envelope and the data"
        try:
            said = decode_envelope(envelope)
        except msgspec.MsgspecError as error:
            return f"the envelope cannot be read: {error}"
        indexed = (position, stream, version, type_, recorded_at, category)
        told = (said.position, said.stream, said.version, said.type, to_microseconds(said.time))
        if indexed != (*told, category_of(said.stream)):
            return "the index columns differ from the envelope"
        if recorded_at < self.recorded_at:
            return "the recorded time goes back"
        self.epoch, self.hash, self.recorded_at = said.epoch, bytes(hash_), recorded_at
        self.categories[category] = position
        return next((what for digest in said.blobs if (what := self._blob_problem(digest)) is not None), None)

    def _blob_problem(self, digest: str) -> str | None:
        try:
            data = self._reader.stored_blob(digest)
        except LookupError:
            return f"blob {digest} is missing"
        return None if hashlib.sha256(data).hexdigest() == digest else f"blob {digest} has other bytes than its name"


def _head_problem(run: _Run, head: Head, end: int) -> ChainProblem | None:
    if end > head.position:
        return ChainProblem(head.position + 1, "there are events past the head")
    if head.hash != run.hash:
        return ChainProblem(head.position, "the head's hash is not that of the last event")
    if run.epoch and (head.epoch, to_microseconds(head.recorded_at)) != (run.epoch, run.recorded_at):
        return ChainProblem(head.position, "the head's epoch or time is not that of the last event")
    return None


def _whole_problem(reader: LogReader, run: _Run) -> ChainProblem | None:
    rows = reader.query("SELECT stream FROM events GROUP BY stream HAVING COUNT(*) <> MAX(version)")
    if rows:
        return ChainProblem(run.position, f"the versions of stream {rows[0][0]!r} have a gap or a duplicate")
    heads = reader.category_heads()
    # The log may have moved on meanwhile, but no category is ahead of the events that are there.
    end = reader.query("SELECT MAX(position) FROM events")[0][0] or 0
    ahead = [category for category, position in heads.items() if position > end]
    if ahead:
        return ChainProblem(
            end + 1, f"category {ahead[0]!r} had an event at position {heads[ahead[0]]} that is missing"
        )
    for category, position in run.categories.items():
        if not (heads.get(category) == position or heads.get(category, 0) > run.position):
            return ChainProblem(position, f"the head position of category {category!r} is wrong")
    for category, position in heads.items():
        if position <= run.position and run.categories.get(category) != position:
            return ChainProblem(position, f"the head position of category {category!r} is wrong")
    return None
