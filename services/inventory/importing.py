"""Rows of a bulk import, parsed into changes of stores; one invalid row, and nothing is imported.

An import changes only fields for which it has columns. A missing column, or key of a JSON line, leaves the field
unchanged; so does an empty cell (`null`, `""`, `[]`), unless empty cells remove.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from libs.contracts import Labels
from libs.contracts.names import LABELS_MAX, NAME, label_problem
from libs.contracts.numbers import spelled_plainly
from libs.contracts.quantities import milli
from libs.contracts.refusals import Invalid
from libs.web.faults import ERRORS_MAX
from libs.web.schema import validated
from services.inventory.documents import StoreSpec
from services.inventory.documents.hours import HoursItem, StoreHours, check_items, hours_from_text
from services.inventory.documents.places import COORDINATES, Place, place_of
from services.inventory.documents.zones import check_zone, zones
from services.inventory.events import ClusterSpec, StoreDeclared
from services.inventory.reading import COLUMNS_MAX, OWN_COLUMNS, RESOURCES, TEXTS, Cells, RowError, bad_rows, cleaned

ROWS_MAX = 200_000
VALUES_KEPT_MAX = 5_000


class NoRoom(Exception):  # noqa: N818 - a refusal states the fact
    """A cell needs something that the store does not have; `column` names the cell."""

    def __init__(self, column: str, detail: str) -> None:
        super().__init__(detail)
        self.column, self.detail = column, detail


@dataclass(frozen=True, slots=True)
class StoreRow:
    """One valid row, as a change of its store: `None` and missing fields stay unchanged.

    `remove` are keys of labels to remove; in `capacity`, a resource that is `None` is removed.
    """

    row: int
    name: str
    timezone: str | None
    labels: Labels
    hours: StoreHours | None
    capacity: Mapping[str, str | None]
    remove: tuple[str, ...] = ()
    place: Place | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def over(self, before: StoreDeclared | None) -> StoreDeclared:
        """Return the store after this row.

        Raises:
            NoRoom: the store is new and has no time zone, or has no cluster for a capacity.
            Invalid: the time zone of the given place is unknown.
        """
        if before is None:
            # Constructed directly: an import of a whole fleet makes tens of thousands.
            made: dict[str, Any] = {"timezone": self._zone(), **self._said({})}
            return StoreDeclared(name=self.name, clusters=[ClusterSpec(self.name, capacity=self._over({}))], **made)
        changes = self._said(before.labels)
        if self.timezone is not None:
            changes["timezone"] = self.timezone
        if self.capacity:
            changes["clusters"] = self._clusters(before)
        return replace(before, **changes)

    def _said(self, before: Labels) -> dict[str, Any]:
        """Return the texts, labels and hours that the row gives a store that has had these labels."""
        said: dict[str, Any] = dict(self.texts)
        if self.labels or self.remove:
            labels = {key: value for key, value in before.items() if key not in self.remove} | self.labels
            if len(labels) > LABELS_MAX:
                raise NoRoom("", f"the store would have more than {LABELS_MAX} labels")
            said["labels"] = labels
        if self.hours is not None:
            said |= {"hours": list(self.hours.regular), "exceptions": list(self.hours.exceptions)}
        return said

    def _zone(self) -> str:
        if self.timezone is not None:
            return self.timezone
        if self.place is not None:
            return self.place.zone()
        raise NoRoom(
            "timezone",
            "the store is new, so it needs a time zone: an IANA name such as America/Chicago in the column timezone, "
            "or the columns latitude and longitude, or state and zip",
        )

    def _clusters(self, before: StoreDeclared) -> list[ClusterSpec]:
        """Return the clusters, with the row's capacity for the one that has the store's name."""
        if all(each.name != self.name for each in before.clusters):
            if not any(self.capacity.values()):
                return list(before.clusters)
            column = next(resource for resource, figure in self.capacity.items() if figure)
            names = ", ".join(each.name for each in before.clusters[:3]) or "none at all"
            raise NoRoom(
                column,
                f"the store has no cluster of its own name (but {names}); declare the capacity in the store's document",
            )
        return [
            replace(each, capacity=self._over(each.capacity)) if each.name == self.name else each
            for each in before.clusters
        ]

    def _over(self, capacity: Mapping[str, str]) -> dict[str, str]:
        merged = {**capacity, **self.capacity}
        return {resource: figure for resource, figure in merged.items() if figure is not None}


@dataclass(slots=True)
class Rows:
    """Reads rows one by one, keeping the good ones and (up to a bound) what is wrong with the others.

    With `empty_removes` an empty cell removes its field. `unusual` are label values that look like numbers but are text
    to expressions.
    """

    empty_removes: bool = False
    good: list[StoreRow] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    errors_count: int = 0
    unusual: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)
    _labels: dict[str, dict[str, str | list[str]]] = field(default_factory=dict)
    _hours: dict[str, StoreHours] = field(default_factory=dict)

    def error(self, row: int, column: str, detail: str) -> None:
        """Record an error.

        Raises:
            Problem: 422, the number of reported errors is reached, so reading stops.
        """
        self.errors_count += 1
        self.errors.append(RowError(row, column, detail))
        if self.errors_count >= ERRORS_MAX:
            raise bad_rows(self.errors, self.errors_count, row)

    def take(self, row: int, cells: Cells) -> None:
        """Read one row."""
        errors_before = self.errors_count
        if len(cells) > COLUMNS_MAX:
            self.error(row, "", f"the row has {len(cells):,} columns; at most {COLUMNS_MAX} are read")
            return
        name = self._read_name(row, cells.get("name", ""))
        zone = self._read_zone(row, cells.get("timezone"))
        hours = self._read_hours(row, cells["hours"]) if "hours" in cells else None
        capacity = self._read_capacity(row, cells)
        labels, remove = self._read_labels(row, cells)
        # An existing store keeps its zone, so it is decided with the stores at hand whether the place counts.
        place = place_of(cells) if zone is None else None
        texts = self._read_texts(row, cells) if TEXTS else {}
        if self.errors_count == errors_before:
            self.good.append(StoreRow(row, name, zone, labels, hours, capacity, remove, place, texts))

    def _read_name(self, row: int, name: Any) -> str:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self.error(row, "name", f"{str(name)[:80]!r} is not a name: lower-case letters, digits, inner dashes")
            return ""
        if name in self._seen:
            self.error(row, "name", f"store {name} is in row {self._seen[name]} already")
        self._seen.setdefault(name, row)
        return name

    def _read_zone(self, row: int, zone: Any) -> str | None:
        if _empty(zone):
            return None
        if not isinstance(zone, str) or zone not in zones():
            self.error(row, "timezone", _sentence(check_zone, str(zone)))
            return None
        return zone

    def _read_labels(self, row: int, cells: Cells) -> tuple[Labels, tuple[str, ...]]:
        labels: Labels = {}
        remove: list[str] = []
        for column, cell in cells.items():
            # A fleet repeats the same cells: each is parsed once.
            read = self._labels.get(column)
            if read is None:
                if column in OWN_COLUMNS:
                    continue
                read = self._labels[column] = {}
            if type(cell) is str and cell in read:
                labels[column] = read[cell]
            elif _empty(cell):
                remove.append(column)
            elif (value := self._read_label(row, column, cell, read)) is not None:
                labels[column] = value
        return labels, tuple(remove) if self.empty_removes else ()

    def _read_label(self, row: int, column: str, cell: Any, read: dict[str, str | list[str]]) -> str | list[str] | None:
        value: Any = cell
        if isinstance(cell, str) and "|" in cell:
            value = [part for each in cell.split("|") if (part := cleaned(each))]
        elif column in COORDINATES and isinstance(cell, int | float) and not isinstance(cell, bool):
            value = str(cell)
        if problem := label_problem(column, value):
            self.error(row, column, problem)
            return None
        if isinstance(value, list):
            value = list(dict.fromkeys(value))
            value = value[0] if len(value) == 1 else value
        if isinstance(cell, str) and len(read) < VALUES_KEPT_MAX:
            read[cell] = value
            if (unusual := spelled_plainly(cell)) is not None:
                self.unusual[column, cell] = f"{unusual[0]}; write {unusual[1]}"
        return value  # type: ignore[no-any-return]  # as pydantic read it

    def _read_hours(self, row: int, cell: Any) -> StoreHours | None:
        if _empty(cell):
            return StoreHours() if self.empty_removes else None
        try:
            if isinstance(cell, list):
                return check_items([validated(HoursItem, each) for each in cell], "/hours")
            text = str(cell)
            if text not in self._hours:
                self._hours[text] = hours_from_text(text)
            return self._hours[text]
        except Invalid as refusal:
            self.error(row, "hours", words(refusal))
            return None

    def _read_texts(self, row: int, cells: Cells) -> dict[str, str]:
        texts: dict[str, str] = {}
        for column in TEXTS:
            if column not in cells:
                continue
            cell = cells[column]
            if _empty(cell):
                if self.empty_removes:
                    texts[column] = ""
                continue
            try:
                # Parsed as a document: the time zone is only given because a store needs one.
                texts[column] = getattr(validated(StoreSpec, {"timezone": "UTC", column: cell}), column)
            except Invalid as refusal:
                self.error(row, column, words(refusal))
        return texts

    def _read_capacity(self, row: int, cells: Cells) -> dict[str, str | None]:
        capacity: dict[str, str | None] = {}
        for resource in RESOURCES:
            if resource not in cells:
                continue
            cell = cells[resource]
            if _empty(cell):
                if self.empty_removes:
                    capacity[resource] = None
                continue
            try:
                milli(str(cell))
            except ValueError as error:
                self.error(row, resource, str(error))
            else:
                capacity[resource] = str(cell)
        return capacity


def _empty(cell: Any) -> bool:
    """Whether a cell is empty; an empty list of a JSON line is, too."""
    return cell is None or (not cell and isinstance(cell, str | list))


def _sentence(check: Any, text: str) -> str:
    try:
        check(text)
    except Invalid as refusal:
        return words(refusal)
    return "it is not text"


def words(refusal: Invalid) -> str:
    """Return what a cell's refusal says, in one sentence."""
    return f"{refusal.detail}; {refusal.fix}" if refusal.fix else refusal.detail
