"""Rows of a bulk import (CSV or JSON lines), read into stores; one bad row and none is taken.

The one rule: a row says time zone, hours, labels and the capacity of the cluster of the store's name; what it has no
column for stays as it was. Rows are counted as a spreadsheet does: the header of a CSV file is row 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from libs.contracts import Labels
from libs.contracts.names import NAME, escape, label_problem, nearest
from libs.contracts.quantities import milli
from libs.contracts.refusals import Invalid
from libs.web.bodies import parse_json
from libs.web.problems import Problem
from libs.web.schema import validated
from services.inventory.documents import check_zone, zones
from services.inventory.documents.hours import HoursItem, StoreHours, check_items, hours_from_text
from services.inventory.events import ClusterSpec, StoreDeclared

ERRORS_MAX = 1000
ROWS_MAX = 200_000
LABELS_KEPT_MAX = 50_000
RESOURCES = ("cpu", "memory")
OWN_COLUMNS = ("name", "timezone", "hours", *RESOURCES)


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one cell."""

    row: int
    column: str
    detail: str


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One good row; `hours` and `capacity` are `None` where the row does not speak of them."""

    row: int
    name: str
    timezone: str
    labels: Labels
    hours: StoreHours | None
    capacity: Mapping[str, str] | None

    def over(self, before: StoreDeclared | None) -> StoreDeclared:
        """Return the store that this row makes of the one that was there."""
        if before is None:
            before = StoreDeclared(self.name, self.timezone, clusters=[ClusterSpec(self.name)])
        said: dict[str, Any] = {"timezone": self.timezone, "labels": self.labels}
        if self.capacity is not None:
            said["clusters"] = [self._sized(each) for each in before.clusters]
        if self.hours is not None:
            said |= {"hours": list(self.hours.regular), "exceptions": list(self.hours.exceptions)}
        return replace(before, **said)

    def _sized(self, cluster: ClusterSpec) -> ClusterSpec:
        return replace(cluster, capacity=dict(self.capacity or {})) if cluster.name == self.name else cluster


@dataclass(slots=True)
class Rows:
    """Reads rows one by one, keeping the good ones and (up to a bound) what is wrong with the others."""

    good: list[StoreRow] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    errors_count: int = 0
    _seen: dict[str, int] = field(default_factory=dict)
    _labels: dict[tuple[str, str], str | list[str]] = field(default_factory=dict)
    _hours: dict[str, StoreHours] = field(default_factory=dict)

    def error(self, row: int, column: str, detail: str) -> None:
        """Note what is wrong."""
        self.errors_count += 1
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(RowError(row, column, detail))

    def take(self, row: int, cells: Mapping[str, Any]) -> None:
        """Read one row."""
        errors_before = self.errors_count
        name = cells.get("name", "")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self.error(row, "name", f"{str(name)[:80]!r} is not a name: lower-case letters, digits, inner dashes")
        elif name in self._seen:
            self.error(row, "name", f"store {name} is in row {self._seen[name]} already")
        else:
            self._seen[name] = row
        zone = cells.get("timezone", "")
        if not isinstance(zone, str) or zone not in zones():
            self.error(row, "timezone", _sentence(check_zone, str(zone)))
        hours = self._read_hours(row, cells["hours"]) if "hours" in cells else None
        capacity = self._read_capacity(row, cells) if any(each in cells for each in RESOURCES) else None
        labels = self._read_labels(row, cells)
        if self.errors_count == errors_before:
            self.good.append(StoreRow(row, name, zone, labels, hours, capacity))

    def _read_labels(self, row: int, cells: Mapping[str, Any]) -> Labels:
        labels: Labels = {}
        for column, cell in cells.items():
            if column in OWN_COLUMNS or cell is None or cell == "":
                continue
            # A fleet says the same things over and over: each is read once.
            known = self._labels.get((column, cell)) if isinstance(cell, str) else None
            if known is not None:
                labels[column] = known
                continue
            value = [part for part in cell.split("|") if part] if isinstance(cell, str) and "|" in cell else cell
            if problem := label_problem(column, value):
                self.error(row, column, problem)
                continue
            if isinstance(value, list):
                value = list(dict.fromkeys(value))
                value = value[0] if len(value) == 1 else value
            labels[column] = value
            if isinstance(cell, str) and len(self._labels) < LABELS_KEPT_MAX:
                self._labels[column, cell] = value
        return labels

    def _read_hours(self, row: int, cell: Any) -> StoreHours:
        try:
            if isinstance(cell, list):
                return check_items([validated(HoursItem, each) for each in cell], "/hours")
            text = str(cell or "")
            if text not in self._hours:
                self._hours[text] = hours_from_text(text)
            return self._hours[text]
        except Invalid as refusal:
            self.error(row, "hours", _words(refusal))
            return StoreHours()

    def _read_capacity(self, row: int, cells: Mapping[str, Any]) -> dict[str, str]:
        capacity: dict[str, str] = {}
        for resource in RESOURCES:
            cell = cells.get(resource)
            if cell is None or cell == "":
                continue
            try:
                milli(str(cell))
            except ValueError as error:
                self.error(row, resource, str(error))
            else:
                capacity[resource] = str(cell)
        return capacity


def _sentence(check: Any, text: str) -> str:
    try:
        check(text)
    except Invalid as refusal:
        return _words(refusal)
    return "it is not text"


def _words(refusal: Invalid) -> str:
    return f"{refusal.detail}; {refusal.fix}" if refusal.fix else refusal.detail


def csv_rows(body: bytes, rows: Rows) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (row, cells by column) of a CSV file with a header; empty lines are skipped, broken ones noted.

    Raises:
        Problem: 422, the header lacks a column.
    """
    text = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    row = 0
    try:
        header = [column.strip() for column in next(reader, [])]
        row = 1
        _check_header(header)
        for cells in reader:
            row += 1
            if not cells:
                continue
            if len(cells) != len(header):
                rows.error(row, "", f"the row has {len(cells)} cells, the header {len(header)}")
                continue
            yield row, dict(zip(header, cells, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        rows.error(row + 1, "", f"nothing can be read from here on: {error}")


def _check_header(header: Sequence[str]) -> None:
    errors = [
        RowError(1, column, f"the column {column} is missing" + (f"; is it {near}?" if near else ""))
        for column in ("name", "timezone")
        if column not in header
        for near in [nearest(column, header)]
    ]
    errors += [RowError(1, column, "the column is there twice") for column in set(header) if header.count(column) > 1]
    errors += [
        RowError(1, column, problem)
        for column in header
        if column not in OWN_COLUMNS and (problem := label_problem(column, "x"))
    ]
    if errors:
        raise bad_rows(sorted(errors, key=lambda each: each.column), len(errors))


def json_rows(body: bytes, rows: Rows) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (line, members) of a JSON Lines file; empty lines are skipped, broken ones noted."""
    for number, line in enumerate(io.BytesIO(body), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except Problem as problem:
            rows.error(number, "", problem.detail)
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            rows.error(number, "", "the line is not a JSON object")


def bad_rows(errors: Sequence[RowError], count: int) -> Problem:
    """Return the 422 that lists bad rows, the first of them in the pointer."""
    first = errors[0]
    return Problem(
        422,
        "bad-rows",
        "Some rows cannot be taken, so none was.",
        f"{count} faults; row {first.row}{f', column {first.column}' if first.column else ''}: {first.detail}",
        pointer=f"/{first.row}/{escape(first.column)}",
        fix="correct the rows that errors lists and import the whole file again",
        extra={
            "errors": [{"row": each.row, "column": each.column, "detail": each.detail} for each in errors],
            "errors_count": count,
        },
    )


def rows_of(body: bytes, media_type: str, rows: Rows) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Return the rows of an import by its media type.

    Raises:
        Problem: 415 for another media type.
    """
    if media_type == "text/csv":
        return csv_rows(body, rows)
    if media_type in {"application/x-ndjson", "application/jsonl", "application/ndjson"}:
        return json_rows(body, rows)
    raise Problem(
        415,
        "unsupported-media-type",
        "The body is in a format that is not read here.",
        f"{media_type or 'no media type'} is neither CSV nor JSON lines",
        fix="send Content-Type text/csv or application/x-ndjson",
    )
