"""``streamwise why``: what put an item into a person's list, part by part."""

import asyncio

import click

from deploy.cli.lists import find_list
from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json, print_pairs, print_table
from schemas.errors import InvalidMessageError
from schemas.recommendations import Recommendation, RecommendedItem
from schemas.settings import Settings


@click.command("why")
@click.argument("user_id", metavar="USER")
@click.argument("item_id", metavar="ITEM")
@click.option("--surface", default="home", show_default=True, help="Where the list is shown.")
@as_json
@with_settings
def command(settings: Settings, *, user_id: str, item_id: str, surface: str, as_json: bool) -> None:
    """Explain ITEM in the latest list of USER: its parts sum to its score."""
    found, source = asyncio.run(find_list(settings, user_id, surface))
    item = entry(found, item_id)
    if as_json:
        print_json({**facts(found, item), "source": source, "item": item})
        return
    parts = sorted(item.parts.items(), key=lambda part: -abs(part[1]))
    title = f"{item_id} for {user_id}, place {item.position + 1} of {len(found.items)}"
    print_table(("part", "utility"), [*parts, ("score (their sum)", item.score)], title=title)
    if item.because:
        rows = [(because.item_id, because.weight) for because in item.because]
        print_table(("because of", "utility"), rows)
    print_pairs({"read from": source, **facts(found, item)})


def entry(found: Recommendation, item_id: str) -> RecommendedItem:
    """The item's place in the list.

    Raises
    ------
    InvalidMessageError
        The item is not in the list.
    """
    for item in found.items:
        if item.item_id == item_id:
            return item
    held = ", ".join(item.item_id for item in found.items)
    raise InvalidMessageError("item", item_id, f"is not in the latest list, which holds {held}")


def facts(found: Recommendation, item: RecommendedItem) -> dict[str, object]:
    """How the item was chosen, and by what."""
    chosen = "pinned by a rule" if item.pinned else "explored" if item.explored else "the best that was left"
    return {
        "chosen": chosen,
        "probability": item.propensity,
        "under the control": item.p_control,
        "under chance": item.p_uniform,
        "decision": found.decision_id,
        "trigger": found.trigger_id,
        "arm": found.arm,
        "policy": found.policy,
        "epoch": found.epoch,
        "model": found.model,
        "rung": found.rung,
    }
