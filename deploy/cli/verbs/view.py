"""``streamwise view``: keeps everybody's latest list in Redis."""

import asyncio
import time

import click

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.health import Health, operations
from deploy.metrics import Metrics
from deploy.signals import stop_on_signals
from deploy.watchdog import watched
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.view import RedisView


@click.command("view")
@as_json
@with_settings
def command(settings: Settings, *, as_json: bool) -> None:
    """Write the latest list of everybody to Redis until Ctrl-C; rebuilds it when Redis lost it.

    Consumers read the hash list:SURFACE:USER: its field "list" is the message, as on the topic.
    """
    quiet()
    if not settings.redis.url:
        raise SettingsError("redis.url: '': the view needs a Redis: set it to redis://host:port/0")
    metrics, health = Metrics(), Health()
    with operations(settings.api, health, metrics.render):
        asyncio.run(keep(settings, health, metrics))
    stored = int(metrics.registry.get_sample_value("streamwise_redis_view_lists_total") or 0)
    if as_json:
        print_json({"lists": stored})
    else:
        click.echo(f"lists {stored}")


async def keep(settings: Settings, health: Health, metrics: Metrics) -> None:
    """Keep the view until a signal."""
    view = RedisView(settings.kafka, settings.redis, clock_ms=_now, observer=metrics.view)
    health.add("redis", view.ready)
    with watched(settings.health, health, metrics.process), stop_on_signals() as stop:
        await view.run(stop)


def _now() -> int:
    return time.time_ns() // 1_000_000
