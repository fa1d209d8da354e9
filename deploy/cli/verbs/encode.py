"""``streamwise encode``: a worker of the encoder pool: reads items, publishes their vectors."""

import asyncio
from contextlib import ExitStack
from threading import Event
from typing import Any

import click

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.encoding import encoder_pool
from deploy.health import Health, operations
from deploy.metrics import Metrics
from deploy.signals import stop_on_signals
from deploy.watchdog import watched
from schemas.settings import Settings
from streams.encode import EncodeStage
from workers.encoder.pool import EncoderPool


@click.command("encode")
@as_json
@with_settings
def command(settings: Settings, *, as_json: bool) -> None:
    """Encode the texts of items until Ctrl-C; then finish, commit, and print what was done.

    Several workers share the work as one consumer group.  Start one per core, or one per GPU.
    """
    quiet()
    metrics, loaded = Metrics(), Event()
    health = Health({"encoder": lambda: None if loaded.is_set() else "the model is being loaded"})
    with ExitStack() as stack:
        stack.enter_context(operations(settings.api, health, metrics.render))
        pool = stack.enter_context(encoder_pool(settings, metrics.encoder))
        if not as_json:
            click.echo(f"encoder ready: {describe(pool)}", err=True)
        asyncio.run(work(settings, pool, health, metrics, loaded))
        done = counts(metrics) | {"model": pool.spec.model, "version": pool.spec.version}
    if as_json:
        print_json(done)
    else:
        click.echo(", ".join(f"{name} {value}" for name, value in done.items()))


def describe(pool: EncoderPool) -> str:
    """Model, precision and version, for people."""
    spec = pool.spec
    return f"{spec.model} in {spec.precision}, {spec.dim} dimensions, version {spec.version}"


async def work(
    settings: Settings, pool: EncoderPool, health: Health, metrics: Metrics, loaded: Event
) -> None:
    """Consume items until a signal."""
    with watched(settings.health, health, metrics.process), stop_on_signals() as stop:
        loaded.set()
        await EncodeStage(settings.kafka, pool, observer=metrics.encode).run(stop)


def counts(metrics: Metrics) -> dict[str, Any]:
    """What was done, from the metrics."""
    names = ("embeddings", "unchanged_items", "tombstones", "refused_items")
    value = metrics.registry.get_sample_value
    return {name: int(value(f"streamwise_encode_{name}_total") or 0) for name in names}
