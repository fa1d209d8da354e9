"""What verbs print: one JSON object or a table on stdout, progress on stderr."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import click
import msgspec


class Advance(Protocol):
    """Called with how many more units are done."""

    def __call__(self, units: float = 1.0) -> None:
        """So many more are done."""


def print_json(value: object) -> None:
    """One object, indented, keys in the order given; structs and arrays of structs too."""
    click.echo(json.dumps(msgspec.to_builtins(value), indent=2))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
) -> None:
    """A table on stdout; numbers to the right, floats with four significant digits."""
    from rich.console import Console  # noqa: PLC0415  its import is a third of the time of --help
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title)
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    Console().print(table)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, aligned."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"{name:<{width}}  {cell(value)}")


def cell(value: object) -> str:
    """One value as a table shows it.

    Examples
    --------
    >>> cell(0.123456), cell(1234567), cell(None), cell("tea")
    ('0.1235', '1,234,567', '–', 'tea')
    """
    match value:
        case None:
            return "–"
        case bool() | str():
            return str(value)
        case float():
            return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


@contextmanager
def progress(label: str, total: float, *, quiet: bool = False) -> Iterator[Advance]:
    """A progress bar on stderr with rate and remaining time; nothing where ``quiet`` or no terminal."""
    from rich.console import Console  # noqa: PLC0415  see print_table
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(label, total=total)

        def advance(units: float = 1.0) -> None:
            bar.advance(task, units)

        yield advance
