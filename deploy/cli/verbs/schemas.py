"""``streamwise schemas``: the wire contract as JSON Schema documents."""

import json
from pathlib import Path

import click

from schemas.registry import json_schemas

DEFAULT = Path("schemas/json")


def documents() -> dict[str, str]:
    """File name to content, byte for byte what the repository holds."""
    return {
        f"{name}.schema.json": json.dumps(document, indent=2, sort_keys=True) + "\n"
        for name, document in json_schemas().items()
    }


@click.command("schemas")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=DEFAULT, show_default=True)
@click.option(
    "--json", "as_json", is_flag=True, help="Print all documents as one object instead of writing files."
)
@click.option("--dry-run", is_flag=True, help="Say what would be written.")
def command(out: Path, *, as_json: bool, dry_run: bool) -> None:
    """Write the JSON Schema of every message."""
    if as_json:
        click.echo(json.dumps(json_schemas(), indent=2, sort_keys=True))
        return
    for name, text in documents().items():
        if not dry_run:
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text)
        click.echo(out / name)
