"""``streamwise backup``: a consistent copy of a whole deployment in a directory."""

import asyncio
from importlib.metadata import version
from pathlib import Path

import click

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.config import redacted
from schemas.settings import Settings
from streams.app import wall_clock
from streams.backup import Copied, backup


@click.command("backup")
@click.argument("directory", type=click.Path(path_type=Path))
@dry_run
@as_json
@with_settings
def command(settings: Settings, directory: Path, *, dry_run: bool, as_json: bool) -> None:
    """Copy the deployment of the settings to DIRECTORY, which must be new or empty; workers may go on.

    In it: events, state, signals, lists, items, users, embeddings, reports, dead letters, what the group has
    read, the newest usable snapshots of learner.directory and audit.directory (so run it on a host that
    learns), and the settings without secrets. Not in it: what producers have sent and intake has not
    read yet. Compressed; every file has a checksum in manifest.json, which is written last.

    Exit codes: 0 done; 1 the directory is used, there is no room, no deployment or no broker; 2 wrong
    usage or settings.
    """
    quiet()
    work = backup(
        settings,
        directory,
        shown_settings=redacted(settings),
        version=version("streamwise"),
        now=wall_clock(),
        dry_run=dry_run,
        said=lambda what: None if as_json else click.echo(f"copying {what}", err=True),
    )
    copied = asyncio.run(work)
    if as_json:
        print_json({"dry_run": dry_run, "backup": copied})
    else:
        show(copied, dry_run=dry_run)


def show(copied: Copied, *, dry_run: bool) -> None:
    """A line a topic."""
    for topic, count in copied.records.items():
        click.echo(f"{topic:<16} {count:>12,} records")
    for note in copied.notes:
        click.echo(f"note: {note}")
    if not dry_run:
        click.echo(f"{copied.directory}: {copied.size / 1e6:,.1f} MB")
