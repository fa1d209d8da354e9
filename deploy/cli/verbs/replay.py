"""``streamwise replay``: a log of what people did, sent to Kafka at a pace of your choice."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import click

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json, progress
from deploy.replay import KINDS, UNITS, Columns, Sent, facts, send, topic_of
from deploy.signals import stop_on_signals
from deploy.tables import rows
from schemas.settings import Settings

DEFAULT = Columns()


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--user", default=DEFAULT.user, show_default=True, help="Column of the person's id.")
@click.option("--item", default=DEFAULT.item, show_default=True, help="Column of the item's id.")
@click.option("--time", default=DEFAULT.time, show_default=True, help="Column of the timestamp.")
@click.option("--value", default=DEFAULT.value, show_default=True, help="Column of quantity or rating.")
@click.option("--type", "kind", type=click.Choice(KINDS), default=DEFAULT.kind, show_default=True)
@click.option(
    "--type-column", "kind_column", default=DEFAULT.kind_column, help="Column that overrides --type."
)
@click.option(
    "--unit", type=click.Choice(UNITS), default=DEFAULT.unit, show_default=True, help="Of the time."
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="1: as fast as it happened; 60: an hour a minute; 0: as fast as possible.",
)
@dry_run
@as_json
@with_settings
def command(
    settings: Settings, *, file: Path, speed: float, dry_run: bool, as_json: bool, **columns: Any
) -> None:
    """Send FILE (CSV with a header, JSON lines or Parquet) to the source topics, in its order.

    The first bad row stops the replay with its line, column and value; --dry-run reads the whole file
    first and sends nothing.
    """
    mapping = Columns(**columns)
    sent = (
        check(file, mapping)
        if dry_run
        else asyncio.run(replay(settings, file, mapping, speed, quiet=as_json))
    )
    if as_json:
        print_json({"file": str(file), "dry_run": dry_run, "sent": sent})
        return
    per_topic = ", ".join(f"{count:,} to {topic}" for topic, count in sent.by_topic.items()) or "nothing"
    click.echo(f"{'would send' if dry_run else 'sent'} {per_topic} in {sent.seconds:.1f} s")


def check(file: Path, mapping: Columns) -> Sent:
    """Read everything, send nothing."""
    log = list(facts(file, mapping))
    counts = dict(Counter(topic_of(item).value for item in log))
    return Sent(len(log), 0.0, counts, log[0].ts if log else None, log[-1].ts if log else None)


async def replay(settings: Settings, file: Path, mapping: Columns, speed: float, *, quiet: bool) -> Sent:
    """Send the file."""
    total = sum(1 for _ in rows(file))
    with stop_on_signals() as stop, progress(file.name, total, quiet=quiet) as advance:
        return await send(settings.kafka, facts(file, mapping), speed=speed, advance=advance, stop=stop)
