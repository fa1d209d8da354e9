"""``streamwise recommend``: a person's list, each item with its probability."""

import asyncio

import click

from deploy.cli.lists import find_list
from deploy.cli.offline import with_length, with_source
from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json, print_table
from deploy.offline import OfflineEngine, Source
from models.engine import ListRequest
from models.related import check_length
from schemas.recommendations import Recommendation, RecommendedItem
from schemas.settings import Settings

COLUMNS = ("", "item", "score", "probability", "explored", "because of", "strongest parts")


@click.command("recommend")
@click.argument("user_id", metavar="USER")
@click.option("--surface", default="home", show_default=True, help="Where the list is shown.")
@click.option("--had", multiple=True, metavar="ITEM", help="Offline: an item that USER had, oldest first.")
@with_length
@with_source
@as_json
@with_settings
def command(
    settings: Settings,
    *,
    user_id: str,
    surface: str,
    had: tuple[str, ...],
    k: int,
    source: Source,
    as_json: bool,
) -> None:
    """Show the latest list of USER, from Redis where it is configured, else from the topic.

    With --snapshot or --log a list is drawn here and now, of -k items: people are known from the log, and
    from --had.
    """
    if source:
        found, place = _draw(OfflineEngine(settings, source), user_id, surface, had, k), source.words()
    elif had:
        raise click.UsageError("--had: only offline: give --snapshot or --log too")
    else:
        found, place = asyncio.run(find_list(settings, user_id, surface))
    if as_json:
        print_json(found)
        return
    title = (
        f"{user_id} on {surface}: {found.arm}, policy {found.policy} (epoch {found.epoch}), rung {found.rung}"
    )
    print_table(COLUMNS, [row(item) for item in found.items], title=title)
    click.echo(f"decision {found.decision_id} for trigger {found.trigger_id}, read from {place}")


def _draw(offline: OfflineEngine, user: str, surface: str, had: tuple[str, ...], k: int) -> Recommendation:
    check_length(k)
    offline.remember(user, had)
    if not offline.knows(user):
        click.echo(f"warning: user: {user!r}: nothing is known of them here: a stranger's list", err=True)
    request = ListRequest(offline.shard, user, k, trigger_id="recommend", surface=surface)
    return offline.engine.recommend([request], now=offline.now, seed=0)[0].recommendation


def row(item: RecommendedItem) -> tuple[object, ...]:
    """One line of the table."""
    parts = sorted(item.parts.items(), key=lambda part: -abs(part[1]))[:3]
    note = "pinned" if item.pinned else "yes" if item.explored else ""
    return (
        item.position + 1,
        item.item_id,
        item.score,
        item.propensity,
        note,
        ", ".join(because.item_id for because in item.because[:2]),
        ", ".join(f"{name} {value:+.2f}" for name, value in parts),
    )
