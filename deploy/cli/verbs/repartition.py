"""``streamwise repartition``: another number of partitions, written beside the former ones."""

import asyncio

import click

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.app import wall_clock
from streams.repartition import Moved, abandon, repartition


@click.command("repartition")
@click.option("--partitions", type=click.IntRange(1), metavar="N", help="The new number.")
@click.option("--abandon", "giving_up", is_flag=True, help="Delete what an interrupted run left.")
@dry_run
@as_json
@with_settings
def command(
    settings: Settings, *, partitions: int | None, giving_up: bool, dry_run: bool, as_json: bool
) -> None:
    """Write events and state anew for N partitions; everybody moves with order, decisions and state.

    Stop all `stream` and `api` processes first (SIGTERM, so that they drain). The settings still name
    the present count; afterwards set what this prints, for every process, and start them again. Nothing
    of the former topics is changed: interrupted, run it again or give it up with --abandon.

    Exit codes: 0 done; 1 somebody works, the deployment is not at rest, or the broker does not answer;
    2 wrong usage or settings. In every case but 0 the deployment is where it was.
    """
    quiet()
    if giving_up:
        give_up(settings, dry_run=dry_run, as_json=as_json)
        return
    if partitions is None:
        raise SettingsError("--partitions: (missing): name the new number of partitions")
    moved = asyncio.run(repartition(settings, partitions, now=wall_clock(), dry_run=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "moved": moved})
    else:
        click.echo("\n".join(lines(moved, dry_run=dry_run)))


def give_up(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Delete an unfinished writing."""
    deleted = False if dry_run else asyncio.run(abandon(settings))
    if as_json:
        print_json({"dry_run": dry_run, "deleted": deleted})
    else:
        click.echo("deleted what was begun" if deleted else "nothing to delete")


def lines(moved: Moved, *, dry_run: bool) -> list[str]:
    """What was done, and what is to be done next."""
    new = " and ".join(moved.topics)
    if dry_run:
        return [f"would write {moved.records:,} records of events, and all state, to {new}"]
    return [
        f"wrote {moved.written:,} records and {moved.people:,} people to {new}",
        "now set, for every process:",
        "  [kafka]",
        f"  generation = {moved.generation}",
        f"  partitions = {moved.partitions}",
        f"{' and '.join(moved.former)} are as they were: delete them when you are content",
    ]
