"""``streamwise recommend``: a person's latest list, each item with its probability."""

import asyncio

import click

from deploy.cli.lists import find_list
from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json, print_table
from schemas.recommendations import RecommendedItem
from schemas.settings import Settings

COLUMNS = ("", "item", "score", "probability", "explored", "because of", "strongest parts")


@click.command("recommend")
@click.argument("user_id", metavar="USER")
@click.option("--surface", default="home", show_default=True, help="Where the list is shown.")
@as_json
@with_settings
def command(settings: Settings, *, user_id: str, surface: str, as_json: bool) -> None:
    """Show the latest list of USER, from Redis where it is configured, else from the topic."""
    found, source = asyncio.run(find_list(settings, user_id, surface))
    if as_json:
        print_json(found)
        return
    title = (
        f"{user_id} on {surface}: {found.arm}, policy {found.policy} (epoch {found.epoch}), rung {found.rung}"
    )
    print_table(COLUMNS, [row(item) for item in found.items], title=title)
    click.echo(f"decision {found.decision_id} for trigger {found.trigger_id}, read from {source}")


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
