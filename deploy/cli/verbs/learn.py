"""``streamwise learn``: learns once for all event processes of this host that run with --learner shared."""

import asyncio

import click

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.kernels import Kernels
from deploy.metrics import Metrics
from deploy.readiness import of_learner
from deploy.starting import operated, prepared
from models.engine import Engine
from schemas.settings import Settings
from streams.learning import Learning


@click.command("learn")
@as_json
@with_settings
def command(settings: Settings, *, as_json: bool) -> None:
    """Fold the signals log, publish the models to learner.arena and write snapshots, until Ctrl-C.

    One learner a host: a second one for the same directory is refused.  Killed, it goes on from its newest
    snapshot; event processes make lists of the last models meanwhile.
    """
    quiet()
    metrics = Metrics()
    asyncio.run(work(settings, metrics, as_json=as_json))
    if as_json:
        rows = metrics.registry.get_sample_value("streamwise_learned_rows_total")
        print_json({"learned_rows": int(rows or 0)})


async def work(settings: Settings, metrics: Metrics, *, as_json: bool) -> None:
    """Compile, provision, learn until a signal."""
    learning = Learning(settings, Engine.of(settings), observer=metrics.stream)
    kernels = Kernels()
    health = of_learner(learning, kernels)
    with operated(settings, health, metrics) as stop:
        if not await prepared(settings, kernels, stop, metrics):
            return

        def say() -> None:
            for reason in learning.refused_snapshots:
                click.echo(f"snapshot not used: {reason}", err=True)
            if not as_json:
                click.echo("learner ready", err=True)

        await learning.serve(stop, say)
