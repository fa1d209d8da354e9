"""What is known of items: a table with a title, categories, a text and the stock of each."""

import math
from pathlib import Path
from typing import Any, Final

from deploy.evaluation.columns import ITEMS, Columns, cell, resolve
from deploy.evaluation.logs import identifier
from deploy.tables import Row, opened
from schemas.catalogue import Item
from schemas.errors import InvalidMessageError

OPTION: Final = "--item-column"
"""Of the command line: names a column of this table."""
BETWEEN: Final = "|"
"""Separates an item's categories."""


def read_items(path: Path, columns: Columns) -> dict[str, Item]:
    """Items by id, in the order of the table; of two lines about one item the last counts.

    Raises
    ------
    InvalidMessageError
        Names line, column, value and remedy.
    """
    with opened(path) as table:
        found = resolve(table, ITEMS, columns, ("item",), OPTION)
        items = [_item(row, found, f"{table.name}:{number}") for number, row in table.rows]
    return {item.item_id: item for item in items}


def _item(row: Row, columns: Columns, place: str) -> Item:
    return Item(
        item_id=identifier(row, columns["item"], place),
        title=_words(row, columns.get("title")),
        description=_words(row, columns.get("text")),
        categories=categories(cell(row, columns["genres"])) if "genres" in columns else (),
        stock=_stock(row, columns.get("stock"), place),
    )


def categories(value: Any) -> tuple[str, ...]:
    """Distinct categories in order, of a list or of text with ``|`` between them.

    Examples
    --------
    >>> categories("Drama|Comedy|"), categories(["b", "a", "b"]), categories(None)
    (('Comedy', 'Drama'), ('a', 'b'), ())
    """
    several = value if isinstance(value, list) else str("" if value is None else value).split(BETWEEN)
    return tuple(sorted({str(category) for category in several} - {""}))


def _stock(row: Row, column: str | None, place: str) -> int | None:
    """Units left; None where they are not counted."""
    given = cell(row, column) if column else None
    if given is None or given == "":
        return None
    try:
        units = float(given)
    except (TypeError, ValueError):
        units = math.nan
    if not units >= 0 or not units.is_integer():
        raise InvalidMessageError(f"{place}: {column}", given, "a whole number of units, or nothing")
    return int(units)


def _words(row: Row, column: str | None) -> str:
    value = cell(row, column) if column else None
    return "" if value is None else str(value)
