"""Options of verbs that answer from a snapshot or a log instead of a running system."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deploy.offline import Source

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def with_source(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--snapshot``, ``--log`` and ``--items`` and pass them as ``source``."""

    @click.option(
        "--snapshot",
        type=click.Path(exists=True, path_type=Path),
        help="Offline: from a snapshot of the learner, or the newest of a directory of them.",
    )
    @click.option(
        "--log", metavar="FILE|NAME", help="Offline: from a log, as for evaluate, learned in this process."
    )
    @click.option("--items", type=_FILE, help="Offline: the catalogue: item, title, text, categories, stock.")
    @functools.wraps(function)
    def wrapped(*args: Any, snapshot: Path | None, log: str | None, items: Path | None, **kwargs: Any) -> Any:
        source = Source(snapshot, log, items)
        if items is not None and not source:
            raise click.UsageError("--items: a catalogue alone: give --snapshot or --log too")
        return function(*args, source=source, **kwargs)

    return wrapped


def with_length(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-k``."""
    option = click.option("-k", type=int, default=10, show_default=True, help="Items wanted, 1 to 200.")
    wrapped: Callable[..., Any] = option(function)
    return wrapped
