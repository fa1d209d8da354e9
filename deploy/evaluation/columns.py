"""Which column of a table means what: as the caller says, as the settings map it, or by its usual names."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from deploy.tables import Row, Table
from schemas.errors import InvalidMessageError, SettingsError
from schemas.settings import MappingSettings

USER, ITEM, TIME, VALUE = "user", "item", "t", "value"

LOG: Final[Mapping[str, tuple[str, ...]]] = {
    USER: ("user", "user_id", "customer", "customer_id", "visitor", "visitor_id", "household_id"),
    ITEM: ("item", "item_id", "product", "product_id", "sku", "article_id", "movie_id"),
    TIME: ("t", "ts", "timestamp", "time", "datetime", "date", "event_time"),
    VALUE: ("value", "rating", "quantity"),
}
"""Our name to the usual names of a log's column; the first that is there is taken."""

ITEMS: Final[Mapping[str, tuple[str, ...]]] = {
    "item": ("item", "item_id", "product", "product_id", "sku", "article_id", "movie_id", "id"),
    "title": ("title", "name", "product_name", "movie_title"),
    "genres": ("genres", "genre", "categories", "category", "class"),
    "text": ("text", "description", "plot", "abstract"),
    "stock": ("stock",),
}

FROM_SETTINGS: Final = {"user_id": USER, "item_id": ITEM, "ts": TIME, "value": VALUE, "quantity": VALUE}
"""Fields of ``intake.mappings`` that an evaluation needs, and what it calls them."""

Columns = dict[str, str]
"""Our name to theirs."""


def parse(options: Iterable[str], known: Sequence[str], option: str = "--column") -> Columns:
    """``["user=customer_id", …]`` as columns; our names may be written as in messages (``user_id``, ``ts``).

    Raises
    ------
    SettingsError
        Not of this form, or no such name.

    Examples
    --------
    >>> parse(["user_id=customer", "t=at"], list(LOG))
    {'user': 'customer', 't': 'at'}
    >>> parse(["usr=customer"], list(LOG))
    Traceback (most recent call last):
    ...
    schemas.errors.SettingsError: --column: 'usr=customer': no such name; the nearest is user
    """
    found: Columns = {}
    for given in options:
        ours, equals, theirs = given.partition("=")
        ours = FROM_SETTINGS.get(ours, ours)
        if not equals or not theirs:
            raise SettingsError(f"{option}: {given!r}: write OURS=THEIRS; OURS is one of {', '.join(known)}")
        if ours not in known:
            near = difflib.get_close_matches(ours, list(known), n=1, cutoff=0.0)[0]
            raise SettingsError(f"{option}: {given!r}: no such name; the nearest is {near}")
        found[ours] = theirs
    return found


def mapped(mapping: MappingSettings) -> Columns:
    """The columns of a source as ``intake.mappings`` has them."""
    return {FROM_SETTINGS[field]: path for field, path in mapping.fields.items() if field in FROM_SETTINGS}


def resolve(
    table: Table,
    usual: Mapping[str, tuple[str, ...]],
    given: Columns,
    needed: Sequence[str],
    option: str = "--column",
) -> Columns:
    """Our names that the table has, and the columns that they are.

    Parameters
    ----------
    usual
        Usual names, for what is not given.
    given
        Columns by name; dots descend into objects.
    needed
        Names without which the table is of no use.
    option
        What names a column, for messages.

    Raises
    ------
    InvalidMessageError
        Names the column that is missing and those that there are.
    """
    plain = {_plain(name): name for name in reversed(table.columns)}
    found = dict(given)
    for ours, names in usual.items():
        if ours not in found and (there := [plain[_plain(n)] for n in names if _plain(n) in plain]):
            found[ours] = there[0]
    for ours in needed:
        if ours not in found:
            remedy = f"give a column {ours!r}, or name it: {option} {ours}=…"
            raise InvalidMessageError(f"{table.name}: header", list(table.columns), remedy)
    for ours, theirs in given.items():
        if not {theirs, theirs.partition(".")[0]} & {*table.columns}:
            remedy = f"no column {theirs!r} for {ours!r}: name one that is there"
            raise InvalidMessageError(f"{table.name}: header", list(table.columns), remedy)
    return found


def cell(row: Row, column: str) -> Any:
    """A column's value; dots descend into objects; None where there is none.

    Examples
    --------
    >>> cell({"visitor": {"id": 7}}, "visitor.id"), cell({"visitor.id": 8}, "visitor.id"), cell({}, "x")
    (7, 8, None)
    """
    if column in row:
        return row[column]
    value: Any = row
    for step in column.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _plain(name: str) -> str:
    """A column's name without case, separators and the type that some files append.

    Examples
    --------
    >>> _plain("userId"), _plain("user_id:token"), _plain("User ID")
    ('userid', 'userid', 'userid')
    """
    return re.sub(r"[^a-z0-9]", "", name.partition(":")[0].lower())
