"""Ending well: the first Ctrl-C or SIGTERM asks, and the work finishes what it holds."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.ending import LEAVE_SECONDS, leave_within


@contextmanager
def stop_on_signals(leave_seconds: float = LEAVE_SECONDS) -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set; used inside a running loop.

    A second signal ends the process at once: the handlers are gone after the first.  So does the time:
    ``leave_seconds`` after the first it has ended.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    names = (signal.SIGINT, signal.SIGTERM)

    def ask() -> None:
        stop.set()
        leave_within(leave_seconds)
        for name in names:
            loop.remove_signal_handler(name)

    for name in names:
        loop.add_signal_handler(name, ask)
    try:
        yield stop
    finally:
        for name in names:
            loop.remove_signal_handler(name)
