"""Watching an open shop: the live line, until it is stopped, its time is over, or something failed."""

import asyncio
import time
from collections.abc import Callable

from deploy.simulator.ledger import Ledger
from deploy.simulator.report import LiveLine

LINE_SECONDS = 0.5
Check = Callable[[], None]


async def reached(
    moment: asyncio.Event, shop: "asyncio.Task[None]", stop: asyncio.Event, check: Check
) -> bool:
    """Wait for a moment of the shop; False if stopped before.

    An error of the shop or the check is raised.
    """
    while not (moment.is_set() or stop.is_set()):
        check()
        if shop.done():
            shop.result()
        await asyncio.sleep(0.05)
    return moment.is_set()


async def watch(
    ledger: Ledger,
    shop: "asyncio.Task[None]",
    stop: asyncio.Event,
    *,
    seconds: float | None,
    line: Callable[[str], None],
    check: Check,
) -> None:
    """Show the line until ``stop`` or for some seconds.  An error of the shop or the check is raised."""
    end = time.monotonic() + seconds if seconds else float("inf")
    live = LiveLine(ledger)
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        check()
        if shop.done():
            shop.result()
        line(live.text(time.monotonic()))
        try:
            async with asyncio.timeout(min(LINE_SECONDS, left)):
                await stop.wait()
        except TimeoutError:  # not stopped: the next line is due
            continue


async def close(shop: "asyncio.Task[None]") -> None:
    """Cancel an open shop and wait until its clients are gone."""
    shop.cancel()
    # Its error, if it had one, was raised by who watched it.
    await asyncio.gather(shop, return_exceptions=True)
