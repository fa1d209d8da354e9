"""``streamwise topics``: creates, checks and plans the topics of a deployment."""

import asyncio
from collections.abc import Mapping, Sequence

import click
import msgspec

from deploy.cli.options import as_json, dry_run, with_settings
from deploy.cli.output import print_json, print_table
from deploy.cli.quiet import quiet
from deploy.sizing import Advice, advise
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.incarnations import reopen
from streams.intake import readers
from streams.provision import Plan, plan, provision, refuse_wrong

LARGEST = 1e12


@click.command("topics")
@click.option("--create", is_flag=True, help="Create what is missing.")
@click.option(
    "--reopen",
    "reopened",
    metavar="TOPIC",
    multiple=True,
    help="Begin a new life of a topic that intake reads and that was recreated; may be given several times.",
)
@click.option(
    "--plan",
    "rate",
    type=click.FloatRange(0, min_open=True),
    metavar="RATE",
    help="Advise for so many events/s; asks no broker.",
)
@click.option(
    "--lists", type=click.FloatRange(0), metavar="RATE", help="With --plan: lists/s; by default 0.3 an event."
)
@click.option(
    "--workers", type=click.IntRange(0), default=0, metavar="N", help="With --plan: event processes at least."
)
@click.option(
    "--people", type=click.IntRange(0), default=0, metavar="N", help="With --plan: how many are remembered."
)
@dry_run
@as_json
@with_settings
def command(
    settings: Settings,
    *,
    create: bool,
    reopened: tuple[str, ...],
    rate: float | None,
    lists: float | None,
    workers: int,
    people: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare the broker's topics with what this deployment needs; exit 1 if they differ.

    A number of partitions of events or state that differs is never touched (exit 2): people would move
    to other partitions, which `streamwise repartition` does. Producers' topics may have any number. Stop
    all workers before --reopen. --plan computes from the measured costs of docs/scale.md.
    """
    quiet()
    if rate is not None:
        _refuse_absurd({"--plan": rate, "--lists": lists or 0.0, "--workers": workers, "--people": people})
        tell(advise(rate, lists=lists, workers=workers, people=people), settings, as_json=as_json)
        return
    for topic in reopened:
        begin_anew(settings, topic, dry_run=dry_run)
    change = create and not dry_run
    plans = asyncio.run(provision(settings) if change else plan(settings))
    show(plans, as_json=as_json)
    refuse_wrong(plans)
    if not create and any(p.status == "missing" for p in plans):
        raise click.exceptions.Exit(1)


def _refuse_absurd(asked: Mapping[str, float]) -> None:
    """Infinite and huge numbers, and what is none: nothing can be computed from them."""
    for option, value in asked.items():
        if not value <= LARGEST:
            raise SettingsError(f"{option}: {value}: at most {LARGEST:g}")


def tell(advice: Advice, settings: Settings, *, as_json: bool) -> None:
    """The advice, and whether the settings agree with it."""
    if as_json:
        print_json({"advice": advice, "partitions_now": settings.kafka.partitions})
        return
    rows = [
        ("event processes", f"{advice.processes:,}", "one core each, half busy at that rate"),
        (
            "partitions of events",
            f"{advice.partitions:,}",
            f"kafka.partitions is {settings.kafka.partitions}",
        ),
        ("namespaces", f"{advice.namespaces:,}", "one learning log is folded by one thread, half busy"),
        ("learner", f"{advice.learner_cores:.2f} core", "of each namespace, on each host"),
        ("Kafka", f"{advice.kafka_bytes / 1e6:,.1f} MB/s", "written, before replication"),
    ]
    if advice.people_bytes is not None:
        rows.append(("people", f"{advice.people_bytes / 1e9:,.2f} GB", "over all event processes"))
    print_table(
        ("for", "needs", "because"), rows, title=f"{advice.rate:,.0f} events/s, {advice.lists:,.0f} lists/s"
    )


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
