"""Options of verbs that answer from a snapshot or a log instead of a running system."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deploy.evaluation.columns import ITEMS, LOG, parse
from deploy.evaluation.items import OPTION
from deploy.kernels import tell_if_cold
from deploy.offline import Source

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def with_source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--snapshot``, ``--log``, ``--items`` and names of their columns, and pass them as ``source``."""

    @click.option(
        "--snapshot",
        type=click.Path(exists=True, path_type=Path),
        help="Offline: from a snapshot of the learner, or the newest of a directory of them.",
    )
    @click.option(
        "--log", metavar="FILE|NAME", help="Offline: from a log, as for evaluate, learned in this process."
    )
    @click.option("--items", type=_FILE, help="Offline: the catalogue: item, title, text, categories, stock.")
    @click.option(
        "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Of --log, as for evaluate."
    )
    @click.option("--item-column", "item_columns", multiple=True, metavar="OURS=THEIRS", help="Of --items.")
    @functools.wraps(function)
    def wrapped(
        *args: Any,
        snapshot: Path | None,
        log: str | None,
        items: Path | None,
        columns: tuple[str, ...],
        item_columns: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        names = parse(columns, list(LOG)), parse(item_columns, list(ITEMS), OPTION)
        source = Source(snapshot, log, items, *names)
        if items is not None and not source:
            raise click.UsageError("--items: a catalogue alone: give --snapshot or --log too")
        if source:
            tell_if_cold(functools.partial(click.echo, err=True))
        return function(*args, source=source, **kwargs)

    return wrapped


def with_length(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-k``."""
    option = click.option("-k", type=int, default=10, show_default=True, help="Items wanted, 1 to 200.")
    wrapped: Callable[..., Any] = option(function)
    return wrapped
