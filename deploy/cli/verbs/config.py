"""``streamwise config``: the settings in force, from file and environment, without secrets."""

import json

import click

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.config import keys, redacted
from schemas.settings import Settings


@click.command("config")
@click.option("--changed", is_flag=True, help="Only what differs from the defaults.")
@as_json
@with_settings
def command(settings: Settings, *, changed: bool, as_json: bool) -> None:
    """Print every setting in force; an unknown key or a wrong value is an error that names it."""
    found, usual = flat(settings), flat(Settings())
    if changed:
        found = {key: value for key, value in found.items() if value != usual[key]}
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        click.echo(f"{key} = {json.dumps(value)}")


def flat(settings: Settings) -> dict[str, object]:
    """Dotted key to plain value, secrets hidden."""
    tree = redacted(settings)
    return {key: tree[key.partition(".")[0]][key.partition(".")[2]] for key in keys()}
