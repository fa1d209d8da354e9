"""``streamwise stream``: an event process: intake, user state, lists, and learning."""

import asyncio
import gc
import os
import sys
from contextlib import ExitStack
from typing import Any, Literal

import click

from deploy.cli.options import as_json, learner, with_learner, with_settings
from deploy.cli.output import print_json, quiet
from deploy.health import operations_server
from deploy.kernels import WORTH_TELLING_SECONDS, Kernels
from deploy.metrics import Metrics
from deploy.readiness import of_stream
from deploy.signals import stop_on_signals
from deploy.watchdog import watched
from models.engine import Engine
from schemas.settings import Settings
from streams.app import create_app, serve
from streams.crash import CrashPoint
from streams.provision import provision
from streams.tasks import unless

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another one waits for it.  By Python's default, 5 ms, the
event loop and the thread that fetches wait for each other, and for the learner, at every hop of an event."""

CRASH_VARIABLE = "STREAMWISE_CRASH_AT"


@click.command("stream")
@learner
@as_json
@with_settings
def command(settings: Settings, *, learner: Literal["inline", "shared"] | None, as_json: bool) -> None:
    """Read producers' topics, keep user state, publish lists, and learn, until Ctrl-C; then drain.

    Several processes with the same settings share the partitions; each is restarted by whoever runs it
    when it ends with an error, and goes on where the log says.
    """
    settings = with_learner(settings, learner)
    quiet()
    metrics = Metrics()
    crash = CrashPoint(os.environ.get(CRASH_VARIABLE, ""))
    asyncio.run(work(settings, metrics, crash, as_json=as_json))
    if as_json:
        print_json(counts(metrics))


async def work(settings: Settings, metrics: Metrics, crash: CrashPoint, *, as_json: bool) -> None:
    """Compile, provision, start, serve until a signal."""
    sys.setswitchinterval(SWITCH_SECONDS)
    app = create_app(settings, Engine.of(settings), observer=metrics.stream, crash=crash)
    kernels = Kernels()
    health = of_stream(app, kernels)
    with ExitStack() as stack:
        if settings.api.metrics_port:
            serving = operations_server(settings.api.host, settings.api.metrics_port, health, metrics.render)
            stack.enter_context(serving)
        stack.enter_context(watched(settings.health, health, metrics.process))
        stop = stack.enter_context(stop_on_signals())
        if not await compiled(kernels, stop, metrics) or not await unless(stop, provision(settings)):
            return
        gc.freeze()  # what stands now stands until the end: no collection need look at it again

        def say() -> None:
            if not as_json:
                click.echo("stream ready", err=True)

        await serve(app, stop, say)


async def compiled(kernels: Kernels, stop: asyncio.Event, metrics: Metrics) -> bool:
    """Whether all kernels are there; False if told to stop before."""
    compiling, stopping = asyncio.ensure_future(kernels.compile()), asyncio.ensure_future(stop.wait())
    await asyncio.wait([compiling, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not compiling.done():
        compiling.cancel()
        return False
    seconds = compiling.result()
    metrics.process.on_kernels(seconds)
    if seconds > WORTH_TELLING_SECONDS:
        click.echo(f"kernels compiled in {seconds:.0f} s (once after an installation)", err=True)
    return True


def counts(metrics: Metrics) -> dict[str, Any]:
    """What was done, from the metrics."""
    totals: dict[str, int] = {}
    for metric in metrics.registry.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                name = sample.name.removeprefix("streamwise_").removesuffix("_total")
                totals[name] = totals.get(name, 0) + int(sample.value)
    wanted = ("intake_messages", "intake_events", "applied_events", "lists", "shed_triggers", "dead_letters")
    return {name: totals.get(name, 0) for name in wanted}
