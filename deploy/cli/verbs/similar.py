"""``streamwise similar``: items that resemble an item, and what says so."""

from urllib.parse import quote

import click

from deploy.cli.asking import ask
from deploy.cli.offline import with_length, with_source
from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json, print_table
from deploy.offline import OfflineEngine, Source
from schemas.related import SimilarItems
from schemas.settings import Settings


@click.command("similar")
@click.argument("item_id", metavar="ITEM")
@with_length
@with_source
@as_json
@with_settings
def command(settings: Settings, *, item_id: str, k: int, source: Source, as_json: bool) -> None:
    """Show the items that resemble ITEM, best first, from the running API or, offline, a snapshot or log."""
    if source:
        found = OfflineEngine(settings, source).engine.similar(item_id, k)
    else:
        found = ask(settings.api, f"/v1/items/{quote(item_id, safe='')}/similar?k={k}", SimilarItems)
    if as_json:
        print_json(found)
        return
    kinds = list(found.items[0].parts) if found.items else []
    rows = [(n, x.item_id, x.score, *(x.parts[kind] for kind in kinds)) for n, x in enumerate(found.items, 1)]
    print_table(("", "item", "score (sum)", *kinds), rows, title=f"like {item_id}")
    click.echo(f"models {found.model}, read from {source.words() or 'the API'}")
