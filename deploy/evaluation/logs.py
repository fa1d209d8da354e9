"""Logs to evaluate on, from tables and from the package: events in the order of time, and their items."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251  seeded, and the referee's own permutation
from typing import Any, Final

from deploy.datasets import complete_journey
from deploy.evaluation.columns import ITEM, LOG, TIME, USER, VALUE, Columns, cell, mapped, resolve
from deploy.evaluation.times import SPOKEN, seconds
from deploy.tables import STDIN, Row, Table, opened
from models.evaluation.walk import LogEvent, in_order
from schemas.catalogue import Item
from schemas.errors import InvalidMessageError, SettingsError
from schemas.ids import MAX_ID_LENGTH
from schemas.settings import MappingSettings


@dataclass(frozen=True, slots=True)
class Log:
    """Events in the order of time.

    Attributes
    ----------
    name
        Of the file or data set.
    columns, unit
        Which of its columns were read as what, and what its times were taken for.
    items
        What came with it about its items.
    """

    name: str
    events: list[LogEvent]
    columns: Columns = field(default_factory=dict)
    unit: str = "s"
    items: Mapping[str, Item] = field(default_factory=dict)

    def reading(self) -> str:
        """How it was read, in words."""
        columns = ", ".join(f"{ours} from {theirs!r}" for ours, theirs in self.columns.items())
        return f"{columns}; times read as {SPOKEN[self.unit]}" if columns else f"times in {SPOKEN[self.unit]}"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a table is read as a log.

    Parameters
    ----------
    columns
        Our name to theirs, where the usual names do not do.
    unit
        Of the times; ``"auto"``: by their form and size.
    mappings
        Sources of the settings.  The one named ``source`` is used, or, without a name, the only one
        whose columns the table has.
    shuffle
        Seed of a permutation of events at the same time; None: they keep the order of the file.
    """

    columns: Columns = field(default_factory=dict)
    unit: str = "auto"
    mappings: Sequence[MappingSettings] = ()
    source: str | None = None
    shuffle: int | None = None


def load(name: str, reading: Reading) -> Log:
    """The log of a file, of standard input (``-``) or of a data set of the package.

    Raises
    ------
    SettingsError
        Neither a file nor a data set.
    InvalidMessageError
        Names line, column, value and remedy.
    """
    path = Path(name)
    if path == STDIN or path.is_file():
        with opened(path) as table:
            return read(table, reading)
    if name in BUILT_IN:
        return BUILT_IN[name](reading.shuffle)
    near = difflib.get_close_matches(name, BUILT_IN, n=1, cutoff=0.6)
    hint = f"; the nearest data set is {near[0]}" if near else f"; data sets: {', '.join(BUILT_IN)}"
    raise SettingsError(f"FILE|NAME: {name!r}: no such file{hint}")


def read(table: Table, reading: Reading) -> Log:
    """A table as a log."""
    source = _source(table, reading)
    given = {**(mapped(source) if source else {}), **reading.columns}
    columns = resolve(table, LOG, given, (USER, ITEM, TIME))
    unit = reading.unit
    if source and unit == "auto" and "ts" in source.fields and TIME not in reading.columns:
        unit = source.ts_unit
    users, items, times, values, places = [], [], [], [], []
    for number, row in table.rows:
        place = f"{table.name}:{number}"
        users.append(identifier(row, columns[USER], place))
        items.append(identifier(row, columns[ITEM], place))
        times.append(cell(row, columns[TIME]))
        values.append(_value(row, columns.get(VALUE), place))
        places.append(f"{place}: {columns[TIME]}")
    moments, unit = seconds(times, places, unit)
    events = _ordered(map(LogEvent, users, items, moments, values), reading.shuffle)
    return Log(Path(table.name).name, events, columns, unit)


def _ordered(events: Iterable[LogEvent], shuffle: int | None) -> list[LogEvent]:
    """By time; ties in the order of the file, or in that of the outside referee's shuffle."""
    found = list(events)
    if shuffle is not None:
        Random(shuffle).shuffle(found)  # noqa: S311  no secret
    return in_order(found)


def identifier(row: Row, column: str, place: str) -> str:
    """An id as text; whole numbers without a fraction, whatever type the table gave them."""
    value = cell(row, column)
    if isinstance(value, bool | dict | list):
        raise InvalidMessageError(f"{place}: {column}", value, "an id is text or a number")
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None or value == "":
        raise InvalidMessageError(f"{place}: {column}", value, "every line needs an id")
    text = str(value)
    if len(text) > MAX_ID_LENGTH:
        raise InvalidMessageError(f"{place}: {column}", text, f"give at most {MAX_ID_LENGTH} characters")
    return text


def _value(row: Row, column: str | None, place: str) -> float:
    given = cell(row, column) if column else None
    if given is None or given == "":
        return 1.0
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InvalidMessageError(f"{place}: {column}", given, "a finite number, or nothing")
    return value


def _source(table: Table, reading: Reading) -> MappingSettings | None:
    if reading.source is None:
        fitting = [m for m in reading.mappings if _fits(table, mapped(m))]
        return fitting[0] if len(fitting) == 1 else None
    for mapping in reading.mappings:
        if mapping.topic == reading.source:
            return mapping
    topics = [m.topic for m in reading.mappings]
    remedy = f"one of {', '.join(topics)}" if topics else "give --settings FILE with [[intake.mappings]]"
    raise SettingsError(f"--source: {reading.source!r}: no such mapping: {remedy}")


def _fits(table: Table, columns: Columns) -> bool:
    there = set(table.columns)
    return bool(columns) and all({c, c.partition(".")[0]} & there for c in columns.values())


def journey(shuffle: int | None = None) -> Log:
    """A year of real grocery purchases, with what is known of the products."""
    data = complete_journey.load()
    people = [data.households[h] for h in data.household.tolist()]
    products = [data.products[p] for p in data.product.tolist()]
    columns: tuple[list[Any], ...] = (people, products, data.seconds.tolist(), data.quantity.tolist())
    items = {item.item_id: item for item in map(data.item, range(len(data.products)))}
    return Log("complete-journey", _ordered(map(LogEvent, *columns), shuffle), items=items)


BUILT_IN: Final[Mapping[str, Callable[[int | None], Log]]] = {"complete-journey": journey}
"""Data sets that the package carries."""
