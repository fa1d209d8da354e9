"""``streamwise trending``: items that get more attention than usual, beyond chance."""

import click

from deploy.cli.asking import ask
from deploy.cli.offline import with_length, with_source
from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json, print_table
from deploy.offline import OfflineEngine, Source
from schemas.related import TrendingItems
from schemas.settings import Settings

COLUMNS = ("", "item", "evidence", "times the usual", "recent events", "usual")


@click.command("trending")
@with_length
@with_source
@as_json
@with_settings
def command(settings: Settings, *, k: int, source: Source, as_json: bool) -> None:
    """Show rising items, the surest first, from the running API or, offline, a snapshot or a log."""
    if source:
        found = OfflineEngine(settings, source).engine.trending(k)
    else:
        found = ask(settings.api, f"/v1/trending?k={k}", TrendingItems)
    if as_json:
        print_json(found)
        return
    rows = [(n, x.item_id, x.score, x.lift, x.recent, x.usual) for n, x in enumerate(found.items, 1)]
    if rows:
        print_table(COLUMNS, rows, title="rising")
    else:
        click.echo("nothing rises beyond chance")
    click.echo(f"models {found.model}, read from {source.words() or 'the API'}")
