"""``streamwise evaluate``: how good lists are on your own log, each event first a test, then a lesson."""

import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import progress
from deploy.evaluation import plot
from deploy.evaluation.columns import ITEMS, LOG, parse
from deploy.evaluation.items import OPTION, read_items
from deploy.evaluation.logs import Log, Reading, load
from deploy.evaluation.referee import answer_all
from deploy.evaluation.report import Report, print_report
from deploy.evaluation.runs import run_all
from deploy.evaluation.times import UNITS
from deploy.kernels import tell_if_cold
from models.evaluation.ablation import dropped, parts
from models.evaluation.evaluation import Plan
from models.evaluation.verdict import Question
from models.fusion.fusion import Fusion
from schemas.catalogue import Item
from schemas.settings import Settings

BASELINE = "popular"
"""The column of popularity that stands for "simply list what is popular"."""


@click.command("evaluate")
@click.argument("name", metavar="FILE|NAME", required=False)
@click.option(
    "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Name a column: user=customer_id."
)
@click.option("--unit", type=click.Choice(UNITS), default="auto", show_default=True, help="Of the times.")
@click.option("--source", metavar="TOPIC", help="Name columns as this mapping of the settings does.")
@click.option("--items", "items_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="What is known of items: item, title, genres (a|b), text.")  # fmt: skip
@click.option(
    "--item-column", "item_columns", multiple=True, metavar="OURS=THEIRS", help="The same, of --items."
)
@click.option(
    "--catalogue", is_flag=True, help="All items are known from the start, not at their first event."
)
@click.option(
    "--every", type=click.IntRange(min=1), default=5, show_default=True, help="Test every N-th event."
)
@click.option("--keep-seen", is_flag=True, help="People's own items may be listed and are tested too.")
@click.option(
    "--shuffle-ties", "shuffle", type=int, metavar="SEED", help="Permute events that share their time."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only so many events, the oldest.")
@click.option(
    "--without", multiple=True, metavar="PART", help="Leave a component or a column out; repeatable."
)
@click.option("--ablate", is_flag=True, help="Also leave every part out, one by one, and compare.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes of --ablate; default: one a core.")
@click.option(
    "--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw learning curves."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the engine; default: engine.seed.")
@click.option("--jsonl", is_flag=True, help="Answer a referee: JSON lines on stdin, answers on stdout.")
@as_json
@with_settings
def command(settings: Settings, *, name: str | None, jsonl: bool, **options: Any) -> None:
    """Replay a log through the engine, in process, and score every list that it would have shown.

    FILE is CSV with a header, JSON lines or Parquet (the extra "parquet"), plain or .gz; - is standard
    input; NAME is a data set of the package: complete-journey. It needs a user, an item and a time.
    """
    plan = _plan(settings, options)
    if jsonl:
        answer_all(plan)
        return
    if name is None:
        raise click.UsageError("FILE|NAME: missing: name a log, or give --jsonl to be refereed")
    _evaluate(name, plan, settings, options)


def _plan(settings: Settings, options: Mapping[str, Any]) -> Plan:
    engine = settings.engine
    seed = engine.seed if options["seed"] is None else options["seed"]
    without = (*engine.without, *options["without"])
    return Plan(
        msgspec.structs.replace(engine, seed=seed, without=without),
        every=options["every"],
        keep_seen=options["keep_seen"],
        catalogue=options["catalogue"],
    )


def _evaluate(name: str, plan: Plan, settings: Settings, options: Mapping[str, Any]) -> None:
    if options["picture"] is not None:
        plot.check(options["picture"])
    fusion = plan.session().engine.fusion
    reading = Reading(
        columns=parse(options["columns"], list(LOG)),
        unit=options["unit"],
        mappings=settings.intake.mappings,
        source=options["source"],
        shuffle=options["shuffle"],
    )
    log = load(name, reading)
    log = replace(log, events=log.events[: options["limit"]])
    items = _items(log, options)
    plans = {"": plan}
    if options["ablate"]:
        plans |= {part: plan.without(part) for part in parts(fusion)}
    jobs = options["jobs"] or os.cpu_count() or 1
    label = f"{log.name} × {len(plans)}" if len(plans) > 1 else log.name
    tell_if_cold(functools.partial(click.echo, err=True))
    with progress(label, len(plans) * len(log.events), quiet=options["as_json"]) as advance:
        tallies = run_all(plans, log.events, items, jobs=jobs, advance=advance)
    whole = tallies.pop("")
    rows = [dropped(part, whole, less) for part, less in tallies.items()] if len(whole) else []
    report = Report(log, whole, _question(fusion, plan), plan.settings.without, rows)
    print_report(report, as_json=options["as_json"])
    if options["picture"] is not None:
        plot.draw(report, options["picture"])


def _items(log: Log, options: Mapping[str, Any]) -> Mapping[str, Item]:
    path = options["items_file"]
    if path is not None:
        return read_items(path, parse(options["item_columns"], list(ITEMS), OPTION))
    if options["catalogue"] and not log.items:
        raise click.UsageError("--catalogue: which items are there? name them with --items FILE")
    return log.items


def _question(fusion: Fusion, plan: Plan) -> Question:
    return Question(
        fusion.columns,
        popularity=BASELINE if BASELINE in fusion.columns else None,
        keep_seen=plan.keep_seen,
        catalogue=plan.catalogue,
    )
