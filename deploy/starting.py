"""How a process that learns or serves begins: operated at once, then compiled, then with its topics."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import click

from deploy.health import Health, operations
from deploy.kernels import WORTH_TELLING_SECONDS, Kernels
from deploy.metrics import Metrics
from deploy.signals import stop_on_signals
from deploy.watchdog import watched
from schemas.settings import Settings
from streams.provision import provision
from streams.tasks import unless


@contextmanager
def operated(settings: Settings, health: Health, metrics: Metrics) -> Iterator[asyncio.Event]:
    """Health and metrics are served, the running loop is watched, and signals set the event, meanwhile."""
    with (
        stop_on_signals() as stop,  # before anybody is answered, who may then tell it to end
        operations(settings.api, health, metrics.render),
        watched(settings.health, health, metrics.process),
    ):
        yield stop


async def prepared(settings: Settings, kernels: Kernels, stop: asyncio.Event, metrics: Metrics) -> bool:
    """Whether all kernels and topics are there; False if told to stop before."""
    if not await unless(stop, compiled(kernels, metrics)) or not await unless(stop, provision(settings)):
        return False
    gc.freeze()  # what stands now stands until the end: no collection need look at it again
    return True


async def compiled(kernels: Kernels, metrics: Metrics) -> None:
    """Return when all kernels are there; where that took long, a person wonders why."""
    seconds = await kernels.compile()
    metrics.process.on_kernels(seconds)
    if seconds > WORTH_TELLING_SECONDS:
        click.echo(f"kernels compiled in {seconds:.0f} s (once after an installation)", err=True)
