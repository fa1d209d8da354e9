"""``streamwise stream``: an event process: intake, user state, lists, and learning."""

import asyncio
import os
import sys
from typing import Any, Literal

import click

from deploy.cli.options import as_json, learner, with_learner, with_settings
from deploy.cli.output import print_json
from deploy.cli.quiet import quiet
from deploy.kernels import Kernels
from deploy.metrics import Metrics
from deploy.readiness import of_stream
from deploy.starting import operated, prepared
from models.engine import Engine
from schemas.settings import Settings
from streams.app import create_app, serve
from streams.crash import CrashPoint

SWITCH_SECONDS = 0.0001
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
    with operated(settings, health, metrics) as stop:
        if not await prepared(settings, kernels, stop, metrics):
            return

        def say() -> None:
            if not as_json:
                click.echo("stream ready", err=True)

        await serve(app, stop, say)


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
