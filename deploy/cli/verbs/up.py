"""``streamwise up``: all roles on this machine, for your own data."""

import asyncio
from pathlib import Path
from typing import Literal

import click

from deploy.cli.options import as_json, learner, with_learner, with_settings
from deploy.cli.output import print_json
from deploy.cli.screen import screen
from deploy.local import run
from deploy.signals import stop_on_signals
from schemas.settings import KafkaSettings, Settings


@click.command("up")
@click.option(
    "--broker-port", type=click.IntRange(0, 65535), help="Start an embedded broker there; 0: a free port."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".data/up"),
    show_default=True,
    help="Settings and logs of the roles.",
)
@learner
@as_json
@with_settings
def command(
    settings: Settings,
    *,
    broker_port: int | None,
    directory: Path,
    learner: Literal["inline", "shared"] | None,
    as_json: bool,
) -> None:
    """Start the stream, the page, the encoder and the auditor, until Ctrl-C.

    Uses the settings' broker; where kafka.bootstrap is not set, an embedded one in memory on port 9092.
    Send data with `streamwise replay`, or to the topics.
    """
    if broker_port is None and settings.kafka.bootstrap == KafkaSettings().bootstrap:
        broker_port = 9092
    asyncio.run(_run(with_learner(settings, learner), directory, broker_port))
    if as_json:
        print_json({"stopped": True})


async def _run(settings: Settings, directory: Path, broker_port: int | None) -> None:
    with stop_on_signals() as stop:
        say, _ = screen()
        await run(settings, directory, stop, broker_port=broker_port, say=say)
