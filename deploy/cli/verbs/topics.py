"""``streamwise topics``: creates and checks the topics of a deployment."""

import asyncio
from collections.abc import Sequence

import click
import msgspec

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json, print_table
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.incarnations import reopen
from streams.intake import readers
from streams.provision import Plan, plan, provision, refuse_wrong


@click.command("topics")
@click.option("--create", is_flag=True, help="Create what is missing.")
@click.option(
    "--reopen",
    "reopened",
    metavar="TOPIC",
    multiple=True,
    help="Begin a new life of a topic that intake reads and that was recreated; may be given several times.",
)
@dry_run
@as_json
@with_settings
def command(
    settings: Settings, *, create: bool, reopened: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Compare the broker's topics with what this deployment needs; exit 1 if they differ.

    A topic whose number of partitions differs is never touched: people would move to other partitions.
    Stop all workers before --reopen.
    """
    for topic in reopened:
        begin_anew(settings, topic, dry_run=dry_run)
    change = create and not dry_run
    plans = asyncio.run(provision(settings) if change else plan(settings))
    show(plans, as_json=as_json)
    refuse_wrong(plans)
    if not create and any(p.status == "missing" for p in plans):
        raise click.exceptions.Exit(1)


def begin_anew(settings: Settings, topic: str, *, dry_run: bool) -> None:
    """Check the name, and open the topic's next incarnation."""
    known = list(readers(settings))
    if topic not in known:
        raise SettingsError(f"--reopen: {topic!r}: one of {', '.join(known)}")
    if not dry_run:
        lives = asyncio.run(reopen(settings, topic))
        click.echo(f"{topic}: incarnation {max(lives.values())} begins", err=True)


def show(plans: Sequence[Plan], *, as_json: bool) -> None:
    """One line, or one object, for each topic."""
    if as_json:
        print_json({"topics": [msgspec.to_builtins(p) for p in plans]})
        return
    rows = [(p.name, p.partitions, p.found, p.status, p.remedy) for p in plans]
    print_table(("topic", "wanted", "found", "status", "remedy"), rows)
