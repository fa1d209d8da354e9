"""``streamwise restore``: a backup into an empty namespace or cluster."""

import asyncio
from pathlib import Path

import click

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from schemas.settings import Settings
from streams.app import wall_clock
from streams.restoring import Brought, restore_backup


@click.command("restore")
@click.argument("directory", type=click.Path(path_type=Path))
@dry_run
@as_json
@with_settings
def command(settings: Settings, directory: Path, *, dry_run: bool, as_json: bool) -> None:
    """Write the backup in DIRECTORY to the broker, namespace and group of the settings, which must be empty.

    Every checksum is compared before anything is written. kafka.partitions may differ from the backup's.
    Snapshots go to learner.directory and audit.directory of this host, which must hold none; other
    hosts take copies of them before they start. Then start the workers. A restore that was interrupted
    leaves topics on which no worker starts: delete them and run it again.

    Exit codes: 0 done; 1 the backup is damaged, the place is not empty, or no broker answers; 2 wrong
    usage or settings.
    """
    quiet()
    work = restore_backup(
        settings,
        directory,
        now=wall_clock(),
        dry_run=dry_run,
        said=lambda what: None if as_json else click.echo(f"restoring {what}", err=True),
    )
    brought = asyncio.run(work)
    if as_json:
        print_json({"dry_run": dry_run, "restored": brought})
    else:
        show(brought, dry_run=dry_run)


def show(brought: Brought, *, dry_run: bool) -> None:
    """A line a topic."""
    for topic, count in brought.records.items():
        click.echo(f"{topic:<16} {count:>12,} records")
    for note in brought.notes:
        click.echo(f"note: {note}")
    where = f"namespace {brought.namespace!r}, {brought.partitions} partitions"
    if dry_run:
        click.echo(f"intact; would be restored to {where}")
    else:
        click.echo(f"{where}: {brought.people:,} people; start the workers now")
