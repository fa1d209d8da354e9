"""``streamwise demo``: the whole product on this machine, with real purchases; needs no server."""

import asyncio
import os
import shutil
from pathlib import Path

import click

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.cli.screen import screen
from deploy.cli.shop import shop_options
from deploy.demo import DemoOptions, run
from deploy.signals import stop_on_signals
from deploy.simulator.build import ShopOptions
from deploy.simulator.report import Report, clicks, rungs
from schemas.settings import Settings


@click.command("demo")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Close the shop after so long.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Of the page.")
@click.option("--keep", is_flag=True, help="Keep the run's folder (settings, logs) in .data.")
@shop_options
@as_json
@with_settings
def command(
    settings: Settings, *, seconds: float | None, port: int, keep: bool, shop: ShopOptions, as_json: bool
) -> None:
    """Start a broker, the stream, the page, the encoder, the auditor, and a shop full of real households.

    Ctrl-C ends it. Everything is in memory and gone afterwards.
    """
    directory = Path(".data") / f"demo-{os.getpid()}"
    options = DemoOptions(seconds=seconds, port=port, directory=directory, shop=shop)
    report = asyncio.run(_run(settings, options))
    if as_json:
        print_json(report)
    else:
        click.echo(summary(report))
    if not keep and not report.ended:
        shutil.rmtree(directory, ignore_errors=True)


async def _run(settings: Settings, options: DemoOptions) -> Report:
    with stop_on_signals() as stop:
        say, line = screen()
        return await run(settings, options, stop, say=say, line=line)


def summary(report: Report) -> str:
    """The end of a run in four lines."""
    p50, p99 = ("–" if v is None else f"{v:.0f}" for v in (report.p50_ms, report.p99_ms))
    counts = f"{report.events:,} events and {report.lists:,} lists in {report.seconds:.0f} s"
    verdicts = ", ".join(f"{metric} {verdict}" for metric, verdict in report.verdicts.items()) or "none yet"
    return (
        f"\n{counts}; event → list p50 {p50} ms, p99 {p99} ms\n"
        f"{clicks(report.click_rate)}; {rungs(report.rungs)}\n"
        f"{report.dead_letters} dead letters; {report.checks} checks of the experiment: {verdicts}"
    )
