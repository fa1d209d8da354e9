"""Fetches that gather: while records keep coming, the broker collects them for some milliseconds.

A fetch that is answered as soon as there is one record brings one record, and costs what a fetch with a
hundred costs: aiokafka encodes and decodes every partition of every topic each time, and each run goes
through Faust, its agent and a produce request of its own.  A worker that is given 200 records a second one
by one spends most of a core on that, and its lists wait behind it.  The first record after a pause still
comes at once.

A worker that has enough to do gathers for longer: where requested lists wait for 100 ms anyway, 40 ms more
for a fetch are soon won back, because there are a quarter of the runs.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

KEEP_COMING = 3.0
"""Records keep coming when they follow each other within so many times the gathering time."""
SHARE = 0.4
"""Of the time that requested lists wait in the worker: so long a fetch may gather, too.  Half of it for
pushed ones, which have twice as long."""
LONGEST = 6.0
"""Times the gathering time of a worker with little to do."""
PLENTY = 1 << 20
"""Bytes for which the broker waits no longer."""


def gathering_seconds(least: float, waiting: float) -> float:
    """How long fetches gather while requested lists wait for ``waiting`` seconds in this worker.

    Examples
    --------
    >>> [gathering_seconds(0.01, waiting) for waiting in (0.0, 0.1, 1.0)]
    [0.01, 0.04, 0.06]
    """
    return min(max(least, SHARE * waiting), LONGEST * least)


class Gathering:
    """Decides how long the next fetch from a node may wait for more than one record.

    Parameters
    ----------
    seconds
        Tells how long; 0: no fetch ever does.

    Examples
    --------
    >>> gathering = Gathering(lambda: 0.01)
    >>> gathering.wanted(1), gathering.answered(1, 0.5, some=True), gathering.wanted(1)
    (False, None, False)
    >>> gathering.answered(1, 0.52, some=True), gathering.wanted(1), gathering.wanted(2)
    (None, True, False)
    >>> gathering.answered(1, 0.53, some=False), gathering.wanted(1)
    (None, False)
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._came: dict[int, float] = {}
        self._wanted: set[int] = set()

    def wanted(self, node: int) -> bool:
        """Whether a fetch from this node gathers."""
        return node in self._wanted

    def answered(self, node: int, now: float, *, some: bool) -> None:
        """A fetch was answered, with or without records."""
        soon = now - self._came.get(node, float("-inf")) < KEEP_COMING * self.seconds()
        if some:
            self._came[node] = now
        (self._wanted.add if some and soon else self._wanted.discard)(node)


def gather(fetcher: Any, seconds: Callable[[], float], clock: Callable[[], float] = monotonic) -> None:
    """Make an aiokafka ``Fetcher`` gather; written against exactly aiokafka 0.14.0.

    A fetch that is cancelled while it rests after a failure ends like any other that is cancelled: it
    brought nothing.  (The client lets the exception out there, and its thread ended before it had said so:
    whoever stopped the worker waited for a minute.)
    """
    gathering, fetch = Gathering(seconds), fetcher._proc_fetch_request

    async def fetch_gathered(assignment: Any, node: int, request: Any) -> Any:
        if gathering.wanted(node):
            request._max_wait_ms, request._min_bytes = round(1000 * seconds()), PLENTY
        try:
            some = await fetch(assignment, node, request)
        except asyncio.CancelledError:  # by the fetcher's close(), which an exception would end in the middle
            return False
        gathering.answered(node, clock(), some=bool(some))
        return some

    fetcher._proc_fetch_request = fetch_gathered
