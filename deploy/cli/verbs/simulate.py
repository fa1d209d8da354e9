"""``streamwise simulate``: the shop full of real households, against your own broker."""

import asyncio

import click

from deploy.cli.options import as_json, with_settings
from deploy.cli.output import print_json
from deploy.cli.screen import screen
from deploy.cli.shop import shop_options
from deploy.signals import stop_on_signals
from deploy.simulator.build import ShopOptions, Stocked, build
from deploy.simulator.drive import Drive
from deploy.simulator.report import clicks, rungs
from deploy.simulator.watch import close, reached, watch
from schemas.settings import Settings
from streams.provision import provision

PATIENCE_SECONDS = 30.0


@click.command("simulate")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Close the shop after so long.")
@shop_options
@as_json
@with_settings
def command(settings: Settings, *, seconds: float | None, shop: ShopOptions, as_json: bool) -> None:
    """Publish the assortment and what households do; `streamwise stream` must run on the same broker.

    Ctrl-C closes the shop.
    """
    stocked = build(shop)
    asyncio.run(keep_open(settings, stocked, seconds))
    ledger = stocked.shop.ledger
    if as_json:
        figures = {"events": ledger.events(), "lists": ledger.lists, "p99_ms": ledger.percentile(99)}
        print_json(figures | {"click_rate": ledger.rates(), "rungs": dict(ledger.rungs)})
    else:
        counts = f"{ledger.events():,} events, {ledger.lists:,} lists"
        click.echo(f"\n{counts}; {clicks(ledger.rates())}; {rungs(dict(ledger.rungs))}")


async def keep_open(settings: Settings, stocked: Stocked, seconds: float | None) -> None:
    """Keep the shop open until a signal, or for some seconds."""
    with stop_on_signals() as stop:
        _, line = screen()
        await provision(settings)
        drive = Drive(settings.kafka, stocked.shop)
        shop = asyncio.create_task(drive.run(stocked.items(), since=stocked.since, patience=PATIENCE_SECONDS))
        try:
            if await reached(drive.opened, shop, stop, _nothing):
                await watch(stocked.shop.ledger, shop, stop, seconds=seconds, line=line, check=_nothing)
        finally:
            await close(shop)


def _nothing() -> None:
    """Here nobody else is watched."""
